"""The table of operators in docs/hype-ad.md gives what it says."""

import re
from pathlib import Path

import hype_ad
import jax
import numpy as np
import pytest
from hype_ad import _diff

TEXT = (Path(__file__).parents[1] / "docs" / "hype-ad.md").read_text()
EXAMPLES = re.findall(r"`([^`]+)` → `([^`]+)` \|\n", TEXT)


@pytest.fixture(scope="module")
def names():
    # what __init__.py lists, and `numerical`, which is a module
    namespace = dict(vars(hype_ad))
    (preamble,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    exec(preamble.replace("from hype_ad import *", ""), namespace)
    return namespace


@pytest.mark.parametrize(("example", "result"), EXAMPLES, ids=[example for example, _ in EXAMPLES])
def test_example(names, example, result):
    ours, theirs = eval(example, names), eval(result, names)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.allclose(a, b, rtol=1e-9)


def test_every_operator_has_an_example():
    operators = {name for name, thing in vars(_diff).items() if callable(thing)} | {"fixed_point"}
    shown = {name for example, _ in EXAMPLES for name in re.findall(r"\w+", example)}
    assert operators - shown == set()
