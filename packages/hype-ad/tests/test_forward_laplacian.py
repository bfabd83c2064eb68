"""`laplacian`, one operation of a traced program at a time: held to the trace of JAX's Hessian."""

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D
from hype_ad._diff import local_jacobian
from hype_ad.testing import assert_derivatives_match, tree_allclose
from jax import lax

X = np.array([0.7, -1.3, 0.4, 0.9, 0.2, -0.5])
RANDOM = np.random.default_rng(0)
A, B, C = (RANDOM.normal(size=shape) for shape in ((6, 4), (4, 4), (2, 4)))


@jax.custom_jvp
def halved_slope(x):
    return jnp.sin(x) * x[::-1]


@halved_slope.defjvp
def _halved_slope_jvp(primals, tangents):
    ((x,), (v,)) = primals, tangents
    return halved_slope(x), v * jnp.cos(x) / 2 + v[::-1] * x**2


@jax.custom_vjp
def wrong_square(x):
    return x**2


wrong_square.defvjp(lambda x: (x**2, x), lambda x, u: (3 * x * u,))


def perceptron(x):
    return jnp.sum(jnp.tanh(B @ jax.nn.gelu(x @ A)) ** 2)


def attention(x):
    tokens = jnp.sin(x.reshape(3, 2) @ C).reshape(3, 2, 2)
    scores = jnp.einsum("ahd,bhd->hab", tokens @ B[:2, :2], tokens @ B[2:, :2])
    mixed = jnp.einsum("hab,bhd->ahd", jax.nn.softmax(scores), tokens)
    return jnp.sum(jnp.tanh(tokens + mixed) @ B[0, :2])


def products(x):
    m = x.reshape(2, 3)
    twice = jnp.einsum("ij,kj->", m**2, jnp.cos(m)) + jnp.sum((m.T @ jnp.sin(m)) ** 2)
    return twice + jnp.einsum("ij,ij->j", m, jnp.exp(m)) @ x[:3] + jnp.sum(jnp.sin(B[:3, :2] @ m))


def of_two(x):
    a, b = x[:3] ** 2 + 1, x[3:] + 2
    parts = a**b, jnp.atan2(a, b), a / b, 1 / a, jnp.maximum(a, b), jnp.where(a > b, a * b, jnp.sin(a)), a - x[0]
    return sum(jnp.sum(part * b) for part in parts) + x[0] * jnp.sum(jnp.outer(x, a))


def moves(x):
    picked = x[jnp.array([0, 2, 2, 5])] + lax.dynamic_slice(x, (jnp.argmax(x),), (4,)) + x.at[1].set(x[0])[:4]
    joined = jnp.concatenate([x[::-1], jnp.ones(2), jnp.pad(x, 1)[1:3] * x[0]]).reshape(2, 5).T
    table = jnp.stack([x, x**2])[:, jnp.array([1, 1, 4])]
    rows = lax.reshape(x.reshape(2, 3), (6,), (1, 0)) * jnp.arange(6.0)
    return (
        jnp.sum(picked**3) * jnp.sum(joined**2)
        + jnp.prod(jnp.cumsum(table, axis=1))
        + lax.index_in_dim(x, 2)[0] ** 2
        + rows[1] ** 2 * rows[4]
    )


def orders(x):
    y = jnp.sin(3 * x)
    return jnp.max(y) * jnp.sort(x)[2] + jnp.linalg.norm(x - y) * jax.nn.logsumexp(y) + jnp.median(y) ** 2


def activations(x):
    kinds = jax.nn.relu, jax.nn.silu, jax.nn.softplus, jax.nn.elu, jnp.abs, jax.nn.log_sigmoid, lax.erf
    return sum(jnp.sum(x * kind(x) ** 2) for kind in kinds) + jnp.sum(x**3 + jnp.sqrt(x**2 + 1) / (2 + jnp.cos(x)))


