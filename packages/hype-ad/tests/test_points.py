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

POINT = {"w": np.array([[1.0, -0.5, 2.0], [0.3, 0.7, -1.1]]), "b": (np.array([0.2, -0.4]), np.array(1.5))}
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
    ours, theirs = jax.jit(lambda p: [getattr(module, name)(f)(p) for module in (ad, jax)])(POINT)
    assert tree_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("mode", [None, "reverse", "forward"])
def test_jacobian_of_a_pytree_to_a_pytree(mode):
    both = lambda p: {"f": model(p), "p": p["b"]}
    ours, theirs = jax.jit(lambda p: (ad.jacobian(both, mode=mode)(p), jax.jacobian(both)(p)))(POINT)
    assert tree_allclose(ours, theirs, rtol=1e-12)


def test_transposed_jacobian_of_pytrees_swaps_the_levels():
    both = lambda p: {"m": model(p), "c": p["b"][1] * p["w"]}
    jacobian, transposed = jax.jit(lambda p: (ad.jacobian(both)(p), ad.jacobian_t(both)(p)))(POINT)
    assert np.allclose(transposed["w"]["m"], np.moveaxis(np.asarray(jacobian["m"]["w"]), 0, -1))
    assert np.allclose(transposed["w"]["c"], np.moveaxis(np.asarray(jacobian["c"]["w"]), (0, 1), (2, 3)))
    assert tree_allclose(transposed["b"][1]["m"], jacobian["m"]["b"][1])


def test_tensors_in_a_pytree_have_tensor_blocks():
    h, gradient = jax.jit(lambda p: (ad.hessian(on_tensors(loss))(p), ad.grad(on_tensors(loss))(p)))(TENSORS)
    assert isinstance(h["w"]["w"], jax.Array)  # of rank 4, which no tensor has
    assert isinstance(h["b"][0]["b"][0], DM)
    assert isinstance(h["b"][0]["b"][1], DV)
    assert isinstance(h["b"][1]["b"][1], D)
    assert isinstance(h["b"][1]["w"], DM)
    expected, expected_gradient = jax.jit(lambda p: (jax.hessian(loss)(p), jax.grad(loss)(p)))(POINT)
    assert tree_allclose(jax.tree.leaves(h), jax.tree.leaves(expected), rtol=1e-12)
    assert tree_allclose(gradient, jax.tree.map(ad.wrap, expected_gradient), rtol=1e-12)


def test_diagonal_laplacian_and_divergence_of_a_pytree():
    @jax.jit
    def derivatives(p):
        flat, unravel = ravel_pytree(p)
        full = jax.hessian(lambda z: loss(unravel(z)))(flat)
        ours = ad.laplacian(loss)(p), ad.div(jax.grad(loss))(p), ad.hessian_diag(loss)(p)
        return ours, (jnp.trace(full), jnp.trace(full), unravel(jnp.diag(full)))

    ours, expected = derivatives(POINT)
    assert tree_allclose(ours, expected, rtol=1e-10)
    assert isinstance(jax.eval_shape(ad.laplacian(on_tensors(loss)), TENSORS), D)


def test_products_of_a_pytree():
    direction = jax.tree.map(lambda leaf: np.asarray(np.cos(leaf)), POINT)
    expected = jax.jit(lambda p, v: jax.jvp(jax.grad(loss), (p,), (v,)))(POINT, direction)
    assert tree_allclose(jax.jit(ad.grad_hvp(loss))(POINT, direction), expected, rtol=1e-12)
    on_tensors_expected = jax.tree.map(ad.wrap, expected)
    # arrays stand for the tensors of the point
    assert tree_allclose(jax.jit(ad.grad_hvp(on_tensors(loss)))(TENSORS, direction), on_tensors_expected, rtol=1e-12)


def test_an_equinox_model_is_a_point():
    shapes = eqx.filter_eval_shape(eqx.nn.Linear, 2, 3, key=jax.random.key(0))
    linear = jax.tree.map(lambda leaf: np.linspace(-1.0, 1.0, leaf.size).reshape(leaf.shape), shapes)
    f = lambda m: jnp.sum(m(np.array([1.0, -2.0])) ** 2)
    ours, theirs, product = jax.jit(lambda m: (ad.grad(f)(m), jax.grad(f)(m), ad.hvp(f)(m, m)))(linear)
    assert tree_allclose(ours, theirs, rtol=1e-12)
    assert isinstance(product, eqx.nn.Linear)


def test_matrix_to_number_and_to_matrix():
    m, v = DM([[2.0, 1.0], [0.5, 3.0]]), DM([[1.0, -1.0], [2.0, 0.0]])
    det, square = lambda m: m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0], lambda m: m @ m
    gradient, jacobian, product = jax.jit(
        lambda m: (ad.grad(det)(m), ad.jacobian(square)(m), ad.jacobianv(square)(m, v))
    )(m)
    assert tree_allclose(gradient, DM([[3.0, -0.5], [-1.0, 2.0]]))
    expected = np.asarray(m) @ np.asarray(v) + np.asarray(v) @ np.asarray(m)
    assert np.allclose(np.tensordot(jacobian, v.array), expected)
    assert tree_allclose(product, DM(expected))
    assert jax.eval_shape(ad.hessian(det), m).shape == (2, 2, 2, 2)


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
    assert isinstance(jax.eval_shape(ad.jacobian(f), x), kind)
    assert isinstance(jax.eval_shape(ad.value_and_jacobian(f), x)[1], kind)


