"""What holds between packages and classes: imports run down, and a class is an interface or final."""

import ast
import importlib
import pkgutil
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {
    "hype_ad": set(),
    "hype_optim": {"hype_ad"},
    "hype_neural": {"hype_ad", "hype_optim"},
    "hype_mcmc": {"hype_ad"},
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", BELOW)
def test_a_package_imports_only_what_is_below_it(package):
    folder = ROOT / "packages" / package.replace("_", "-")
    files = list(folder.rglob("*.py"))
    assert files
    for path in files:
        assert set(imported(path)) & set(BELOW) <= BELOW[package] | {package}, path


@pytest.mark.parametrize("package", BELOW)
def test_a_package_depends_on_what_it_imports(package):
    folder = ROOT / "packages" / package.replace("_", "-")
    needs = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {need.split(">")[0].replace("-", "_") for need in needs}
    ours = {name for path in (folder / "src").rglob("*.py") for name in imported(path)}
    third_party = {"jax", "jaxtyping", "numpy", "equinox", "optax", "lineax", "tqdm", "matplotlib", "arviz"}
    assert ours & (third_party | set(BELOW)) - {package} - _extras(folder) <= names


@pytest.mark.parametrize("package", BELOW)
def test_what_takes_long_to_load_waits_until_it_is_used(package):
    slow = ("scipy.", "jax.experimental.sparse", "matplotlib", "arviz", "numpyro")
    for path in (ROOT / "packages" / package.replace("_", "-") / "src").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            assert not [name for name in names if name.startswith(slow)], path


@pytest.mark.parametrize("package", BELOW)
def test_any_module_can_be_loaded_first(package):
    """No two modules need each other while they are loaded: which comes first depends on what is used."""
    source = ROOT / "packages" / package.replace("_", "-") / "src"
    modules = {_name(path.relative_to(source)): path for path in source.rglob("*.py")}
    assert len(modules) > 10
    needs = {name: set(_loaded_with(name, path)) & set(modules) for name, path in modules.items()}
    TopologicalSorter(needs).prepare()  # raises at a cycle


def _name(path):
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _loaded_with(name, path):
    """The modules of a module's own package that it imports where it is loaded; its parents' are not among them."""
    folder = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            within = folder[: len(folder) - node.level + 1] if node.level else []
            module = ".".join([*within, *([node.module] if node.module else [])])
            yield from {module, *(f"{module}.{alias.name}" for alias in node.names)} - {".".join(folder), name}


def _extras(folder):
    """What a package imports only where it is asked for."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return {need.split(">")[0] for extra in project.get("optional-dependencies", {}).values() for need in extra}


def classes(package):
    """The classes that a package defines, in all of its modules."""
    module = importlib.import_module(package)
    names = [package, *(info.name for info in pkgutil.walk_packages(module.__path__, f"{package}."))]
    found = [thing for name in names for thing in vars(importlib.import_module(name)).values()]
    return {thing for thing in found if isinstance(thing, type) and thing.__module__.split(".")[0] == package}


def is_interface(cls):
    return cls.__name__.lstrip("_").startswith("Abstract")


def is_ours(cls):
    return cls.__module__.split(".")[0] in BELOW


@pytest.mark.parametrize("package", BELOW)
def test_a_class_is_an_interface_or_final(package):
    found = classes(package)
    assert found
    extended = {(cls, base) for cls in found for base in cls.__mro__[1:] if is_ours(base) and not is_interface(base)}
    assert extended == set()


@pytest.mark.parametrize("package", BELOW)
def test_no_class_overrides_what_an_interface_has_made(package):
    overridden = {
        f"{cls.__qualname__}.{name} of {base.__qualname__}"
        for cls in classes(package)
        for base in cls.__mro__[1:]
        if is_ours(base)
        for name, made in vars(base).items()
        if (callable(made) or isinstance(made, property | staticmethod | classmethod))
        and not getattr(made, "__isabstractmethod__", False)
        and not name.startswith("__")
        and name in vars(cls)
        and not getattr(vars(cls)[name], "__isabstractmethod__", False)
    }
    assert overridden == set()
