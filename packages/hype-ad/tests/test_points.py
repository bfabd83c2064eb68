"""Points that are pytrees, matrices and numbers; several arguments; and what JAX promises where it has the name."""

import equinox as eqx
import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D
from hype_ad.testing import tree_allclose
from jax.flatten_util import ravel_pytree

POINT = {"w": jnp.array([[1.0, -0.5, 2.0], [0.3, 0.7, -1.1]]), "b": (jnp.array([0.2, -0.4]), jnp.array(1.5))}
TENSORS = jax.tree.map(ad.wrap, POINT)


def model(p):
    b, c = p["b"]
    return jnp.tanh(p["w"] @ jnp.array([1.0, 2.0, 3.0]) + b) * c


def loss(p):
    return jnp.sum(model(p) ** 2)


def on_tensors(f):
    is_tensor = lambda leaf: isinstance(leaf, ad.AbstractTensor)
    return lambda p: ad.wrap(f(jax.tree.map(ad.to_array, p, is_leaf=is_tensor)))


@pytest.mark.parametrize("name", ["grad", "hessian", "jacobian", "value_and_grad"])
def test_pytrees_as_in_jax(name):
    f = model if name == "jacobian" else loss
    assert tree_allclose(getattr(ad, name)(f)(POINT), getattr(jax, name)(f)(POINT), rtol=1e-12)


@pytest.mark.parametrize("mode", [None, "reverse", "forward"])
def test_jacobian_of_a_pytree_to_a_pytree(mode):
    both = lambda p: {"f": model(p), "p": p["b"]}
    assert tree_allclose(ad.jacobian(both, mode=mode)(POINT), jax.jacobian(both)(POINT), rtol=1e-12)


def test_transposed_jacobian_of_pytrees_swaps_the_levels():
    both = lambda p: {"m": model(p), "c": p["b"][1] * p["w"]}
    jacobian, transposed = ad.jacobian(both)(POINT), ad.jacobian_t(both)(POINT)
    assert tree_allclose(transposed["w"]["m"], jnp.moveaxis(jacobian["m"]["w"], 0, -1))
    assert tree_allclose(transposed["w"]["c"], jnp.moveaxis(jacobian["c"]["w"], (0, 1), (2, 3)))
    assert tree_allclose(transposed["b"][1]["m"], jacobian["m"]["b"][1])


def test_tensors_in_a_pytree_have_tensor_blocks():
    h = ad.hessian(on_tensors(loss))(TENSORS)
    assert isinstance(h["w"]["w"], jax.Array)  # of rank 4, which no tensor has
    assert isinstance(h["b"][0]["b"][0], DM)
    assert isinstance(h["b"][0]["b"][1], DV)
    assert isinstance(h["b"][1]["b"][1], D)
    assert isinstance(h["b"][1]["w"], DM)
    assert tree_allclose(jax.tree.leaves(h), jax.tree.leaves(jax.hessian(loss)(POINT)), rtol=1e-12)
    assert tree_allclose(ad.grad(on_tensors(loss))(TENSORS), jax.tree.map(ad.wrap, jax.grad(loss)(POINT)), rtol=1e-12)


def test_diagonal_laplacian_and_divergence_of_a_pytree():
    flat, unravel = ravel_pytree(POINT)
    full = jax.hessian(lambda z: loss(unravel(z)))(flat)
    assert jnp.allclose(ad.laplacian(loss)(POINT), jnp.trace(full))
    assert isinstance(ad.laplacian(on_tensors(loss))(TENSORS), D)
    assert tree_allclose(ad.hessian_diag(loss)(POINT), unravel(jnp.diag(full)), rtol=1e-10)
    assert jnp.allclose(ad.div(jax.grad(loss))(POINT), jnp.trace(full))


def test_products_of_a_pytree():
    direction = jax.tree.map(jnp.cos, POINT)
    expected = jax.jvp(jax.grad(loss), (POINT,), (direction,))
    assert tree_allclose(ad.grad_hvp(loss)(POINT, direction), expected, rtol=1e-12)
    on_tensors_expected = jax.tree.map(ad.wrap, expected)
    # arrays stand for the tensors of the point
    assert tree_allclose(ad.grad_hvp(on_tensors(loss))(TENSORS, direction), on_tensors_expected, rtol=1e-12)


def test_an_equinox_model_is_a_point():
    linear = eqx.nn.Linear(2, 3, key=jax.random.key(0))
    f = lambda m: jnp.sum(m(jnp.array([1.0, -2.0])) ** 2)
    assert tree_allclose(ad.grad(f)(linear), jax.grad(f)(linear), rtol=1e-12)
    assert isinstance(ad.hvp(f)(linear, linear), eqx.nn.Linear)


def test_matrix_to_number_and_to_matrix():
    m = DM([[2.0, 1.0], [0.5, 3.0]])
    det = lambda m: m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
    assert tree_allclose(ad.grad(det)(m), DM([[3.0, -0.5], [-1.0, 2.0]]))
    assert ad.hessian(det)(m).shape == (2, 2, 2, 2)
    square = lambda m: m @ m
    jacobian, direction = ad.jacobian(square)(m), DM([[1.0, -1.0], [2.0, 0.0]])
    assert jnp.allclose(jnp.tensordot(jacobian, direction.array), (m @ direction + direction @ m).array)
    assert tree_allclose(ad.jacobianv(square)(m, direction), m @ direction + direction @ m)