def test_curve_to_anything():
    curve = lambda t: {"v": DV([t, t * t]), "m": jnp.ones((2, 2)) * t**3}
    value, derivative, second = jax.jit(ad.value_and_diff_diff2(curve))(np.array(2.0))
    assert tree_allclose(value, {"v": DV([2.0, 4.0]), "m": np.full((2, 2), 8.0)})
    assert tree_allclose(derivative, {"v": DV([1.0, 4.0]), "m": np.full((2, 2), 12.0)})
    assert tree_allclose(second, {"v": DV([0.0, 2.0]), "m": np.full((2, 2), 12.0)})


class TestArguments:
    @staticmethod
    def f(x, y, *, scale=1.0):
        return scale * jnp.sum(x**2) * y

    x = np.array([1.0, 2.0])
    y = np.array(3.0)

    @pytest.mark.parametrize("name", ["grad", "value_and_grad", "hessian", "jacobian"])
    def test_argnums_as_in_jax(self, name):
        every = [0, 1, -1, (0, 1), (1, 0)]
        derivatives = lambda m: [getattr(m, name)(self.f, argnums=n)(self.x, self.y, scale=2.0) for n in every]
        for argnums, ours, theirs in zip(every, *jax.jit(lambda: (derivatives(ad), derivatives(jax)))(), strict=True):
            assert tree_allclose(ours, theirs, rtol=1e-12), argnums

    @pytest.mark.parametrize("name", ["grad", "value_and_grad", "hessian", "jacobian"])
    def test_auxiliary_output_as_in_jax(self, name):
        f = lambda x, y: (self.f(x, y), {"x": x, "count": jnp.array(3)})
        derivative = lambda m: getattr(m, name)(f, has_aux=True)(self.x, self.y)
        ours, theirs = jax.jit(lambda: (derivative(ad), derivative(jax)))()
        assert tree_allclose(ours, theirs, rtol=1e-12)

    def test_auxiliary_output_of_the_others(self):
        f = lambda x: (jnp.sum(x**3), x + 1)
        aux, value = self.x + 1, np.array(9.0)
        of = jax.jit(
            lambda x, mode: (
                ad.grad(f, has_aux=True, mode=mode)(x),
                ad.value_and_hessian(f, has_aux=True, mode=mode)(x),
                ad.value_and_jacobian(f, has_aux=True, mode=mode)(x),
            ),
            static_argnums=1,
        )
        gradient = 3 * self.x**2
        expected = ((gradient, aux), ((value, aux), np.diag(6 * self.x)), ((value, aux), gradient))
        assert tree_allclose(of(self.x, "reverse"), expected)
        assert tree_allclose(of(self.x, "forward"), expected)

        @jax.jit
        def products(x):
            value, pull, pulled_aux = ad.vjp(f, x, has_aux=True)
            return ad.jvp(f, (x,), (x,), has_aux=True)[2], (value, pull(1.0), pulled_aux)

        assert tree_allclose(products(self.x), (aux, (value, (gradient,), aux)))

    def test_several_primals(self):
        out, tangent = ad.jvp(self.f, (self.x, self.y), ([1.0, 0.0], 1))
        assert tree_allclose((out, tangent), (jnp.asarray(15.0), jnp.asarray(2.0 * 3.0 + 5.0)))
        out, pull = ad.vjp(self.f, DV(self.x).array, D(self.y).array)
        assert tree_allclose(pull(2), (12 * self.x, jnp.asarray(10.0)))


def test_python_floats_stay_weak():
    # so that a number takes the dtype of the array that it meets
    single = np.ones(2, np.float32)
    f = lambda c: jnp.sum(c * single)
    assert ad.grad(f)(0.5).weak_type
    assert ad.value_and_grad(f)(0.5)[0].dtype == jnp.float32
    assert ad.diffn(3, f)(0.5) == 0.0


def test_numpy_and_empty_points():
    assert tree_allclose(ad.grad(lambda x: jnp.sum(x**2))(np.array([1.0, 2.0])), np.array([2.0, 4.0]))
    f = lambda x: jnp.sum(x**2) + 1
    modes = "reverse", "forward"
    first, second, *traces = jax.jit(
        lambda x: (
            [ad.grad(f, mode=mode)(x) for mode in modes],
            [ad.hessian(f, mode=mode)(x) for mode in modes],
            ad.laplacian(f)(x),
            ad.value_and_div(lambda x: x)(x)[1],
        )
    )(np.zeros(0))
    assert [leaf.shape for leaf in first] == [(0,), (0,)]
    assert [leaf.shape for leaf in second] == [(0, 0), (0, 0)]
    assert traces == [0.0, 0.0]


def test_function_with_a_constant_value():
    assert tree_allclose(ad.value_and_grad(lambda x: 3.0)(DV([1.0, 2.0])), (jnp.asarray(3.0), DV([0.0, 0.0])))
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