def linear_algebra(x):
    m = 3 * jnp.eye(6) + jnp.outer(x, jnp.sin(x))
    symmetric = m @ m.T
    return jnp.linalg.slogdet(m)[1] + x @ jnp.linalg.solve(m, x**2) + jnp.sum(jnp.linalg.cholesky(symmetric))


def convolved(x):
    signal = jnp.sin(x).reshape(1, 1, 6)
    smooth = lax.conv_general_dilated(signal, jnp.ones((1, 1, 3)) / 3, (1,), "VALID")
    return jnp.sum(lax.conv_general_dilated(signal, smooth[..., :2], (1,), "VALID") ** 2)


def complex_values(x):
    z = jnp.exp(lax.complex(0 * x, x)) * lax.complex(x[::-1], x**2)
    return jnp.sum(jnp.abs(z + 1) + jnp.real(z @ z) ** 2) + jnp.sum(jnp.abs(jnp.fft.fft(x)) ** 2 * x)


def loops(x):
    def step(carry, row):
        a, b, count = carry  # b depends on the coordinates from the second step on
        return (jnp.sin(a) * row, a * b, count + 1), (a**2, count)

    (a, b, _), (rows, _) = lax.scan(step, (x[:2], jnp.ones(2), 0), x.reshape(3, 2), reverse=True)
    none, _ = lax.scan(lambda c, row: (c * row, c), x**2, x[:0])
    until_small = lax.while_loop(lambda c: jnp.sum(c**2) > 0.1, lambda c: c * jnp.cos(c) * 0.9, x)
    product = lax.fori_loop(0, 3, lambda i, c: c * x[i], 1.0)
    return jnp.sum(a * b) + jnp.sum(rows**2) + jnp.sum(none) + jnp.sum(until_small**3) + product


def branches(x):
    chosen = lax.cond(x[0] > 0, lambda x: jnp.sum(x**3), lambda x: jnp.sum(jnp.sin(x) * x[::-1]), x)
    again = jax.checkpoint(lambda x, n: (jnp.exp(x[0] * x[1:3]) / n, 2.0))(x, 3)
    return chosen * jnp.sum(again[0]) * again[1]


def own_rules(x):
    return jnp.sum(halved_slope(x) ** 2) + jnp.sum(halved_slope(x[:2]))


FUNCTIONS = perceptron, products, of_two, moves, loops, own_rules
RARER = attention, orders, activations, linear_algebra, convolved, complex_values, branches


@pytest.mark.parametrize("functions", [FUNCTIONS, pytest.param(RARER, marks=pytest.mark.slow)], ids=["common", "rarer"])
def test_value_gradient_and_trace_of_the_hessian(functions):
    def both(f, x):
        forward = jax.jacfwd(f)
        ours = ad.value_and_grad_laplacian(f)(x)
        return ours, (f(x), forward(x), jnp.trace(jax.jacfwd(forward)(x)))

    found = jax.jit(lambda x: [both(f, x) for f in functions])(X)
    for f, (ours, expected) in zip(functions, found, strict=True):
        assert tree_allclose(ours, expected, rtol=1e-10, atol=1e-12), f.__name__


def test_rules_for_reverse_mode_alone_are_used():
    f = lambda x: jnp.sum(wrong_square(x) * x)
    value, gradient, laplacian = jax.jit(ad.value_and_grad_laplacian(f))(X)
    # slope 3 x and second derivative 3, as the rule says
    assert tree_allclose((value, gradient, laplacian), (np.sum(X**3), 4 * X**2, np.sum(2 * 3 * X + 3 * X)))


def test_no_derivative_is_nan_at_zero():
    def f(x):
        safe = jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)
        return jnp.sum(safe + x**2.0 + jax.nn.relu(x) * x + jnp.abs(x) + x**3) + jnp.prod(x)

    zero = np.zeros(3)
    expected = lambda x: (f(x), jax.grad(f)(x), jnp.trace(jax.jacfwd(jax.jacfwd(f))(x)))
    ours, theirs = jax.jit(lambda x: (ad.value_and_grad_laplacian(f)(x), expected(x)))(zero)
    assert tree_allclose(ours, theirs, rtol=0)


