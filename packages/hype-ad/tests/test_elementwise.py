"""Each elementwise function against its closed forms, to second order, also where the usual formulas break."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, AbstractTensor, D
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

inf, nan = np.inf, np.nan


class Problem(NamedTuple):
    name: str
    value: Callable
    first: Callable
    second: Callable
    at: tuple[float, ...] = (-2.5, -0.3, 0.4, 1.7, 6.0)


def logistic(x):
    return special.expit(x)


def slope(x):
    return special.expit(x) * special.expit(-x)


zero = np.zeros_like
INSIDE = (-0.9, -0.2, 0.4, 0.7)
POSITIVE = (0.1, 1.0, 3.5, 200.0)
PROBLEMS = [
    Problem("exp", np.exp, np.exp, np.exp),
    Problem("log", np.log, lambda x: 1 / x, lambda x: -1 / x**2, POSITIVE),
    Problem("log10", np.log10, lambda x: 1 / x / np.log(10), lambda x: -1 / x**2 / np.log(10), POSITIVE),
    Problem("sqrt", np.sqrt, lambda x: 0.5 * x**-0.5, lambda x: -0.25 * x**-1.5, POSITIVE),
    Problem("sin", np.sin, np.cos, lambda x: -np.sin(x)),
    Problem("cos", np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)),
    Problem("tan", np.tan, lambda x: 1 + np.tan(x) ** 2, lambda x: 2 * np.tan(x) * (1 + np.tan(x) ** 2)),
    Problem("asin", np.arcsin, lambda x: (1 - x**2) ** -0.5, lambda x: x * (1 - x**2) ** -1.5, INSIDE),
    Problem("acos", np.arccos, lambda x: -((1 - x**2) ** -0.5), lambda x: -x * (1 - x**2) ** -1.5, INSIDE),
    Problem("atan", np.arctan, lambda x: 1 / (1 + x**2), lambda x: -2 * x / (1 + x**2) ** 2),
    Problem("sinh", np.sinh, np.cosh, np.sinh),
    Problem("cosh", np.cosh, np.sinh, np.cosh),
    Problem("tanh", np.tanh, lambda x: np.cosh(x) ** -2, lambda x: -2 * np.tanh(x) * np.cosh(x) ** -2),
    Problem("absolute", np.abs, np.sign, zero),
    Problem("sign", np.sign, zero, zero),
    Problem("floor", np.floor, zero, zero),
    Problem("ceil", np.ceil, zero, zero),
    Problem("round", np.round, zero, zero),
    Problem("relu", lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, zero),
    Problem("sigmoid", logistic, slope, lambda x: slope(x) * (1 - 2 * logistic(x))),
    Problem("softplus", lambda x: np.log1p(np.exp(x)), logistic, slope),
    Problem(
        "softsign",
        lambda x: x / (1 + abs(x)),
        lambda x: (1 + abs(x)) ** -2,
        lambda x: -2 * np.sign(x) * (1 + abs(x)) ** -3,
    ),
]


# Where a textbook formula gives NaN, or where there is a convention to hold: point, value, first, second derivative.
SPECIAL = [
    ("relu", 0.0, 0.0, 0.0, 0.0),
    ("relu", inf, inf, 1.0, 0.0),
    ("relu", -inf, 0.0, 0.0, 0.0),
    ("relu", nan, nan, 1.0, 0.0),
    ("softplus", 0.0, np.log(2), 0.5, 0.25),
    ("softplus", 1e3, 1e3, 1.0, 0.0),
    ("softplus", -1e3, 0.0, 0.0, 0.0),
    ("softplus", -40.0, np.exp(-40), np.exp(-40), np.exp(-40)),
    ("softplus", inf, inf, 1.0, 0.0),
    ("softplus", -inf, 0.0, 0.0, 0.0),
    ("softplus", nan, nan, nan, nan),
    ("sigmoid", 1e3, 1.0, 0.0, 0.0),
    ("sigmoid", -1e3, 0.0, 0.0, 0.0),
    ("sigmoid", inf, 1.0, 0.0, 0.0),
    ("sigmoid", -inf, 0.0, 0.0, 0.0),
    ("tanh", 1e3, 1.0, 0.0, 0.0),
    ("softsign", 0.0, 0.0, 1.0, 0.0),
    ("softsign", 1e200, 1.0, 0.0, 0.0),
    ("softsign", inf, 1.0, 0.0, 0.0),
    ("softsign", -inf, -1.0, 0.0, 0.0),
    ("softsign", nan, nan, nan, nan),
    ("sign", 0.0, 0.0, 0.0, 0.0),
    ("absolute", 0.0, 0.0, 0.0, 0.0),
    ("absolute", -inf, inf, -1.0, 0.0),
    ("absolute", nan, nan, nan, 0.0),
    ("sqrt", 0.0, 0.0, inf, -inf),
    ("log", 0.0, -inf, inf, -inf),
]


@functools.cache
def derivatives(name):
    """Value, first derivatives in both modes, and second ones forward over each, of an elementwise function."""
    f = getattr(ad, name)
    forward = lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]
    reverse = jax.grad(lambda x: jnp.sum(f(x)))
    second = [lambda x, g=g: jax.jvp(g, (x,), (jnp.ones_like(x),))[1] for g in (forward, reverse)]
    compiled = jax.jit(lambda x: (f(x), (forward(x), reverse(x)), [g(x) for g in second]))
    # One shape for all calls: one program a function.
    return lambda points: jax.tree.map(
        lambda y: np.asarray(y)[: len(points)], compiled(np.array([*points, *[0.5] * 6][:6]))
    )


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_values_and_derivatives(problem):
    x = np.array(problem.at)
    value, firsts, seconds = derivatives(problem.name)(problem.at)
    np.testing.assert_allclose(value, problem.value(x), rtol=1e-13, atol=1e-15)
    for first in firsts:
        np.testing.assert_allclose(first, problem.first(x), rtol=1e-12, atol=1e-14)
    for second in seconds:
        np.testing.assert_allclose(second, problem.second(x), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("name", "x", "value", "first", "second"), SPECIAL)
def test_special_points(name, x, value, first, second):
    found, firsts, seconds = derivatives(name)([x])
    np.testing.assert_allclose(found, [value], rtol=1e-14)
    np.testing.assert_allclose(firsts, [[first]] * 2, rtol=1e-12)
    np.testing.assert_allclose(seconds, [[second]] * 2, rtol=1e-12)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_answers_in_kind(problem):
    f = getattr(ad, problem.name)
    for x in (D(0.5), DV([0.5]), DM([[0.5, 0.1]]), DV(jnp.ones(2, jnp.float32)), jnp.ones((2, 1, 3))):
        result = jax.eval_shape(f, x)
        assert type(result) is (type(x) if isinstance(x, AbstractTensor) else jax.ShapeDtypeStruct)
        assert (result.shape, result.dtype) == (x.shape, x.dtype)
    assert type(jax.eval_shape(lambda: f(0.5))) is jax.ShapeDtypeStruct
    assert f.__doc__


@pytest.mark.parametrize("f", [ad.maximum, ad.minimum], ids=["maximum", "minimum"])
def test_extremes_of_two(f):
    reference = np.maximum if f is ad.maximum else np.minimum
    x, y = np.array([1.0, 2.0, 1e300, inf, -inf]), np.array([2.0, 2.0, 1.0, inf, inf])
    both = jax.jit(lambda x, y: (f(x, y), jax.grad(lambda x, y: jnp.sum(f(x, y)), (0, 1))(x, y)))
    value, (by_x, by_y) = both(x, y)
    np.testing.assert_array_equal(value, reference(x, y))
    picks_x = np.where(x == y, 0.5, reference(x, y) == x)
    np.testing.assert_array_equal(by_x, picks_x)
    np.testing.assert_array_equal(by_y, 1 - picks_x)


def test_angle_of_a_point():
    y, x = np.array([1.0, -1.0, 0.0, 2.0]), np.array([1.0, -3.0, -1.0, 0.0])
    np.testing.assert_allclose(ad.atan2(y, x), np.arctan2(y, x), rtol=1e-15)
    by_y, by_x = jax.jit(jax.grad(lambda y, x: jnp.sum(ad.atan2(y, x)), (0, 1)))(y, x)
    np.testing.assert_allclose(by_y, x / (x**2 + y**2), atol=1e-15)
    np.testing.assert_allclose(by_x, -y / (x**2 + y**2), atol=1e-15)
    np.testing.assert_array_equal(ad.atan2(x=x, y=y), ad.atan2(y, x))
    origin = jax.value_and_grad(ad.atan2, (0, 1))(0.0, 0.0)
    np.testing.assert_array_equal(origin[0], 0.0)
    np.testing.assert_array_equal(origin[1], [0.0, 0.0])


def test_functions_of_two_answer_in_kind():
    v, m = DV([1.0, -2.0]), DM([[1.0, 2.0], [3.0, -4.0]])
    assert isinstance(ad.maximum(v, 0), DV)
    assert isinstance(ad.maximum(0.5, v), DV)
    assert isinstance(ad.maximum(D(1.0), D(2.0)), D)
    assert isinstance(ad.maximum(v, m), DM)
    assert isinstance(ad.maximum(v.array, m), DM)
    assert isinstance(ad.maximum(v.array, 1.0), jax.Array)
    np.testing.assert_array_equal(ad.minimum(m, v), np.minimum(m, v))
    assert ad.maximum(v.astype(jnp.float32), 0.0).dtype == jnp.float32
    with pytest.raises(ValueError, match=r"^The operands must have shapes that broadcast"):
        ad.maximum(v, DV([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("x", "y", "by_x", "by_y"),
    [
        (0.0, 2.0, 0.0, 0.0),
        (0.0, 1.0, 1.0, 0.0),
        (0.0, 0.0, 0.0, -inf),
        (2.0, 0.0, 0.0, np.log(2)),
        (-2.0, 3.0, 12.0, nan),
        (2.0, -1.0, -0.25, np.log(2) / 2),
    ],
)
def test_derivatives_of_powers(x, y, by_x, by_y):
    (value, gradient), along_x = power_and_slopes(D(x), D(y))
    assert value == x**y
    np.testing.assert_allclose(gradient[0], by_x, rtol=1e-14)
    np.testing.assert_allclose(gradient[1], by_y, rtol=1e-14)
    np.testing.assert_allclose(along_x, by_x, rtol=1e-14)


@jax.jit
def power_and_slopes(x, y):
    both = jax.value_and_grad(lambda x, y: (x**y).array, (0, 1))(x, y)
    return both, jax.jvp(lambda x: x**y, (x,), (D(1.0),))[1]


def test_powers_at_zero_to_third_order():
    exponents, orders = (0, 1, 2, 3, 0.0, 1.0, 2.0, 3.0), range(4)

    @jax.jit
    def every(x):
        powers = [lambda x, exponent=exponent: (D(x) ** exponent).array for exponent in exponents]
        return [[functools.reduce(lambda f, _: jax.grad(f), range(order), f)(x) for order in orders] for f in powers]

    for exponent, derivatives in zip(exponents, every(0.0), strict=True):
        for order, found in zip(orders, derivatives, strict=True):
            expected = {0: exponent == 0, exponent: np.prod(range(1, int(exponent) + 1))}.get(order, 0.0)
            assert float(found) == float(expected), (exponent, order)


@pytest.mark.parametrize(
    ("x", "y", "by_x", "by_y"),
    [
        (0.0, 1.0, 0.0, 0.0),
        (0.0, 2.0, 2.0, 0.0),
        (0.0, 3.5, 0.0, 0.0),
        (2.0, 1.5, 0.75 * 2**-0.5, np.log(2) ** 2 * 2**1.5),
        (0.7, 0.0, 0.0, np.log(0.7) ** 2),
    ],
)
def test_powers_of_a_traced_exponent_to_second_order(x, y, by_x, by_y):
    np.testing.assert_allclose(second_derivatives_of_power(x, y), (by_x, by_y), rtol=1e-13)


@jax.jit
def second_derivatives_of_power(x, y):
    f = lambda x, y: (D(x) ** D(y)).array
    return jax.grad(jax.grad(f))(x, y), jax.grad(jax.grad(f, 1), 1)(x, y)


def test_division_differentiates_by_both():
    a, s = DM([[1.0, 2.0], [3.0, 4.0]]), D(2.0)
    reverse = jax.grad(lambda a, s: (a / s).sum().array, (0, 1))
    forward = lambda a, s: jax.jvp(lambda s: a / s, (s,), (D(1.0),))[1]
    (by_a, by_s), along = jax.jit(lambda a, s: (reverse(a, s), forward(a, s)))(a, s)
    np.testing.assert_array_equal(by_a, np.full((2, 2), 0.5))
    np.testing.assert_array_equal(by_s, -10 / 4)
    np.testing.assert_array_equal(along, -np.asarray(a) / 4)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=4, max_size=4))
def test_identities(x):
    found = combined(DV(x))
    np.testing.assert_allclose(found["softplus"], x, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found["sigmoid"], 1.0, rtol=1e-15)
    np.testing.assert_allclose(*found["maximum with zero"])
    np.testing.assert_allclose(found["relu"], x)
    np.testing.assert_allclose(*found["maximum with the negative"])
    assert np.all(np.abs(found["softsign"]) < 1)


@jax.jit
def combined(v):
    return {
        "softplus": ad.softplus(v) - ad.softplus(-v),
        "sigmoid": ad.sigmoid(v) + ad.sigmoid(-v),
        "maximum with zero": (ad.maximum(v, 0.0), ad.relu(v)),
        "relu": ad.relu(v) - ad.relu(-v),
        "maximum with the negative": (ad.maximum(v, -v), abs(v)),
        "softsign": ad.softsign(v).array,
    }
