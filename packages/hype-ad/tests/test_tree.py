"""Arithmetic of pytrees."""

import jax
import numpy as np
from hype_ad.internal import tree


def in_units_of_its_length(a):
    for _ in range(2):
        a = tree.scale(1 / tree.norm(a), a)
    return tree.where(tree.all_finite(a), a, tree.zeros_like(a))


def test_a_program_grows_with_the_number_of_leaves_and_not_with_its_square():
    def lines(number):
        leaves = [np.full((3, 2), i + 1.0) for i in range(number)]
        return jax.jit(in_units_of_its_length).lower(leaves).compile().as_text().count("\n")

    assert lines(24) < 2.5 * lines(12)  # where the maxima were chains, three times as many


def test_norm_and_finiteness_of_many_leaves():
    leaves = [1e200 * np.full(4, i) for i in range(1, 21)]
    both = jax.jit(lambda leaves: (tree.norm(leaves), tree.all_finite(leaves)))
    norm, finite = both(leaves)
    np.testing.assert_allclose(norm, 2e200 * np.sqrt(sum(i**2 for i in range(1, 21))), rtol=1e-12)
    assert finite
    for wrong in (np.nan, np.inf):
        norm, finite = both([*leaves[:-1], np.array([0.0, 0.0, wrong, 0.0])])
        assert not finite
        assert not np.isfinite(norm)
