"""The reference has a place for each public name, and the bibliography for each paper that the code names."""

import re
from collections import Counter
from pathlib import Path

import pytest

from .public_names import MODULES, public_names

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
PLACES = Counter(
    name for page in REFERENCE.rglob("*.md") for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M)
)
ENTRIES = re.findall(r"^- (.+)$", (REFERENCE / "bibliography.md").read_text(), re.M)

# Authors and a year: "Duchi, Hazan & Singer 2011", "Kemaev et al. (2025".
CITATION = re.compile(r"((?:[A-Z][\w-]+)(?:(?:,| &| and) [A-Z][\w-]+)*)(?: et al\.|'s)* \(?((?:19|20)\d\d)\b")


@pytest.fixture(scope="module")
def source():
    return re.sub(r"\s+", " ", " ".join(path.read_text() for path in sorted(ROOT.glob("packages/*/src/**/*.py"))))


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_on_exactly_one_page(module):
    assert {name: PLACES[f"{module}.{name}"] for name in public_names(module) if PLACES[f"{module}.{name}"] != 1} == {}


def test_nothing_else_is_there():
    assert set(PLACES) == {f"{module}.{name}" for module in MODULES for name in public_names(module)}


def test_every_paper_is_in_the_bibliography(source):
    cited = {(tuple(re.findall(r"[A-Z][\w-]+", authors)), year) for authors, year in CITATION.findall(source)}
    assert len(cited) > 50
    missing = {one for one in cited if not any(all(part in e for part in (*one[0], f"({one[1]})")) for e in ENTRIES)}
    assert missing == set()


def test_every_entry_is_named_by_the_code(source):
    unused = []
    for entry in ENTRIES:
        author, year = re.match(r"(?:[A-Z]\.[- ]?)+([^,(]+?)(?=,| \().*?\(((?:19|20)\d\d)\)", entry).groups()
        unused += [] if re.search(rf"{author}.{{0,120}}{year}", source) else [entry]
    assert unused == []
