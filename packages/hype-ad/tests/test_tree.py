"""Arithmetic of pytrees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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


@pytest.mark.parametrize("shape", [(), (1,), (2,), (2, 2), (5,), (0,)])
def test_sums_of_squares_and_the_largest_entry_of_small_and_larger_leaves(shape):
    leaf = np.random.default_rng(1).normal(size=shape)
    other = np.arange(6.0).reshape(2, 3)
    leaves = {"a": leaf, "b": other}
    square, largest = jax.jit(lambda leaves: (tree.squared_norm(leaves), tree.largest(leaves)))(leaves)
    np.testing.assert_allclose(square, np.sum(leaf**2) + np.sum(other**2), rtol=1e-14)
    assert largest == 5
    assert tree.largest(-leaf) == np.max(np.abs(leaf), initial=0)
    assert leaf.size == 0 or np.isnan(tree.largest(np.where(leaf == leaf.flat[-1], np.nan, leaf)))
    zeros = np.zeros(shape)
    np.testing.assert_array_equal(jax.grad(tree.squared_norm)(zeros), zeros)
    np.testing.assert_array_equal(
        jax.hessian(tree.squared_norm)(zeros).reshape(2 * (leaf.size,)), 2 * np.eye(leaf.size)
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nothing_comes_back_through_squares_out_of_range(dtype):
    leaf = np.array([0.75 * np.finfo(dtype).max, 1.0], dtype)
    np.testing.assert_array_equal(jax.vjp(tree.squared_norm, leaf)[1](np.zeros((), dtype))[0], 0)
    assert jax.jvp(tree.squared_norm, (leaf,), (np.zeros_like(leaf),))[1] == 0


UNITS = [(np.float64, 1e-300), (np.float64, 1.0), (np.float64, 1e300), (np.float32, 1e-36), (np.float32, 1e36)]


@pytest.mark.parametrize(("dtype", "unit"), UNITS)
def test_lengths_are_compared_also_where_squares_are_out_of_range(dtype, unit):
    of = lambda *entries: [np.array(entries[:1], dtype) * dtype(unit), np.array(entries[1:], dtype) * dtype(unit)]
    a, b, none = of(3.0, 4.0, 0.0), of(0.0, 5.5, -1.0), of(0.0, 0.0, 0.0)
    limit = lambda number: np.asarray(number * unit, dtype)
    compared = jax.jit(lambda a, b: (tree.is_shorter(a, b), tree.is_shorter(b, a), tree.is_shorter(a, a)))
    assert list(map(bool, compared(a, b))) == [True, False, False]
    assert list(map(bool, compared(none, b))) == [True, False, False]
    within = jax.jit(lambda limit, a: tree.is_within(limit, a))
    found = [bool(within(limit(number), x)) for number, x in ((5.1, a), (4.9, a), (0.0, a), (0.0, none), (1.0, none))]
    assert found == [True, False, False, True, True]
    wrong = of(3.0, np.nan, 0.0)
    assert not any(map(bool, [*compared(wrong, b), *compared(b, wrong), within(limit(9.0), wrong)]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_unit_is_the_power_of_two_next_below_and_has_an_exact_inverse(dtype):
    units = jax.jit(lambda x: (tree.power_of_two([x]), tree.inverse(tree.power_of_two([x]))))
    for entry, power in [(1.0, 0), (-1.99, 0), (2.0, 1), (0.3, -2), (-1000.0, 9), (0.0, 0)]:
        unit, inverse = units(jnp.array([0.0, entry, 0.0], dtype))
        assert (unit.dtype, float(unit), float(inverse)) == (dtype, 2.0**power, 2.0**-power)
    for extreme in (np.inf, jnp.finfo(dtype).max, jnp.finfo(dtype).tiny):
        unit, inverse = units(jnp.array([extreme], dtype))
        assert float(unit) * float(inverse) == 1
