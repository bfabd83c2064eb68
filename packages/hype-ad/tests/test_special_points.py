"""Operations of two arguments where formulas break: all derivatives to third order, in every mode, at special points.

What is right is the derivative that mathematics has. Where it is infinite or there is none, what is found must not be
a finite number: such a one would be believed.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D

ORDERS = [(m, n) for m, n in itertools.product(range(4), repeat=2) if m + n <= 3]
POINTS = [(a, b) for a in (-2.0, -1.0, 0.0, 1.0, 2.5) for b in (-1.0, 0.0, 0.5, 1.0, 2.0, 3.0)]


class Problem(NamedTuple):
    name: str
    f: Callable
    expected: Callable
    """(m, n, a, b) -> the derivative m times by the first and n times by the second argument; NaN if there is none."""


def product(m, n, a, b):
    return (a, 1.0, 0.0, 0.0)[m] * (b, 1.0, 0.0, 0.0)[n]


def ratio(m, n, a, b):
    if b == 0:
        return np.nan
    return (a, 1.0, 0.0, 0.0)[m] * (-1) ** n * math.factorial(n) / b ** (n + 1)


def power(m, n, a, b):
    if a == 0:  # the limit, if there is one
        near, nearer = power(m, n, 1e-40, b), power(m, n, 1e-60, b)
        return np.round(nearer, 6) if abs(nearer - near) < 1e-6 else np.nan
    if a < 0 and (n or b % 1):
        return np.nan
    log = np.log(abs(a))
    factor = {
        **{(0, n): log**n for n in range(4)},
        (1, 0): b,
        (1, 1): 1 + b * log,
        (1, 2): log * (2 + b * log),
        (2, 0): b * (b - 1),
        (2, 1): 2 * b - 1 + b * (b - 1) * log,
        (3, 0): b * (b - 1) * (b - 2),
    }
    return factor[m, n] * (np.power(a, b - m) if a > 0 else a ** int(b - m))


def angle(m, n, a, b):
    if m == n == 0:
        return math.atan2(a, b)
    if a == b == 0:
        return 0.0  # by convention
    k = m + n  # the angle is the imaginary part of log(b + i a)
    return (1j**m * (-1) ** (k - 1) * math.factorial(k - 1) / complex(b, a) ** k).imag


def extreme(choose):
    def derivative(m, n, a, b):
        if m == n == 0:
            return choose(a, b)
        slopes = (0.5, 0.5) if a == b else (float(choose(a, b) == a), float(choose(a, b) == b))
        return slopes[n] if m + n == 1 else 0.0

    return derivative


PROBLEMS = [
    Problem("multiply", lambda x, y: D(x) * D(y), product),
    Problem("divide", lambda x, y: D(x) / D(y), ratio),
    Problem("power", lambda x, y: D(x) ** D(y), power),
    Problem("atan2", ad.atan2, angle),
    Problem("maximum", ad.maximum, extreme(max)),
    Problem("minimum", lambda x, y: ad.minimum(D(x), D(y)), extreme(min)),
]


def nested(f, m, n, differentiate):
    for argument in [0] * m + [1] * n:
        f = differentiate(f, argument)
    return f


# The others are rules of the same kind.
FIRST = {"power", "atan2", "maximum"}


def each_problem(test):
    marked = [pytest.param(p, id=p.name, marks=() if p.name in FIRST else pytest.mark.slow) for p in PROBLEMS]
    return pytest.mark.parametrize("problem", marked)(test)


@each_problem
def test_all_derivatives_to_third_order(problem):
    f = lambda x, y: jnp.asarray(problem.f(x, y))
    by_mode = [nested(f, m, n, mode) for mode in (jax.grad, jax.jacfwd) for m, n in ORDERS]
    found = jax.jit(jax.vmap(lambda x, y: jnp.stack([g(x, y) for g in by_mode])))(*np.array(POINTS).T)
    for (a, b), derivatives in zip(POINTS, np.asarray(found), strict=True):
        for (m, n), both in zip(ORDERS, derivatives.reshape(2, -1).T, strict=True):
            expected = problem.expected(m, n, a, b)
            if math.isnan(problem.expected(0, 0, a, b)):
                continue  # the value tells
            if math.isnan(expected):
                assert not np.any(np.isfinite(both)), (a, b, m, n, both)
            else:
                np.testing.assert_allclose(both, [expected] * 2, rtol=1e-12, atol=1e-12, err_msg=f"{(a, b, m, n)}")


@each_problem
def test_series_have_these_derivatives_too(problem):
    directions = [(1.0, 0.0), (0.0, 1.0), (1.0, -2.0)]

    def third(x, y, u, v):
        return ad.diffn(3, lambda t: jnp.asarray(problem.f(x + u * t if u else x, y + v * t if v else y)))(0.0)

    found = jax.jit(jax.vmap(lambda x, y: jnp.stack([third(x, y, *uv) for uv in directions])))(*np.array(POINTS).T)
    for (a, b), derivatives in zip(POINTS, np.asarray(found), strict=True):
        for (u, v), derivative in zip(directions, derivatives, strict=True):
            terms = [(math.comb(3, m) * u**m * v ** (3 - m), (m, 3 - m)) for m in range(4)]
            expected = sum(factor * problem.expected(m, n, a, b) for factor, (m, n) in terms if factor)
            if math.isnan(problem.expected(0, 0, a, b)):
                continue
            if math.isnan(expected):
                assert not np.isfinite(derivative), (a, b, u, v, derivative)
            elif a != b or "imum" not in problem.name:  # a tie has no series
                np.testing.assert_allclose(derivative, expected, rtol=1e-11, atol=1e-12, err_msg=f"{(a, b, u, v)}")


@pytest.mark.slow
def test_hessians_of_powers_at_an_exponent_of_zero():
    expected = [[0, 0.5], [0.5, np.log(2) ** 2]]
    of_scalars, of_vectors, of_matrices, of_base = (
        lambda w: w[0] ** w[1],
        lambda w: (w[:1] ** w[1:]).sum(),
        lambda w: (DM([w]).T ** DM([w[1:]])).sum() - w[1] ** w[1],
        lambda w: (w.array[:1] ** w[1:]).sum(),
    )
    hessians = jax.jit(lambda w: [ad.hessian(f)(w) for f in (of_scalars, of_vectors, of_base)])
    for hessian in hessians(DV([2.0, 0.0])):
        np.testing.assert_allclose(hessian, expected, rtol=1e-14)
    np.testing.assert_allclose(jax.jit(ad.hessian(of_matrices))(DV([2.0, 1.0]))[0, 1], 1 + np.log(2), rtol=1e-14)
    assert float(ad.diffn(3, lambda t: t**t)(D(1.0))) == pytest.approx(3.0, rel=1e-14)
    assert float(ad.diffn(3, lambda t: t ** np.float64(2.0))(D(0.0))) == 0.0
