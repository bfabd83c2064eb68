"""How derivatives are computed: loops of unknown length, batches of directions, memory, the shape of a Jacobian."""

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV
from hype_ad.testing import tree_allclose

X = np.array([0.5, 0.8, 1.2])


def shrink(x):
    """x times a power of 1/2 that depends on x."""
    small = lambda y: jnp.vdot(y, y) > 0.1
    return jax.lax.while_loop(small, lambda y: 0.5 * y, x)


def loop(x):
    return jnp.sum(shrink(x) ** 3)


SHRUNK = np.asarray(jax.jit(shrink)(X))
FACTOR = float(SHRUNK[0] / X[0])
GRADIENT, HESSIAN = 3 * FACTOR**3 * X**2, np.diag(6 * FACTOR**3 * X)


def test_forward_mode_goes_through_loops_of_unknown_length():
    @jax.jit
    def derivatives(x):
        return (
            ad.grad(loop, mode="forward")(x),
            ad.hessian(loop, mode="forward")(x),
            ad.hvp(loop, mode="forward")(x, x),
            ad.grad(lambda x: ad.grad(loop, mode="forward")(x)[0], mode="forward")(x),
            ad.hutchinson_hessian_diag(loop, mode="forward")(x, key=jax.random.key(0)),
        )

    assert tree_allclose(derivatives(X), (GRADIENT, HESSIAN, HESSIAN @ X, HESSIAN[0], np.diag(HESSIAN)))


def test_what_is_forward_by_nature_goes_through_such_loops():
    @jax.jit
    def derivatives(x):
        return (
            ad.laplacian(loop)(x),
            ad.hessian_diag(loop)(x),
            ad.jacobian(shrink)(x),
            ad.value_and_curl_div(shrink)(x),
            ad.div(shrink)(x),
            ad.diffn(3, lambda t: loop(x * t))(1.0),
        )

    divergence = np.array(3 * FACTOR)
    field = (SHRUNK, np.zeros(3), divergence)
    third = 6 * np.sum(SHRUNK**3)
    expected = (np.trace(HESSIAN), np.diag(HESSIAN), FACTOR * np.eye(3), field, divergence, third)
    assert tree_allclose(derivatives(X), expected)


@pytest.mark.parametrize("operator", [ad.grad, ad.hessian, ad.jacobian, lambda f: lambda x: ad.hvp(f)(x, x)])
def test_reverse_mode_says_what_to_do_about_them(operator):
    with pytest.raises(ValueError, match=r"while_loop") as raised:
        jax.eval_shape(operator(loop), X)
    assert any('pass mode="forward"' in note for note in raised.value.__notes__)


@jax.custom_vjp
def cubed(x):
    return x**3


cubed.defvjp(lambda x: (x**3, x), lambda x, u: (3 * x**2 * u,))


@pytest.mark.parametrize(
    "operator", [ad.grad, ad.hessian, ad.jacobian, ad.sparse_jacobian, ad.sparse_hessian, ad.hessian_sparsity]
)
def test_forward_mode_says_what_to_do_about_rules_for_reverse_mode(operator):
    of_numbers = operator in (ad.jacobian, ad.sparse_jacobian)
    with pytest.raises(TypeError, match=r"custom_vjp") as raised:
        operator(cubed if of_numbers else lambda x: jnp.sum(cubed(x)), mode="forward")(X)
    assert any('pass mode="reverse"' in note for note in raised.value.__notes__)


def test_other_errors_of_a_function_pass_unchanged():
    def broken(x):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken") as raised:
        ad.grad(broken)(X)
    assert not any("mode=" in note for note in getattr(raised.value, "__notes__", []))


@jax.custom_vjp
def only_reverse(x):
    return x**2


only_reverse.defvjp(lambda x: (x**2, x), lambda x, u: (2 * x * u,))


