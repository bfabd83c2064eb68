"""Ranges: values are where they were put, stay inside whatever the unconstrained coordinates, and have derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import Params, interval, minimize, positive, probabilities, unbounded, unit_interval

RANGES = {
    "positive": (positive, 0.3, (0, np.inf)),
    "positive with a limit": (lambda x: positive(x, upper=2.0), 0.3, (0, 2)),
    "unit_interval": (unit_interval, 0.3, (0, 1)),
    "interval": (lambda x: interval(x, -3.0, 5.0), -1.5, (-3, 5)),
    "unbounded": (unbounded, -1.5, (-np.inf, np.inf)),
    "probabilities": (probabilities, [0.2, 0.5, 0.3], (0, 1)),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_range_starts_where_it_was_put_and_is_never_left(name):
    make, value, (low, high) = RANGES[name]
    made = make(jnp.asarray(value))
    np.testing.assert_allclose(made.value, value, rtol=1e-12)
    for step in (-30.0, -3.0, 3.0, 30.0):
        moved = jax.tree.map(lambda raw, step=step: raw + step * jnp.arange(1, raw.size + 1.0).reshape(raw.shape), made)
        assert np.all((moved.value >= low) & (moved.value <= high))
    assert_derivatives_match(lambda x: jnp.sum(jnp.sin(make(x).value)), jnp.asarray(value), order=2)


def test_probabilities_are_normalized_and_sum_to_one_wherever_they_are_moved():
    made = probabilities([[1, 3], [2.0, 2.0]])
    np.testing.assert_allclose(made.value, [[0.25, 0.75], [0.5, 0.5]])
    moved = jax.tree.map(lambda raw: raw + jnp.array([[1.0, -2.0], [0.0, 9.0]]), made)
    np.testing.assert_allclose(moved.value.sum(axis=1), 1)


def test_a_limit_above_acts_like_a_logarithm_far_below_it():
    # A step of log(2) in the unconstrained coordinate doubles the value.
    moved = jax.tree.map(lambda raw: raw + jnp.log(2.0), positive(1e-6, upper=1.0))
    np.testing.assert_allclose(moved.value, 2e-6, rtol=1e-5)


def test_a_pytree_is_unbounded_in_all_its_floats():
    made = unbounded({"a": 1.0, "b": jnp.arange(3), "c": np.ones(2), "d": "text"})
    assert made["b"].dtype == int
    assert made["d"] == "text"
    np.testing.assert_array_equal(made["a"].value, 1)
    np.testing.assert_array_equal(made["c"].value, [1, 1])


def test_minimize_stays_in_an_interval():
    params = Params(50, learning_rate=1.0, silent=True)
    found = minimize(lambda w: (w.value - 7) ** 2, interval(3.0, 2.0, 5.0), params)
    assert 4.9 < found.w.value < 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: interval(6.0, 2.0, 5.0), "`value` must be above 2 and below 5, got 6.0"),
        (lambda: interval(3.0, 5.0, 2.0), "`low` must be below 2, got 5.0"),
        (lambda: interval(3.0, 2.0, np.inf), "`high` must be finite, got inf"),
        (lambda: interval(3.0, -np.inf, 5.0), "`low` must be finite, got -inf"),
        (lambda: positive(2.0, upper=1.0), "`value` must be above 0 and below 1, got 2.0"),
        (lambda: positive(0.5, upper=-1.0), "`upper` must be above 0, got -1.0"),
        (lambda: unbounded(np.nan), "`value` must be finite, got nan"),
        (lambda: probabilities(0.5), "at least one axis, along which it sums to 1, got the number 0.5"),
        (lambda: probabilities([0.5, 0.0]), r"`value` must be above 0 and finite, got 0.0 at index \(1,\)"),
    ],
)
def test_values_out_of_their_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: interval(3.0, jnp.ones(2), 5.0), "`low` must be a number known before compiling"),
        (lambda: jax.jit(lambda high: interval(3.0, 2.0, high).value)(5.0), "`high` must be a number known before"),
        (lambda: probabilities("half"), "`value` must be an array or a list of numbers above 0, got 'half'"),
    ],
)
def test_arguments_of_a_wrong_kind(make, message):
    with pytest.raises(TypeError, match=f"{message}|Type-check error"):  # on one Python annotations are checked first
        make()