@pytest.mark.parametrize(
    ("f", "x", "kind"),
    [
        (lambda x: jnp.sin(x.array), DV([1.0, 2.0]), DM),  # a function that forgets the type
        (lambda x: DV(jnp.sin(x)), jnp.array([1.0, 2.0]), DM),  # one that finds it
        (lambda x: DV([x, 2 * x]), D(1.0), DV),
        (lambda x: x @ x, DV([1.0, 2.0]), DV),
    ],
)
def test_type_of_a_jacobian(f, x, kind):
    assert isinstance(ad.jacobian(f)(x), kind)
    assert isinstance(ad.value_and_jacobian(f)(x)[1], kind)


def test_curve_to_anything():
    curve = lambda t: {"v": DV([t, t * t]), "m": jnp.ones((2, 2)) * t**3}
    value, derivative, second = ad.value_and_diff_diff2(curve)(jnp.array(2.0))
    assert tree_allclose(value, {"v": DV([2.0, 4.0]), "m": jnp.full((2, 2), 8.0)})
    assert tree_allclose(derivative, {"v": DV([1.0, 4.0]), "m": jnp.full((2, 2), 12.0)})
    assert tree_allclose(second, {"v": DV([0.0, 2.0]), "m": jnp.full((2, 2), 12.0)})


class TestArguments:
    @staticmethod
    def f(x, y, *, scale=1.0):
        return scale * jnp.sum(x**2) * y

    x = jnp.array([1.0, 2.0])
    y = jnp.array(3.0)

    @pytest.mark.parametrize("name", ["grad", "value_and_grad", "hessian", "jacobian"])
    @pytest.mark.parametrize("argnums", [0, 1, -1, (0, 1), (1, 0)])
    def test_argnums_as_in_jax(self, name, argnums):
        ours, theirs = (getattr(m, name)(self.f, argnums=argnums)(self.x, self.y, scale=2.0) for m in (ad, jax))
        assert tree_allclose(ours, theirs, rtol=1e-12)

    @pytest.mark.parametrize("name", ["grad", "value_and_grad", "hessian", "jacobian"])
    def test_auxiliary_output_as_in_jax(self, name):
        f = lambda x, y: (self.f(x, y), {"x": x, "count": jnp.array(3)})
        ours, theirs = (getattr(m, name)(f, has_aux=True)(self.x, self.y) for m in (ad, jax))
        assert tree_allclose(ours, theirs, rtol=1e-12)

    def test_auxiliary_output_of_the_others(self):
        f = lambda x: (jnp.sum(x**3), x + 1)
        for mode in ("reverse", "forward"):
            gradient, aux = ad.grad(f, has_aux=True, mode=mode)(self.x)
            assert tree_allclose((gradient, aux), (3 * self.x**2, self.x + 1))
            (value, aux), h = ad.value_and_hessian(f, has_aux=True, mode=mode)(self.x)
            assert tree_allclose((value, aux, h), (jnp.array(9.0), self.x + 1, jnp.diag(6 * self.x)))
            (value, aux), row = ad.value_and_jacobian(f, has_aux=True, mode=mode)(self.x)
            assert tree_allclose((value, aux, row), (jnp.array(9.0), self.x + 1, 3 * self.x**2))
        assert tree_allclose(ad.jvp(f, (self.x,), (self.x,), has_aux=True)[2], self.x + 1)
        value, pull, aux = ad.vjp(f, self.x, has_aux=True)
        assert tree_allclose((value, pull(1.0), aux), (jnp.array(9.0), (3 * self.x**2,), self.x + 1))

    def test_several_primals(self):
        out, tangent = ad.jvp(self.f, (self.x, self.y), ([1.0, 0.0], 1))
        assert tree_allclose((out, tangent), (jnp.array(15.0), jnp.array(2.0 * 3.0 + 5.0)))
        out, pull = ad.vjp(self.f, DV(self.x).array, D(self.y).array)
        assert tree_allclose(pull(2), (12 * self.x, jnp.array(10.0)))


def test_python_floats_stay_weak():
    # so that a number takes the dtype of the array that it meets
    single = jnp.ones(2, jnp.float32)
    f = lambda c: jnp.sum(c * single)
    assert ad.grad(f)(0.5).dtype == jnp.float64
    assert ad.value_and_grad(f)(0.5)[0].dtype == jnp.float32
    assert ad.diffn(3, f)(0.5) == 0.0


def test_numpy_and_empty_points():
    assert tree_allclose(ad.grad(lambda x: jnp.sum(x**2))(np.array([1.0, 2.0])), jnp.array([2.0, 4.0]))
    empty = jnp.zeros(0)
    f = lambda x: jnp.sum(x**2) + 1
    for mode in ("reverse", "forward"):
        assert ad.grad(f, mode=mode)(empty).shape == (0,)
        assert ad.hessian(f, mode=mode)(empty).shape == (0, 0)
    assert ad.laplacian(f)(empty) == 0.0
    assert ad.value_and_div(lambda x: x)(empty)[1] == 0.0


def test_function_with_a_constant_value():
    assert tree_allclose(ad.value_and_grad(lambda x: 3.0)(DV([1.0, 2.0])), (jnp.array(3.0), DV([0.0, 0.0])))
    assert ad.laplacian(lambda x: 3.0)(jnp.ones(2)) == 0.0
    assert ad.value_and_diffn(3, lambda x: 3.0)(1.0) == (3.0, 0.0)


def test_python_may_choose_by_value():
    f = lambda x: x**2 if x > 0 else -(x**3)
    for x, derivatives in [(3.0, (9.0, 6.0, 2.0, 0.0)), (-2.0, (8.0, -12.0, 12.0, -6.0))]:
        for n, expected in enumerate(derivatives):
            assert ad.diffn(n, f)(x) == expected
        assert ad.grad(f)(x) == derivatives[1]
        assert ad.grad(f, mode="forward")(x) == derivatives[1]
        assert ad.hessian(f)(x) == derivatives[2]
        assert ad.jacobian(f)(x) == derivatives[1]
