"""The reference has a place for each public name."""

import re
from collections import Counter
from pathlib import Path

import pytest

from .public_names import MODULES, public_names

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
PLACES = Counter(name for page in REFERENCE.rglob("*.md") for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M))


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_on_exactly_one_page(module):
    assert {name: PLACES[f"{module}.{name}"] for name in public_names(module) if PLACES[f"{module}.{name}"] != 1} == {}


def test_nothing_else_is_there():
    assert set(PLACES) == {f"{module}.{name}" for module in MODULES for name in public_names(module)}
