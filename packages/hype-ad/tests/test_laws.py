"""Laws that hold for all functions and points: the operators on random functions, and the arithmetic of NumPy."""

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import DM, DV, numerical
from hype_ad.testing import tree_allclose
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

few = settings(max_examples=12, deadline=None, derandomize=True)
numbers = lambda *shape: hnp.arrays(np.float64, shape, elements=st.floats(-2, 2, width=16))
X, V, U = numbers(3), numbers(3), numbers(3)
FIRST, SECOND = numbers(3, 3), numbers(3, 3)  # what tells one function from another


def scalar(c, x):
    return jnp.sin(c[0] @ x) * (c[1] @ x) + (c[2] @ x) ** 3 / 10


def field(c, x):
    return jnp.sin(c @ x) + x * (c[0] @ x)


def close(left, right):
    assert tree_allclose(left, right, rtol=1e-10, atol=1e-10)


@jax.jit
def linear_and_product(c, d, s, x):
    f, g = (lambda x: scalar(c, x)), (lambda x: scalar(d, x))
    combined, product = (lambda x: s * f(x) + g(x)), (lambda x: f(x) * g(x))
    linear = [(op(combined)(x), s * op(f)(x) + op(g)(x)) for op in (ad.grad, ad.hessian, ad.laplacian)]
    (fx, df), (gx, dg) = ad.value_and_grad(f)(x), ad.value_and_grad(g)(x)
    return [
        *linear,
        (ad.grad(product)(x), fx * dg + gx * df),
        (ad.laplacian(product)(x), fx * ad.laplacian(g)(x) + 2 * df @ dg + gx * ad.laplacian(f)(x)),
    ]


@few
@given(FIRST, SECOND, st.floats(-3, 3), X)
def test_derivatives_are_linear_and_obey_the_product_rule(c, d, s, x):
    for left, right in linear_and_product(c, d, s, x):
        close(left, right)


@jax.jit
def chain_rules(c, d, x, v, u):
    inner, outer = (lambda x: field(c, x)), (lambda y: scalar(d, y))
    composed, between = (lambda x: outer(inner(x))), (lambda x: field(d, inner(x)))
    y, jacobian = ad.value_and_jacobian(inner)(x)
    _, tangent = ad.jvp(inner, (x,), (v,))
    _, pull = ad.vjp(inner, x)
    return [
        (ad.grad(composed)(x), ad.jacobian_tv(inner)(x, ad.grad(outer)(y))),
        (ad.jacobian(between)(x), ad.jacobian(lambda y: field(d, y))(y) @ jacobian),
        (ad.gradv(composed)(x, v), ad.grad(outer)(y) @ tangent),
        (u @ tangent, pull(u)[0] @ v),  # jvp and vjp are adjoint
        (ad.jacobian_t(inner)(x), jacobian.T),
    ]


@few
@given(FIRST, SECOND, X, V, U)
def test_chain_rules_and_adjoint_products(c, d, x, v, u):
    for left, right in chain_rules(c, d, x, v, u):
        close(left, right)


@jax.jit
def identities(c, x, v, u):
    f, g = (lambda x: scalar(c, x)), (lambda x: field(c, x))
    hessian = ad.hessian(f)(x)
    along = ad.diffn(3, lambda t: f(x + t * v))(0.0)
    return [
        (hessian, hessian.T),
        (ad.hvp(f)(x, v), hessian @ v),
        (ad.jacobianv(ad.grad(f))(x, v), hessian @ v),
        (ad.hessian_diag(f)(x), jnp.diag(hessian)),
        (ad.laplacian(f)(x), jnp.trace(hessian)),
        (ad.div(ad.grad(f))(x), jnp.trace(hessian)),
        (ad.curl(ad.grad(f))(x), jnp.zeros(3)),
        (ad.div(ad.curl(g))(x), jnp.zeros(())),
        (ad.diff2(lambda t: f(x + t * v))(0.0), v @ hessian @ v),
        (along, ad.gradv(lambda x: ad.gradv(lambda x: ad.gradv(f)(x, v))(x, v))(x, v)),
        # the derivative of x . f(x y) in y, then in x, where the inner variable starts at the outer one
        (
            ad.diff(lambda s: s * ad.diff(lambda t: f(s * t * u))(s))(1.3),
            ad.diff(lambda s: s * s * (ad.grad(f)(s * s * u) @ u))(1.3),
        ),
    ]


@few
@given(FIRST, X, V, U)
def test_second_derivatives_and_vector_calculus(c, x, v, u):
    for left, right in identities(c, x, v, u):
        close(left, right)


exact = jax.jit(lambda c, x: (ad.jacobian(lambda x: field(c, x))(x), ad.grad(lambda x: scalar(c, x))(x)))
values = jax.jit(field), jax.jit(scalar)


@settings(few, max_examples=4)
@given(FIRST, X)
def test_differences_agree(c, x):
    jacobian, gradient = exact(c, x)
    of_field, of_scalar = (lambda x: values[0](c, x)), (lambda x: values[1](c, x))
    np.testing.assert_allclose(numerical.jacobian(of_field)(x), jacobian, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(numerical.grad(of_scalar)(x), gradient, rtol=1e-7, atol=1e-8)


@jax.jit
def algebra(a, b, v):
    return {
        "sum": a + b,
        "row": a * v - v,
        "product": a @ b @ v,
        "power": abs(a) ** 2.5,
        "quotient": a / (1.0 + abs(b)),
        "append": ad.append_row(a, v),
        "outer": ad.outer(v, v) @ a.T,
        "largest": ad.maximum(a, b).max(axis=0),
        "variance": ad.variance(a),
        "slices": a[1:, ::2],
        "edit": a.at[0].add(v)[0],
    }


@few
@given(numbers(3, 3), numbers(3, 3), numbers(3))
def test_types_compute_what_numpy_computes(a, b, v):
    expected = {
        "sum": a + b,
        "row": a * v - v,
        "product": a @ b @ v,
        "power": abs(a) ** 2.5,
        "quotient": a / (1.0 + abs(b)),
        "append": np.vstack([a, v]),
        "outer": np.outer(v, v) @ a.T,
        "largest": np.maximum(a, b).max(axis=0),
        "variance": np.var(a, ddof=1),
        "slices": a[1:, ::2],
        "edit": a[0] + v,
    }
    for name, result in algebra(DM(a), DM(b), DV(v)).items():
        np.testing.assert_allclose(result, expected[name], rtol=1e-12, atol=1e-12, err_msg=name)
        assert result.ndim == np.ndim(expected[name])