def test_wide_jacobian_is_taken_in_reverse_and_tall_one_forward():
    wide, tall = lambda x: only_reverse(x)[:2], lambda x: jnp.concatenate([shrink(x), x])
    every = jax.jit(
        lambda x: [ad.jacobian(wide)(x), ad.jacobian(tall)(x), ad.jacobian(only_reverse, mode="reverse")(x)]
    )
    square = np.diag(2 * X)
    assert tree_allclose(every(X), [square[:2], np.concatenate([FACTOR * np.eye(3), np.eye(3)]), square])
    with pytest.raises(TypeError, match="forward-mode"):
        ad.jacobian(only_reverse)(X)


# 32 directions go at a time: one batch, and two with a remainder
@pytest.mark.parametrize("n", [32, 70])
def test_batches_of_directions(n):
    x = np.linspace(-1.0, 1.0, n)
    calls = []

    def chain(x):
        calls.append(x)
        return jnp.sum(jnp.sin(x) * jnp.roll(x, 1) ** 2)

    gradient = np.cos(x) * np.roll(x, 1) ** 2 + 2 * np.sin(np.roll(x, -1)) * x
    diagonal = -np.sin(x) * np.roll(x, 1) ** 2 + 2 * np.sin(np.roll(x, -1))
    with_aux = lambda x: (chain(x), {"x": x})
    field = lambda x: x**2 * jnp.roll(x, 1)

    @jax.jit
    def derivatives(x):
        return (
            ad.grad(with_aux, has_aux=True, mode="forward")(x),
            ad.value_and_laplacian(chain)(x)[1],
            ad.hessian_diag(lambda x: ad.D(chain(x.array)))(DV(x)),
            ad.value_and_div(field)(x),
        )

    rolled = np.roll(x, 1)
    expected = ((gradient, {"x": x}), np.sum(diagonal), DV(diagonal), (x**2 * rolled, 2 * np.sum(x * rolled)))
    assert tree_allclose(derivatives(x), expected)
    assert len(calls) == 3


def test_derivatives_of_batched_derivatives():
    x = np.linspace(0.1, 1.0, 40)
    laplacian = ad.laplacian(lambda x: jnp.sum(x**4))
    closed_over = lambda c: ad.laplacian(lambda x: jnp.sum(c * x**4))(x)

    @jax.jit
    def derivatives(x):
        return (
            ad.grad(laplacian)(x),
            ad.gradv(laplacian)(x, x),
            ad.grad(closed_over)(np.array(2.0)),
            jax.vmap(closed_over)(np.arange(3.0)),
        )

    square = np.vdot(x, x)
    assert tree_allclose(derivatives(x), (24 * x, 24 * square, 12 * square, np.arange(3.0) * 12 * square))


def memory(f, *arguments):
    analysis = jax.jit(f).lower(*arguments).compile().memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes


@pytest.mark.slow
def test_ten_thousand_dimensions():
    n = 10_000
    x = jnp.linspace(0.0, 1.0, n)
    f = lambda x: jnp.sum(x[1:] ** 2 * x[:-1])
    operators = ad.laplacian(f), ad.div(lambda x: x * jnp.roll(x, 1)), ad.grad(f, mode="forward")
    programs = [jax.jit(operator).lower(x).compile() for operator in operators]
    laplacian, divergence = (program(x) for program in programs[:2])
    assert np.allclose(laplacian, 2 * jnp.sum(x[:-1]))
    assert np.allclose(divergence, jnp.sum(x))
    one_batch = 32 * n * 8
    for program in programs:
        assert program.memory_analysis().temp_size_in_bytes < 8 * one_batch  # a Hessian is 312 batches


def test_forward_gradient_does_not_grow_with_the_length_of_a_loop():
    def f(x, length):
        return jnp.sum(jax.lax.scan(lambda c, _: (jnp.sin(c) + x, None), x, None, length=length)[0])

    x = jnp.ones(100)
    short, long = (memory(ad.grad(lambda x, n=n: f(x, n), mode="forward"), x) for n in (10, 1000))
    assert long < 1.1 * short
    assert memory(ad.grad(lambda x: f(x, 1000)), x) > 1000 * x.nbytes  # what reverse mode keeps
