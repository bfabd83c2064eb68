from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.internal.mode import check_mode
from hype_ad.testing import Comparison, assert_derivatives_match, central_difference, compare_along, tree_allclose

from .operators import array


class Point(NamedTuple):
    weights: jax.Array
    rate: float
    steps: int


POINT = Point(array([0.3, -1.2, 0.8]), 1e-3, 4)


def smooth(p):
    return {"loss": jnp.sum(jnp.sin(p.weights) ** p.steps) * jnp.log(p.rate), "steps": p.steps, "w": p.weights**3}


def with_rule(forward, reverse=None):
    """x**2 summed, whose derivative is the one given."""
    if reverse is None:
        f = jax.custom_jvp(lambda x: jnp.sum(x**2))
        f.defjvp(lambda x, v: (f(*x), jnp.vdot(forward(*x), *v)))
    else:
        f = jax.custom_vjp(lambda x: jnp.sum(x**2))
        f.defvjp(lambda x: (f(x), x), lambda x, u: (u * reverse(x),))
    return f


@pytest.mark.parametrize("order", [1, 2, 3])
def test_right_derivatives_pass(order):
    assert_derivatives_match(smooth, POINT, order=order)


def test_data_dependent_loop_passes_in_forward_mode():
    def f(x):
        return jax.lax.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, jnp.sin(c[1]) * x), (0, x))[1]

    assert_derivatives_match(f, 0.7, order=2, modes=("forward",))


def test_floor_of_domain_is_found():
    # the longest steps leave the domain of log, and the differences there must not spoil the rest
    assert_derivatives_match(jnp.log, jnp.array([1e-3, 2e-3]), order=2)


@pytest.mark.parametrize("relative", [1e-5, -1e-5, 1.0])
def test_wrong_rule_fails(relative):
    wrong = with_rule(lambda x: 2 * x * (1 + relative))
    with pytest.raises(AssertionError, match=r"random direction 0 of all of x is .* in reverse mode, but central diff"):
        assert_derivatives_match(wrong, jnp.array([0.3, -1.2]))


def test_small_error_hidden_by_a_large_leaf_fails():
    wrong = with_rule(lambda x: 2 * x + 1e-4)
    f = lambda x: 1e6 * jnp.sum(x["large"]) + wrong(x["small"])
    with pytest.raises(AssertionError, match=r"a random direction of x\['small'\] alone"):
        assert_derivatives_match(f, {"large": jnp.ones(3), "small": jnp.ones(2)})


def test_wrong_second_derivative_fails():
    wrong = with_rule(lambda x: 2 * jax.lax.stop_gradient(x))
    assert_derivatives_match(wrong, jnp.array([0.3, -1.2]))
    with pytest.raises(AssertionError, match="derivative of order 2"):
        assert_derivatives_match(wrong, jnp.array([0.3, -1.2]), order=2)


def test_a_rule_of_another_function_fails():
    @jax.custom_jvp
    def cubes(x):
        return jnp.sum(x**3)

    @cubes.defjvp
    def squares(x, v):  # a value and its derivative, but not those of cubes
        return jnp.sum(x[0] ** 2), jnp.vdot(2 * x[0], *v)

    with pytest.raises(AssertionError, match="but central differences say"):
        assert_derivatives_match(cubes, jnp.array([0.3, -1.2]), order=2)


def test_modes_that_differ_fail():
    @jax.custom_jvp
    def f(x):
        return jnp.sum(x**2)

    @f.defjvp
    def rule(x, v):  # linear_call gives the two modes rules of their own
        (x,), (v,) = x, v
        forward = lambda x, v: jnp.vdot(2 * x, v)
        backward = lambda x, u: 2 * x * u * (1 + 1e-8)
        return f(x), jax.custom_derivatives.linear_call(forward, backward, x, v)

    with pytest.raises(AssertionError, match=r"in reverse mode and .* in forward mode"):
        assert_derivatives_match(f, jnp.array([0.3, -1.2]))
    assert_derivatives_match(f, jnp.array([0.3, -1.2]), mode_rtol=1e-7)
    assert_derivatives_match(f, jnp.array([0.3, -1.2]), modes=("reverse",))


def test_reverse_only_rule():
    assert_derivatives_match(with_rule(None, lambda x: 2 * x), jnp.array([0.3, -1.2]), modes=("reverse",))


@pytest.mark.parametrize("f", [jnp.sqrt, lambda x: jnp.linalg.norm(jnp.stack([x, x]))])
def test_derivatives_that_are_not_finite_fail(f):
    with pytest.raises(AssertionError, match=r"is (nan|inf|-inf) in reverse mode"):
        assert_derivatives_match(f, 0.0)


def test_value_that_is_not_finite_fails():
    with pytest.raises(AssertionError, match="not finite"):
        assert_derivatives_match(lambda x: x / 0.0, 1.0)


