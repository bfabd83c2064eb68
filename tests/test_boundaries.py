"""Imports run down: hype_ad, then hype_optim and hype_mcmc, then hype_neural."""

import ast
import tomllib
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


def _extras(folder):
    """What a package imports only where it is asked for."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return {need.split(">")[0] for extra in project.get("optional-dependencies", {}).values() for need in extra}
