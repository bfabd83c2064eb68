"""What the packages say of themselves in their `pyproject.toml`, and where their files are."""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "example.org"  # where Hype will be published is not known yet


class Package(NamedTuple):
    """A package of the workspace."""

    name: str
    folder: Path
    project: dict

    @property
    def module(self):
        return self.name.replace("-", "_")

    @property
    def version(self):
        return self.project["version"]

    @property
    def changelog(self):
        return (self.folder / "CHANGELOG.md").read_text()

    @property
    def latest(self):
        """The heading of the changelog's first version."""
        return re.search(r"^## (.*)$", self.changelog, re.M)[1]


def _package(path):
    project = tomllib.loads(path.read_text())["project"]
    return Package(project["name"], path.parent, project)


PACKAGES = [_package(path) for path in sorted(ROOT.glob("packages/*/pyproject.toml"))]
BY_NAME = {package.name: package for package in PACKAGES}
EACH = {"argvalues": PACKAGES, "ids": lambda package: package.name}
