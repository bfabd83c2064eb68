"""Derivatives of high order: Taylor mode held against nested forward mode and closed forms."""

import math

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV, D
from hype_ad.testing import tree_allclose
from jax import lax

M = jnp.asarray(np.arange(1.0, 5.0).reshape(2, 2) / 4, float)
V = jnp.asarray(np.array([1.0, -2.0, 3.0]), float)
INDICES = np.array([0, 2, 2])


@jax.custom_jvp
def with_rule(x):
    return jnp.tanh(x)


@with_rule.defjvp
def _(x, v):  # written by its own value, which the series must recognize; three times too steep, to be told from tanh
    y = with_rule(*x)
    return y, 3 * (1 - y * y) * v[0]


# All kinds of operations; those of one list go through one program.
FUNCTIONS = {
    "elementary": [jnp.sin, jnp.cos, jnp.tan, jnp.exp, jnp.exp2, jnp.expm1, jnp.sinh, jnp.cosh, jnp.tanh],
    "inverse": [jnp.arcsin, jnp.arccos, jnp.arctan, jnp.arcsinh, lambda x: jnp.arccosh(x + 2), jnp.arctanh, jnp.log1p],
    "special": [
        jax.nn.sigmoid,
        jax.scipy.special.erf,
        jax.scipy.special.erfc,
        lambda x: jax.scipy.special.gammaln(x + 2),
        lambda x: jnp.arctan2(x, 1 - x),
        lambda x: jnp.sinc(x + 1.5),
        lambda x: jnp.hypot(x, 1.0),
    ],
    "powers": [
        lambda x: x**0,
        lambda x: x**1,
        lambda x: jnp.sin(x) ** 2,
        lambda x: x**5,
        lambda x: (x + 2) ** -3,
        lambda x: x**4.0,
        lambda x: jnp.power(x, V[2]),
        lambda x: (x + 2) ** -0.5,
        lambda x: 2.0**x,
        lambda x: (x + 2) ** jnp.sin(x),
        lambda x: jnp.sqrt(x + 2),
        lambda x: jnp.cbrt(x + 2),
        lambda x: jax.lax.rsqrt(x + 2),
        lambda x: jnp.square(jnp.exp(x)),
    ],
    "arithmetic": [
        lambda x: x * x + x,
        lambda x: jnp.sin(x) * jnp.exp(x) - x / (2 + x),
        lambda x: (1 - x) / 2 + 3 / (x + 2),
        lambda x: -x * x,
        lambda x: x,
        lambda x: jnp.sin(V[0]) * jnp.ones(2),
        lambda x: (x.astype(jnp.float32).astype(jnp.float64)) ** 3,
    ],
    "kinks and ties": [
        lambda x: jnp.abs(x) * x,
        lambda x: jnp.maximum(jnp.sin(x), x),
        lambda x: jnp.minimum(x**2, x),
        lambda x: jnp.clip(x, 0.0, 0.5) * jnp.exp(x),
        lambda x: jnp.where(x > 0, jnp.sin(x), jnp.exp(x)),
        lambda x: jnp.where(x == 0, 0.0, jnp.sqrt(jnp.where(x == 0, 1.0, x * x))),
        lambda x: jnp.sign(x) * jnp.floor(4 * x) * jnp.sin(x),
        lambda x: jax.lax.stop_gradient(x) * jnp.sin(x),
        lambda x: jnp.max(jnp.stack([jnp.sin(x), x, x * x])),
        lambda x: jnp.fmod(x**3, 0.02),
    ],
    "activations": [
        jax.nn.relu,
        jax.nn.softplus,
        jax.nn.silu,
        jax.nn.gelu,
        jax.nn.elu,
        lambda x: jnp.logaddexp(x, jnp.sin(x)),
        with_rule,
        lambda x: jax.nn.softmax(x * V),
        lambda x: jax.nn.logsumexp(x * V),
    ],
    "arrays": [
        lambda x: jnp.sin(x * M) @ jnp.exp(x * M),
        lambda x: M @ jnp.exp(x * M) @ M,
        lambda x: jnp.convolve(jnp.sin(x * V), jnp.exp(x * V)),
        lambda x: jnp.concatenate([jnp.sin(x * V), V, x[None]]),
        lambda x: jnp.sin(x * V)[INDICES],
        lambda x: jnp.sin(x * V).at[INDICES[:2]].add(jnp.exp(x)),
        lambda x: jnp.sin(x * V).at[1].set(jnp.exp(x)),
        lambda x: jnp.pad(jnp.sin(x * V), 2, constant_values=3.0),
        lambda x: jnp.cumsum(jnp.sin(x * V))[::-1],
        lambda x: jnp.cumprod(jnp.sin(x * V)),
        lambda x: jnp.prod(jnp.sin(x * V)),
        lambda x: jnp.sort(jnp.sin(x * V)),
        lambda x: jnp.split(jnp.sin(x * V), 3)[1] + jnp.unstack(x * V)[2],
        lambda x: (jnp.sin(x * M).T.reshape(-1), jnp.mean(x * M, axis=0), jnp.var(jnp.sin(x * V))),
        lambda x: jax.lax.dynamic_update_slice(x * V, jnp.exp(x)[None], (jnp.floor(4 * x).astype(int),)),
        lambda x: jnp.real(jnp.fft.fft(jnp.sin(x * V))),
        lambda x: V[jnp.argmax(x * V)] * jnp.sin(x),
    ],
    "solves": [
        lambda x: jnp.linalg.solve(M + x * jnp.eye(2), V[:2]),
        lambda x: jnp.linalg.cholesky(M @ M.T + (x + 2) * jnp.eye(2)),
        lambda x: jnp.linalg.slogdet(M + x * jnp.eye(2))[1],
    ],
    "control": [
        lambda x: jax.lax.scan(lambda c, v: (jnp.sin(c) * v, c), x, V),
        lambda x: jax.lax.cond(x > 0, jnp.sin, jnp.exp, x),
        lambda x: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(c[1]) * x), (0, x))[1],
        lambda x: jax.checkpoint(lambda y: jnp.sin(y) * x)(x * x),
        lambda x: jax.jit(lambda y: jax.jit(jnp.sin)(y) * x)(x * x),
        lambda x: ad.checkpointed_scan(lambda c, _: (jnp.sin(c) * x, None), x, length=4)[0],
    ],
    "derivatives": [
        lambda x: jax.grad(lambda y: jnp.sum(jnp.tanh(y * V * x)))(x),
        lambda x: ad.hessian(lambda y: jnp.prod(jnp.sin(y * x)))(V[:2] * x),
        lambda x: ad.diffn(3, lambda y: jnp.sin(y * x))(x),
        lambda x: ad.fixed_point(lambda a, b: 0.5 * jnp.sin(a) + b, jnp.array(0.0), x).value,
    ],
}


