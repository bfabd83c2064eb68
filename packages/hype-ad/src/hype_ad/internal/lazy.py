"""Packages that load a name when it is first used.

Equinox writes and compiles functions for each class, so that making all of a package's classes takes as long as a third
of JAX's own import. The list of names is a stub beside the package's `__init__.py`, as SciPy and scikit-image have it
(Scientific Python's SPEC 1): tools read the stub, and so does this.
"""

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """What a package has as `__getattr__`, `__dir__` and `__all__`.

    Args:
        package: its `__name__`.
        file: its `__file__`. The stub has the same name with the ending `.pyi`, and a line
            `from module import name as name` for each name.
    """
    stub = Path(file).with_suffix(".pyi").read_text(encoding="utf-8")
    places = {name: place for place, name in re.findall(r"^from (\S+) import (\S+) as \2$", stub, re.M)}

    def load(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        place = places[name]
        value = import_module(f".{name}", package) if place == "." else getattr(import_module(place, package), name)
        return vars(sys.modules[package]).setdefault(name, value)

    return load, lambda: sorted({*vars(sys.modules[package]), *places}), list(places)
