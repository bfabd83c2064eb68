"""Every operator inside every other, and derivatives inside derivatives that share a variable."""

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D
from hype_ad.testing import tree_allclose

from .operators import A, T, V, X, array


def scalar(x):
    return x[0] ** 2 * x[1] + x[1] * x[2] ** 3


def field(x):
    return jnp.stack([x[0] * x[1] ** 2, x[2] ** 2, x[0] * x[2]])


def jacobian_product(x):
    return x @ jax.jacobian(field)(x) @ V


def hessian_product(x):
    return x @ jax.hessian(scalar)(x) @ V


def slope(x):
    return V @ jax.grad(scalar)(x)


# Each inner operator makes a function from R^3 to a number, and beside it the same function in JAX's own words.
INNER = {
    "diff": (lambda x: ad.diff(lambda t: scalar(x + t * V))(T), lambda x: jax.grad(scalar)(x + T * V) @ V),
    "diff2": (
        lambda x: ad.diff2(lambda t: scalar(x + t * V))(T),
        lambda x: V @ jax.hessian(scalar)(x + T * V) @ V,
    ),
    "diffn": (
        lambda x: ad.diffn(3, lambda t: jnp.sin(t * x[0]) * x[1] * x[2])(T),
        lambda x: -(x[0] ** 3) * jnp.cos(T * x[0]) * x[1] * x[2],
    ),
    "grad": (lambda x: V @ ad.grad(scalar)(x), slope),
    "grad forward": (lambda x: V @ ad.grad(scalar, mode="forward")(x), slope),
    "gradv": (lambda x: ad.gradv(scalar)(x, x), lambda x: jax.grad(scalar)(x) @ x),
    "hessian": (lambda x: x @ ad.hessian(scalar)(x) @ V, hessian_product),
    "hvp": (lambda x: x @ ad.hvp(scalar)(x, V), hessian_product),
    "hessian_diag": (lambda x: V @ ad.hessian_diag(scalar)(x), lambda x: V @ jnp.diag(jax.hessian(scalar)(x))),
    "laplacian": (ad.laplacian(scalar), lambda x: jnp.trace(jax.hessian(scalar)(x))),
    "jacobian": (lambda x: x @ ad.jacobian(field)(x) @ V, jacobian_product),
    "jacobian reverse": (
        lambda x: x @ ad.jacobian(field, mode="reverse")(x) @ V,
        jacobian_product,
    ),
    "jacobian_t": (lambda x: V @ ad.jacobian_t(field)(x) @ x, jacobian_product),
    "jvp": (lambda x: x @ ad.jvp(field, (x,), (x,))[1], lambda x: x @ jax.jacobian(field)(x) @ x),
    "vjp": (lambda x: V @ ad.vjp(field, x)[1](x)[0], jacobian_product),
    "div": (ad.div(field), lambda x: jnp.trace(jax.jacobian(field)(x))),
    "curl": (
        lambda x: V @ ad.curl(field)(x),
        lambda x: -2 * V[0] * x[2] - V[1] * x[2] - 2 * V[2] * x[0] * x[1],
    ),
}


def outer(f):
    """What each way to compute derivatives makes of `f`; the other operators arrange the same differently."""
    spread = lambda x: f(x) * A[0]
    return {
        "diff and diff2": ad.value_and_diff_diff2(lambda t: f(X + t * V))(jnp.zeros(())),
        "gradient and product": ad.value_and_grad_hvp(f)(X, V),
        "hessian_diag": ad.hessian_diag(f)(X),
        "wide jacobian": ad.jacobian(lambda x: spread(x)[:2])(X),
        "curl and divergence": ad.value_and_curl_div(spread)(X),
    }


def outer_expected(value, g, h):
    v, a = np.asarray(V), np.asarray(A)[0]
    return {
        "diff and diff2": (value, g @ v, v @ h @ v),
        "gradient and product": (value, g, h @ v),
        "hessian_diag": np.diag(h),
        "wide jacobian": np.outer(a[:2], g),
        "curl and divergence": (value * a, np.cross(g, a), a @ g),
    }