def test_noise_proves_nothing():
    single = lambda x: jnp.sin(x.astype(jnp.float32)).astype(jnp.float64)
    with pytest.raises(AssertionError, match="cannot judge"):
        assert_derivatives_match(single, 0.3, rtol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": np.ones(2, np.float32)}, TypeError, "`x` is float32"),
        ({"x": {"a": 1}}, TypeError, "`x` has no floats"),
        ({"f": lambda x: jnp.argmax(x)}, TypeError, r"`f\(x\)` has no floats"),
        ({"f": lambda x: x.astype(jnp.float32)}, TypeError, r"`f\(x\)` is float32"),
        ({"order": 0}, ValueError, "`order` must be at least 1, got 0"),
        ({"num_directions": 0}, ValueError, "`num_directions` must be at least 1, got 0"),
        ({"modes": ()}, ValueError, '`modes` must name at least one of "reverse" and "forward"'),
    ],
)
def test_bad_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        assert_derivatives_match(**({"f": jnp.sin, "x": jnp.ones(2)} | arguments))


def test_unknown_mode_raises():
    # where annotations are checked, as here, an unknown mode does not get as far as this check
    with pytest.raises(ValueError, match=r'^`modes` must be "reverse" or "forward", got .backward.'):
        check_mode("modes", "backward")


class Layer(eqx.Module):
    weights: jax.Array
    activation: str = eqx.field(static=True)


ONES = array([1.0, 1.0])
CLOSE = [
    ((ONES, {"a": 1.0}), (array([1.0, 1.0 + 1e-7]), {"a": 1.0})),
    (np.ones(2), ONES),
    (jax.random.key(3), jax.random.key(3)),
    (Layer(ONES, "tanh"), Layer(array([1.0, 1.0]), "tanh")),
    ("name", "name"),
]
APART = [
    (ONES, array([1.0, 1.0, 1.0])),
    (ONES, jnp.asarray(np.ones(2, np.float32), jnp.float32)),
    (ONES, [ONES]),
    (ONES, array([1.0, 1.001])),
    (Layer(ONES, "tanh"), Layer(ONES, "relu")),
    (array(np.nan), array(np.nan)),
    (jnp.asarray(np.array(1), int), jnp.asarray(np.array(2), int)),
    (array(1.0), 1.0),
    (1, 1.0),
    (1, True),
    (jax.random.key(3), jax.random.key(4)),
    (jax.random.key(3), ONES),
    ("name", "other"),
    (None, 1.0),
]


@pytest.mark.parametrize(("a", "b"), CLOSE)
def test_close(a, b):
    assert tree_allclose(a, b)
    assert tree_allclose(b, a)


@pytest.mark.parametrize(("a", "b"), APART)
def test_apart(a, b):
    assert not tree_allclose(a, b)
    assert not tree_allclose(b, a)


def test_tolerances():
    assert tree_allclose(array(1.0), array(1.1), rtol=0.2)
    assert tree_allclose(array(0.0), array(0.1), atol=0.2)
    assert not tree_allclose(array(0.0), array(0.1), rtol=0.2)


@pytest.mark.parametrize(
    ("f", "exact"),
    [(np.sin, 1.0), (lambda t: np.exp(3 * t), 3.0), (lambda t: np.log(1e-4 + t), 1e4), (lambda t: 1e6 + t, 1.0)],
)
def test_central_difference_knows_its_error(f, exact):
    with np.errstate(invalid="ignore", divide="ignore"):
        value, error = central_difference(partial(lambda f, t: np.asarray(f(t)), f), rtol=1e-9, atol=0.0)
    assert abs(value - exact) <= error
    assert error <= 1e-7 * exact


JUDGED = {  # values in two modes, the difference and its error, and what follows with relative tolerances 1e-2 and 1e-4
    "right": ((2.0, 2.0001), (2.01, 1e-3), ("ok", "forward")),
    "vanishing": ((1e-9, -1e-9), (0.0, 1e-9), ("ok", "forward")),
    "nan": ((2.0, np.nan), (2.0, 1e-3), ("not finite", "reverse")),
    "modes": ((2.0, 2.001), (2.0, 1e-3), ("modes differ", "reverse")),
    "unsettled": ((2.0, 2.0), (2.0, 0.1), ("undecided", "forward")),
    "never finite": ((2.0, 2.0), (np.nan, np.inf), ("undecided", "forward")),
    "wrong": ((2.0, 2.0), (2.1, 1e-3), ("wrong", "forward")),
    "one wrong": ((2.0, 2.0001), (1.98025, 1e-3), ("wrong", "reverse")),
}


@pytest.mark.parametrize("name", JUDGED)
def test_a_comparison_is_judged(name):
    values, (difference, error), verdict = JUDGED[name]
    compared = Comparison(dict(zip(("forward", "reverse"), values, strict=True)), difference, error)
    assert compared.judge(rtol=1e-2, atol=1e-8, mode_rtol=1e-4, mode_atol=1e-8) == verdict


def test_compare_along_a_direction_of_any_length():
    for length in (1e-3, 1.0, 1e3):
        along = lambda t, length=length: np.asarray(np.sin(0.3 + t * length / 1e3))
        compared = compare_along(along, {"forward": np.cos(0.3) / 1e3}, rtol=1e-7, atol=0.0, length=length)
        assert compared.judge(rtol=1e-7, atol=0.0, mode_rtol=0.0, mode_atol=0.0) == ("ok", "forward")
        assert compared.error <= 1e-7 * compared.difference


def test_central_difference_of_nothing_finite():
    value, error = central_difference(lambda t: np.asarray(np.nan), rtol=1e-9, atol=0.0)
    assert np.isnan(value)
    assert error == np.inf