def nested(f, n):
    for _ in range(n):
        f = lambda x, f=f: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]
    return f


# Made of what the others have.
COMPOSED = {"activations", "derivatives"}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind in COMPOSED else ()) for kind in FUNCTIONS]
)
def test_nested_forward_mode_agrees(kind):
    together = lambda x: [f(x) for f in FUNCTIONS[kind]]
    points = np.array([0.3, 0.0, -0.7])
    both = lambda x: (ad.value_and_diffn(3, together)(x), (together(x), nested(together, 3)(x)))
    ours, expected = jax.jit(jax.vmap(both))(points)
    for i, (mine, theirs) in enumerate(zip(zip(*ours, strict=True), zip(*expected, strict=True), strict=True)):
        # single precision is left at different places on the way
        rtol = 1e-6 if (kind, i) == ("arithmetic", 6) else 1e-9
        assert tree_allclose(mine, theirs, rtol=rtol, atol=1e-9), f"number {i} of {kind}"


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: jnp.exp(-x * x), lambda n: (-1) ** (n // 2) * math.factorial(n) / math.factorial(n // 2)),
        (jnp.arctan, lambda n: (-1) ** (n // 2) * math.factorial(n - 1)),
        (lambda x: 1 / (1 - x), math.factorial),
        (lambda x: jnp.sqrt(1 + x), lambda n: np.prod(0.5 - np.arange(n))),
        (lambda x: x**2.0 * jnp.exp(x), lambda n: n * (n - 1)),
        (lambda x: x**7, lambda n: 5040 if n == 7 else 0),
    ],
    ids=["gauss", "arctan", "geometric", "sqrt", "power", "polynomial"],
)
def test_closed_forms_of_high_order_at_zero(f, expected):
    for n in (7, 12, 17):
        odd_or_even = 0 if (f(0.5) == f(-0.5) and n % 2) or (f(0.5) == -f(-0.5) and n % 2 == 0) else expected(n)
        assert np.isclose(ad.diffn(n, f)(0.0), odd_or_even, rtol=1e-12, atol=1e-12)


def fifty_operations(x):
    y = x
    for _ in range(10):
        y = jnp.sin(y) * x + jnp.exp(-0.1 * y)
    return jnp.tanh(y)


def operations(f):
    return len(jax.make_jaxpr(f)(0.5).eqns)


@pytest.mark.slow
def test_cost_grows_as_the_square_of_the_order():
    assert operations(fifty_operations) >= 50
    second, fifth, tenth = (operations(ad.diffn(n, fifty_operations)) for n in (2, 5, 10))
    assert tenth < 12 * second
    assert tenth < 4 * fifth
    # the rule of softplus has softplus in it, and more
    softplus = lambda x: jax.nn.softplus(jax.nn.softplus(x))
    assert operations(ad.diffn(10, softplus)) < 4 * operations(ad.diffn(5, softplus))


def test_value_and_derivatives_of_tensors_and_pytrees():
    f = lambda x: {"v": DV([x, x**5]), "m": jnp.sin(x.array) * jnp.ones((2, 2)), "c": jnp.ones(2)}
    value, fourth = jax.jit(ad.value_and_diffn(4, f))(D(0.5))
    sines = np.full((2, 2), np.sin(0.5))
    assert tree_allclose(value, {"v": DV([0.5, 0.5**5]), "m": sines, "c": np.ones(2)})
    assert tree_allclose(fourth, {"v": DV([0.0, 60.0]), "m": sines, "c": np.zeros(2)}, rtol=1e-12)


def test_variables_that_the_function_closes_over():
    # d/dc d^5/dx^5 sin(c x) = 5 c^4 cos(c x) - c^5 x sin(c x)
    c, x = 1.3, 0.4
    fifth = lambda c: ad.diffn(5, lambda x: jnp.sin(c * x))(x)
    derivatives = jax.grad(fifth), jax.jacfwd(fifth), ad.diff(fifth), jax.jit(ad.grad(fifth))
    sixth = jax.grad(ad.diffn(5, jnp.sin))
    of_c, of_x = jax.jit(lambda c, x: ([derivative(c) for derivative in derivatives], sixth(x)))(c, x)
    np.testing.assert_allclose(of_c, 5 * c**4 * np.cos(c * x) - c**5 * x * np.sin(c * x), rtol=1e-12)
    assert np.isclose(of_x, -np.sin(x), rtol=1e-12)


def test_nested_series():
    # the third derivative of exp(x y) in y, at y = x, is x^3 exp(x^2)
    inner = lambda x: ad.diffn(3, lambda y: jnp.exp(x * y))(x)
    third = nested(lambda x: x**3 * jnp.exp(x * x), 3)
    ours, expected = jax.jit(lambda x: (ad.diffn(3, inner)(x), third(x)))(0.7)
    assert np.isclose(ours, expected, rtol=1e-12)


def test_rule_that_refuses_is_asked():
    @jax.custom_jvp
    def refuse(x):
        return x

    @refuse.defjvp
    def _(x, v):
        raise ValueError("no derivative here")

    with pytest.raises(ValueError, match="no derivative here"):
        ad.diffn(3, lambda x: refuse(x) * x)(1.0)
    assert ad.diffn(3, lambda x: refuse(jnp.ones(())) * x**3)(1.0) == 6.0


def test_rules_that_differ_are_not_taken_for_each_other():
    def scaled(factor):
        @jax.custom_jvp
        def f(x):
            return jnp.sin(x)

        f.defjvp(lambda x, v: (f(*x), factor * jnp.cos(x[0]) * v[0]))
        return f

    f, g = scaled(2.0), scaled(5.0)
    third = jax.jit(ad.diffn(3, lambda x: f(x) + 100 * g(x)))(0.3)
    assert np.isclose(third, -(2.0 + 500.0) * np.cos(0.3), rtol=1e-12)


@pytest.mark.parametrize("kind", [np.array, jnp.array])
def test_rules_that_differ_in_arrays_of_programs_that_they_call(kind):
    def wave(factor):
        c = kind(factor)

        @jax.custom_jvp
        def f(x):
            return jax.jit(lambda x: jnp.sum(jnp.sin(c * x)))(x)

        f.defjvp(lambda x, v: (f(*x), jax.jit(lambda x: jnp.sum(c * jnp.cos(c * x)))(*x) * v[0]))
        return f

    f, g = wave([1.0, 2.0]), wave([3.0, 4.0])
    third = jax.jit(ad.diffn(3, lambda x: f(x) + 100 * g(x)))(0.3)
    expected = lambda c: -(c**3) * np.cos(0.3 * c)
    assert np.isclose(third, expected(1) + expected(2) + 100 * (expected(3) + expected(4)), rtol=1e-12)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jnp.ones(3) + x**4,
        lambda x: x**4 - jnp.ones(3),
        lambda x: jnp.sum(jnp.ones((3, 2)) + x**4 * jnp.ones((1, 2))),
        lambda x: x * jnp.ones((3, 1)) + jnp.sin(x) * jnp.ones((1, 2)),
        lambda x: lax.cond(x > 0, lambda x: jnp.ones(3) + x**4, lambda x: jnp.ones(3), x),
        lambda x: (x * jnp.ones(3)) ** np.array([1.5, 2.0, 5.0]),
    ],
)
def test_operands_of_different_shapes(f):
    along = ad.diffnv(3, lambda x: f(x[0] * x[1]))
    every = jax.jit(lambda x, v: (nested(f, 3)(x[0]), ad.diffn(3, f)(x[0]), along(x, v)))
    expected, third, directional = every(np.array([0.7, 1.0]), np.array([1.0, 0.0]))
    assert third.shape == expected.shape
    assert np.allclose(third, expected, rtol=1e-12)
    assert np.allclose(directional, expected, rtol=1e-12)


def test_effects_happen_once(capfd):
    def f(x):
        jax.debug.print("here")
        return x**4

    assert ad.diffn(3, f)(2.0) == 48.0
    jax.effects_barrier()
    assert capfd.readouterr().out.count("here") == 1


def test_long_programs_do_not_recurse():
    def f(x):
        y = x
        for _ in range(1100):
            y = y + 0.001 * x
        return y * y * y

    assert np.isclose(ad.diffn(3, f)(1.0), 6 * 2.1**3, rtol=1e-10)