# These arrange what others of the list compute.
ARRANGED = {"diff", "diff2", "grad forward", "gradv", "hessian_diag", "hvp", "jacobian reverse", "jacobian_t", "vjp"}


@pytest.mark.parametrize(
    "inner", [pytest.param(name, marks=pytest.mark.slow if name in ARRANGED else ()) for name in INNER]
)
def test_every_operator_in_every_other(inner):
    ours, f = INNER[inner]
    every = jax.jit(lambda: (outer(ours), (f(X), jax.grad(f)(X), jax.jacfwd(jax.grad(f))(X))))
    found, derivatives = jax.tree.map(np.asarray, every())
    expected = outer_expected(*derivatives)
    for name, result in found.items():
        assert tree_allclose(result, expected[name], rtol=1e-10, atol=1e-12), f"{name} of {inner}"


class TestPerturbationConfusion:
    """Two derivatives at the same place must not take each other's perturbation for their own."""

    def test_siskind_and_pearlmutter(self):
        # d/dx (x d/dy (x + y)) = 1, and 2 for those who confuse (Siskind and Pearlmutter 2005)
        for inner in (ad.diff, ad.grad):
            for outer in (ad.diff, ad.grad):
                for kind in (D, jnp.asarray):
                    result = outer(lambda x, inner=inner, kind=kind: x * inner(lambda y: x + y)(kind(1.0)))(kind(1.0))
                    assert float(result) == 1.0

    def test_inner_point_is_the_outer_variable(self):
        # d/dx (x * d/dy (x y^2) at y = x) = d/dx 2 x^3
        for inner in (ad.diff, ad.grad):
            for outer in (ad.diff, ad.grad):
                result = outer(lambda x, inner=inner: x * inner(lambda y: x * y * y)(x))(D(3.0))
                assert float(result) == 54.0

    def test_three_levels(self):
        # d/dy d/dz (x y z)^2 at z = y, then at y = x, is 6 x^4
        f = lambda x: ad.diff(lambda y: ad.diff(lambda z: (x * y * z) ** 2)(y))(x)
        value, slope = jax.jit(lambda x: (f(x), ad.diff(f)(x)))(D(1.5))
        assert np.allclose(value.array, 6 * 1.5**4)
        assert np.allclose(slope.array, 24 * 1.5**3)

    def test_higher_order_function(self):
        # Manzyuk et al. 2019: D s h, where h = d/ds of a function that is itself differentiated
        shift = lambda s: lambda f: lambda x: f(x + s)
        twice = ad.diff(lambda s: shift(s)(ad.diff(lambda y: jnp.exp(s * y)))(T))(array(0.3))
        s, t = 0.3, float(T)
        assert np.allclose(twice, np.exp(s * (t + s)) * (1 + s * (t + 2 * s)))

    def test_tensors_of_an_outer_derivative(self):
        # the gradient of |M x|^2 in x, whose Jacobian in M is known
        m, a, point = DM(A), np.asarray(A), np.asarray(X)

        def gradient(m: DM) -> DV:
            return ad.grad(lambda x: (m @ x) @ (m @ x))(DV(X))

        both = jax.jit(lambda m, v: (gradient(m), ad.jacobianv(gradient)(m, v)))
        slope, product = both(m, DM(a.T))
        assert np.allclose(slope.array, 2 * a.T @ a @ point)
        assert isinstance(product, DV)
        assert np.allclose(product.array, 2 * (a @ a + a.T @ a.T) @ point)

    def test_hessian_of_a_function_of_a_hessian(self):
        # the determinant of the Hessian of a^3 b^3 is -45 a^4 b^4
        def determinant(x):
            h = ad.hessian(lambda y: y[0] ** 3 * y[1] ** 3)(x)
            return h[0, 0] * h[1, 1] - h[0, 1] * h[1, 0]

        a, b = point = np.asarray(X)[:2]
        expected = -45 * np.array([[12 * a**2 * b**4, 16 * a**3 * b**3], [16 * a**3 * b**3, 12 * a**4 * b**2]])
        assert np.allclose(jax.jit(ad.hessian(determinant))(point), expected)