@pytest.mark.slow
def test_tensors_and_pytrees_have_derivatives_of_their_kind():
    def f(p):
        return (p["m"] @ p["v"]).sum() * p["d"] ** 2 + jnp.sum(jnp.sin(p["a"])).astype(float) * p["v"][0]

    point = {"m": DM([[1.0, 2.0], [0.5, -1.0]]), "v": DV([0.3, 0.7]), "d": D(2.0), "a": jnp.ones(3, jnp.float32)}
    value, gradient, laplacian = ad.value_and_grad_laplacian(f)(point)
    assert isinstance(value, D)
    assert isinstance(laplacian, D)
    assert tree_allclose(gradient, ad.grad(f)(point), rtol=1e-6)
    second = 2 * float((point["m"] @ point["v"]).sum()) - 3 * np.sin(1.0) * 0.3
    assert np.isclose(float(laplacian), second, rtol=1e-6)
    only = ad.grad_laplacian(f)(point)
    assert tree_allclose(only, (gradient, laplacian))


def test_derivatives_of_laplacians():
    def outer(point):
        x, w = point
        f = lambda x, w: (
            jnp.sum(jnp.tanh(B @ jnp.sin(w * (x[:4] * x[1:5]))) ** 2)
            + lax.scan(lambda c, row: (jnp.sin(c * row), None), x[0], x)[0]
        )
        of_rows = jax.vmap(lambda row: ad.laplacian(lambda x: f(x, w))(row))(jnp.stack([x, x + 1]))
        value, gradient, laplacian = ad.value_and_grad_laplacian(lambda x: f(x, w))(x)
        return jnp.sum(of_rows) + laplacian + gradient @ gradient + value

    assert_derivatives_match(outer, (X, np.array([0.5, -0.3, 1.1, 0.8])))


def largest(f, x):
    """Size of the largest array in a traced program."""
    jaxpr = jax.make_jaxpr(f)(x).jaxpr
    return max(atom.aval.size for equation in jaxpr.eqns for atom in equation.outvars)


def test_what_depends_on_few_coordinates_has_few_derivatives():
    x = np.ones(600)
    separable = lambda x: jnp.sum(jnp.sin(x) * x**2)
    chained = lambda x: jnp.sum(x[1:] ** 2 * jnp.cos(x[:-1]))
    matrix = np.ones((3, 7)) / 3
    of_particles = lambda x: jnp.sum(jnp.tanh(jnp.tanh(x.reshape(200, 3) @ matrix) @ matrix.T) ** 2)
    assert largest(ad.laplacian(separable), x) <= 600
    assert largest(ad.laplacian(chained), x) <= 2 * 600
    assert largest(ad.laplacian(of_particles), x) <= 3 * 200 * 3 * 7
    (gradient, laplacian), expected = jax.jit(lambda x: (ad.grad_laplacian(chained)(x), jax.grad(chained)(x)))(x)
    assert tree_allclose(gradient, expected)
    assert np.isclose(laplacian, 599 * (2 - 1) * np.cos(1.0))


@pytest.mark.slow
def test_large_jacobians_and_choices_by_value_go_axis_by_axis(monkeypatch):
    choice = lambda x: x @ x * x[0] if x[0] > 0 else 0.0
    expected = (X @ X * X[0], 2 * X * X[0] + (X @ X) * jnp.eye(6)[0], 2 * 6 * X[0] + 4 * X[0])
    assert tree_allclose(ad.value_and_grad_laplacian(choice)(X), expected)
    dense = lambda x: jnp.sum(jnp.sin(A.T @ x) ** 2)
    forward = ad.value_and_grad_laplacian(dense)(X)
    monkeypatch.setattr(local_jacobian, "_LARGEST", 5)
    assert tree_allclose(ad.value_and_grad_laplacian(dense)(X), forward)
