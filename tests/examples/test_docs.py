"""The pages of docs/ say what is true: their Python blocks run, and the tables of operators give what they show."""

import itertools
import re
from pathlib import Path

import jax
import matplotlib
import numpy as np
import pytest
from hype_ad import _diff

matplotlib.use("Agg")  # a page may draw

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES_FOLDER = DOCS.parent / "examples"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.S | re.M)
PAGES = {page.relative_to(DOCS).as_posix(): page.read_text() for page in sorted(DOCS.rglob("*.md"))}
OPERATORS = PAGES["hype-ad.md"]
EXAMPLES = re.findall(r"`([^`]+)` → `([^`]+)` \|\n", OPERATORS)


def run_blocks(name):
    """Runs the blocks of a page one after the other, at their own lines; gives the names that they leave."""
    names = {"__name__": name}
    for block in BLOCK.finditer(PAGES[name]):
        lines_above = PAGES[name][: block.start(1)].count("\n")
        exec(compile("\n" * lines_above + block[1], DOCS / name, "exec"), names)
    return names


# What these show other tests hold too; they compile for long.
LONG = ["mcmc", "training", "inference", "differentiable-inference", "derivative-operators", "methods", "extending"]

# `test_migration.py` runs the pages of its folder.
RUN = [name for name, text in PAGES.items() if BLOCK.search(text) and "migration/" not in name]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n.removesuffix(".md") in LONG else []) for n in RUN]
)
def test_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a page may write files
    run_blocks(name)


@pytest.fixture(scope="module")
def names():
    return run_blocks("hype-ad.md")


@pytest.mark.parametrize(("example", "result"), EXAMPLES, ids=[example for example, _ in EXAMPLES])
def test_operator(names, example, result):
    ours, theirs = eval(example, names), eval(result, names)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.allclose(a, b, rtol=1e-9)


def test_every_operator_has_an_example():
    operators = {name for name, thing in vars(_diff).items() if callable(thing)} | {"fixed_point"}
    shown = {name for example, _ in EXAMPLES for name in re.findall(r"\w+", example)}
    assert operators - shown == set()


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    prose = re.sub(r"`[^`]*`", "", PAGES[name])
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose)
    missing = [t for t in targets if "://" not in t and not ((DOCS / name).parent / t).exists()]
    assert missing == []


def test_gallery_shows_every_example():
    shown = re.findall(r"!\[.+\]\((images/(?:gallery/)?(\w+)\.png)\)\n\n<!-- (\w+)\.py -->", PAGES["gallery.md"])
    assert all(picture == name for _, picture, name in shown)
    assert all((DOCS / path).exists() for path, _, _ in shown)
    assert {name for *_, name in shown} == {path.stem for path in EXAMPLES_FOLDER.glob("*.py")} - {"gallery"}


@pytest.mark.parametrize("name", PAGES)
def test_figures_are_described(name):
    assert all(len(text) > 20 for text in re.findall(r"!\[([^\]]*)\]\(", PAGES[name]))


@pytest.mark.parametrize("name", PAGES)
def test_headings_are_in_order(name):
    prose = re.sub(r"^```.*?^```$", "", PAGES[name], flags=re.S | re.M)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", prose, re.M)]
    assert levels.count(1) <= 1
    assert all(after <= before + 1 for before, after in itertools.pairwise([0, *levels]))
