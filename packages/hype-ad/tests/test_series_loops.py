"""Series through loops, and through what a program repeats, held to closed forms and to nested forward mode."""

import math
from functools import partial

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad._diff import repeats
from hype_ad.testing import assert_derivatives_match
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr

TIMES, ORDER = 8, 3


def operations(program):
    inner = [value for e in program.eqns for value in jax.tree.leaves(list(e.params.values()), is_leaf=is_program)]
    return len(program.eqns) + sum(operations(value) for value in inner if is_program(value))


def is_program(value):
    return isinstance(value, Jaxpr | ClosedJaxpr)


def cost(n, f):
    return operations(jax.make_jaxpr(ad.diffn(n, f))(0.3).jaxpr)


@pytest.fixture
def few_repeats(monkeypatch):
    monkeypatch.setattr(repeats, "LEAST_PRODUCTS", (TIMES // 2) * ORDER**2)


def repeated(c, x, times=TIMES):
    """x / (1 + times c x)."""
    for _ in range(times):
        x = x / (1 + c * x)
    return x


def closed_form(c, x, n=ORDER, times=TIMES):
    return (-1) ** (n + 1) * math.factorial(n) * (times * c) ** (n - 1) / (1 + times * c * x) ** (n + 1)


def test_what_repeats_is_a_loop_with_all_derivatives(few_repeats):
    c, x = 0.1, np.array([0.3, 0.0])
    derivative = lambda c, x: ad.diffn(ORDER, lambda x: repeated(c, x))(x)

    @jax.jit
    def slopes(c, x):
        reverse = lambda f: jax.vmap(jax.value_and_grad(f, argnums=(0, 1)), in_axes=(None, 0))(c, x)
        forward = lambda f: jax.jvp(f, (c, x[0]), (c, x[0]))[1]
        return [(reverse(f), forward(f)) for f in (derivative, closed_form)]

    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9), *slopes(c, x))


def test_the_length_of_what_repeats_often_does_not_count():
    short, long = (cost(10, lambda x, times=times: repeated(0.1, x, times)) for times in (20, 150))
    assert short == long < cost(10, lambda x: repeated(0.1, x, 10))


def sum_of_all(x):
    total = 0.0
    for _ in range(TIMES):
        x = jnp.sin(x)
        total = total + x  # each value is used by the next two operations only
    return total


def all_in_a_list(x):
    values = [x]
    for _ in range(TIMES):
        values.append(jnp.sin(values[-1]))
    return jnp.stack(values) @ jnp.arange(len(values), dtype=x.dtype)


def two_back(x):
    before, now = x, jnp.cos(x)
    for _ in range(TIMES):
        before, now = now, jnp.sin(now) + 0.1 * before
    return now


def of_numbers_that_differ(x):
    for i in range(TIMES):
        x = jnp.sin(x) + 0.01 * i
    return x


def beside_what_does_not_change(x):
    c = jnp.ones(2)
    for _ in range(TIMES):
        c = jnp.sin(c)
    for _ in range(TIMES):
        x = jnp.sin(x * c[0]) + c[1]
    return x


@pytest.mark.slow
def test_repeats_of_every_kind(few_repeats, monkeypatch):
    functions = [sum_of_all, all_in_a_list, two_back, of_numbers_that_differ, beside_what_does_not_change]
    loops = [str(jax.make_jaxpr(ad.diffn(ORDER, f))(0.4)).count("scan[") for f in functions]
    assert loops == [1, 0, 1, 0, 1]  # two steps at a time where a value is used the step after next
    found = jax.jit(lambda x: [ad.diffn(ORDER, f)(x) for f in functions])(0.4)
    monkeypatch.setattr(repeats, "LEAST_PRODUCTS", 10**9)
    expected = jax.jit(lambda x: [ad.diffn(ORDER, f)(x) for f in functions])(0.4)
    assert np.allclose(found, expected, rtol=1e-10)


def loop(x, c):
    """All kinds of loops and branches, on what changes, on what comes to change and on what does not."""
    rows = jnp.array([1.0, -2.0, 3.0])
    y, (kept, constant) = lax.scan(lambda y, row: (jnp.sin(y * c) * row + x, (y, row)), x, rows, reverse=True)
    y, fixed = lax.fori_loop(0, 3, lambda i, s: (jnp.exp(-s[0]) + i * x, s[1] * 2.0), (y, c))
    y = lax.cond(y > 0, lambda y: (y * x, x), lambda y: (y, 1.0), y)
    _, y, z = lax.while_loop(
        lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * s[2], jnp.cos(s[1])), (0, 1.0, y[0] + y[1])
    )
    return y * fixed + z + kept @ constant


def test_loops_carry_series():
    point = (0.3, 0.7)
    nested = lambda x, c: jnp.array(loop(x, c))
    for _ in range(4):
        nested = lambda x, c, f=nested: jax.jvp(lambda x: f(x, c), (x,), (jnp.ones_like(x),))[1]
    fourth = lambda point: ad.diffn(4, lambda x: loop(x, point[1]))(point[0])
    ours, theirs = jax.jit(lambda *point: (fourth(point), nested(*point)))(*point)
    assert np.isclose(ours, theirs, rtol=1e-10)


def test_loops_cost_the_square_of_the_order():
    one = lambda x: lax.scan(lambda y, _: (jnp.sin(y), None), x, None, 3)[0]
    assert cost(10, one) < 6 * cost(4, one)
    assert cost(10, lambda x: lax.cond(x > 0, jnp.sin, jnp.exp, x)) < 6 * cost(4, jnp.sin)


def test_derivatives_through_loops():
    scanned = lambda p: lax.scan(lambda y, row: (jnp.sin(y * p[1]) * row, None), p[0], np.array([1.0, -2.0]))[0]
    assert_derivatives_match(lambda p: ad.diffn(3, lambda x: scanned((x, p[1])))(p[0]), (0.3, 0.7))
