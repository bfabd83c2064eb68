"""The names that the four packages promise, read from their source."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

MODULES = ["hype_ad", "hype_ad.numerical", "hype_ad.testing", "hype_optim", "hype_neural", "hype_mcmc"]


def public_names(module: str) -> list[str]:
    """What a module or its stub defines, or takes as `import name as name` from within its package."""
    loaded = importlib.import_module(module)
    assert loaded.__file__
    stub = Path(loaded.__file__).with_suffix(".pyi")
    statements = ast.parse((stub if stub.exists() else Path(loaded.__file__)).read_text()).body
    names = {name for statement in statements for name in _made(statement) if not name.startswith("_")}
    return sorted(name for name in names if not isinstance(getattr(loaded, name), ModuleType))


def _made(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.ImportFrom(names=names, level=level) if level:
            return [alias.name for alias in names if alias.asname == alias.name]
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return []
