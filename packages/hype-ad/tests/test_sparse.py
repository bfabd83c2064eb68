"""Sparse Jacobians and Hessians are the whole ones, at the cost of a few products, or refused."""

from functools import partial

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV, D, Sparsity
from hype_ad.testing import assert_derivatives_match
from jax.experimental.sparse import BCOO
from scipy.sparse import coo_array

N = 7
X = np.linspace(-1.0, 1.5, N)
BAND = np.tri(N, k=1) - np.tri(N, k=-2) != 0
ARROW = np.eye(N, dtype=bool) | (np.arange(N) == 2) | (np.arange(N) == 2)[:, None]


def banded(x, c=1.0):
    padded = jnp.pad(x, 1)
    return c * padded[:-2] ** 2 + jnp.sin(padded[1:-1]) * padded[2:]


def tall(x, c=1.0):
    """Rows with few entries, columns with many: rows are fewer than columns."""
    return jnp.stack([c * jnp.sum(x**2 * x[0]), x[0] ** 2])


def arrow(x, c=1.0):
    return jnp.sum(jnp.sin(c * x) * x[2]) + jnp.sum(x**4)


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def of_all(x):
    return {
        "columns": (ad.sparse_jacobian(banded)(x), ad.jacobian(banded)(x)),
        "rows": (ad.sparse_jacobian(tall)(x), ad.jacobian(tall)(x)),
        "forward": (ad.sparse_jacobian(tall, mode="forward")(x), ad.jacobian(tall)(x)),
        "reverse": (ad.sparse_jacobian(banded, mode="reverse")(x), ad.jacobian(banded)(x)),
        "hessian": (ad.sparse_hessian(arrow)(x), ad.hessian(arrow)(x)),
        "given": (ad.sparse_jacobian(banded, sparsity=BAND)(x), ad.jacobian(banded)(x)),
        "no entries": (ad.sparse_hessian(jnp.sum)(x), jnp.zeros((N, N))),
    }


def test_entries_are_those_of_the_whole_matrix():
    @jax.jit
    def compute(x):
        return {name: (sparse, sparse.todense(), whole) for name, (sparse, whole) in of_all(x).items()}

    for name, (sparse, filled, whole) in compute(X).items():
        assert isinstance(sparse, BCOO)
        np.testing.assert_allclose(filled, whole, rtol=1e-13, err_msg=name)


def test_a_few_products_are_taken():
    assert ad.jacobian_sparsity(banded)(X).column_coloring.count == 3
    assert ad.jacobian_sparsity(tall)(X).row_coloring.count == 2
    star = Sparsity(ARROW).star_coloring
    assert star.count == 2 < Sparsity(ARROW).column_coloring.count
    assert ad.hessian_sparsity(rosenbrock)(np.zeros(500)).star_coloring.count == 3
    random = np.random.default_rng(0).random((40, 40)) < 0.1
    symmetric = Sparsity(random | random.T)
    whole = np.random.default_rng(1).normal(size=(40, 40)) * (random | random.T)
    whole = whole + whole.T
    for coloring in (symmetric.star_coloring, symmetric.column_coloring):
        products = np.stack([whole[:, coloring.colors == color].sum(axis=1) for color in range(coloring.count)])
        read = products[coloring.product, coloring.place]
        np.testing.assert_allclose(read, whole[symmetric.rows, symmetric.columns])


def test_pytrees_and_tensors_have_blocks():
    def f(p):
        return {"a": p["u"][:2] * p["s"], "b": p["v"].array ** 2 @ jnp.ones(3)}

    g = lambda p: D(jnp.sum(p["u"] ** 3) * p["s"]) + p["v"] @ p["v"]
    p = {"s": np.array(2.0), "u": np.arange(6.0).reshape(3, 2), "v": DV([1.0, 2.0, 3.0])}

    @jax.jit
    def compute(p):
        whole, sparse = (ad.jacobian(f)(p), ad.hessian(g)(p)), ad.sparse_jacobian(f)(p)
        dense = ad.sparse_jacobian(f, dense=True)(p), ad.sparse_hessian(g, dense=True)(p)
        return whole, dense, sparse, sparse["a"]["u"].todense()

    whole, dense, sparse, filled = compute(p)
    assert sparse["a"]["u"].shape == (2, 2, 3, 2)
    assert sparse["a"]["u"].nse == 4
    np.testing.assert_allclose(filled, whole[0]["a"]["u"])
    assert jax.tree.structure(dense) == jax.tree.structure(whole)
    jax.tree.map(np.testing.assert_allclose, dense, whole)


def test_argnums_and_aux_are_passed_through():
    f = lambda c, x: (banded(x, c), 2 * c)
    g = lambda c, x: (arrow(x, c), 2 * c)

    @jax.jit
    def compute(c, x):
        whole = (f(c, x), ad.jacobian(f, (0, 1), True)(c, x)[0]), ad.hessian(g, 1, True)(c, x)
        value, (by_c, by_x) = ad.value_and_sparse_jacobian(f, (0, 1), True)(c, x)
        hessian, aux = ad.sparse_hessian(g, 1, True)(c, x)
        return ((value, (by_c.todense(), by_x.todense())), (hessian.todense(), aux)), whole

    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-13), *compute(np.array(2.0), X))


@pytest.mark.parametrize(("sparsity", "order"), [(ARROW, 1), pytest.param(None, 2, marks=pytest.mark.slow)])
def test_derivatives_of_all_orders(sparsity, order):
    weights = np.linspace(0.5, 1.5, N * N).reshape(N, N)

    def loss(p):
        hessian = ad.sparse_hessian(lambda x: arrow(x, p["c"]), sparsity=sparsity, dense=True)(p["x"])
        jacobian = ad.sparse_jacobian(lambda x: tall(x, p["c"]))(p["x"])
        return jnp.sum(weights * jnp.sin(hessian)) + jnp.sum(jacobian.data**2)

    assert_derivatives_match(loss, {"x": X, "c": np.array(0.7)}, order=order)


def test_a_parameter_that_is_zero_is_no_zero():
    pattern_and_slope = lambda a: ad.sparse_jacobian(lambda x: a * x[::-1] + x)(X).todense()[0]
    np.testing.assert_allclose(jax.jit(jax.jacfwd(pattern_and_slope))(np.array(0.0)), np.eye(N)[-1])


LACKING = BAND & ~((np.arange(N) == 3) & (np.arange(N) == 4)[:, None])


def test_missing_entries_are_found():
    wrong = {
        "columns": ad.sparse_jacobian(banded, sparsity=LACKING),
        "rows": ad.sparse_jacobian(banded, sparsity=LACKING, mode="reverse"),
        "symmetric": ad.sparse_hessian(rosenbrock, sparsity=LACKING & LACKING.T),
    }
    with pytest.raises(ValueError, match="`sparsity` must have all entries that are not zero"):
        ad.sparse_jacobian(jnp.sin, sparsity=np.diag([1, 1, 0]))(np.ones(3))
    entries = lambda x: {name: operator(x).data for name, operator in wrong.items()}
    values, tangents = jax.jit(lambda x: jax.jvp(entries, (x,), (x,)))(X)
    for name in wrong:
        assert np.isnan(values[name]).all()
        assert np.isnan(tangents[name]).all()
    unchecked = jax.jit(lambda x: ad.sparse_jacobian(banded, sparsity=LACKING, check=False)(x).data)
    assert np.isfinite(unchecked(X)).all()


def test_one_triangle_is_enough():
    upper = np.triu(ARROW)
    sparse = ad.sparse_hessian(arrow, sparsity=upper)
    np.testing.assert_allclose(*jax.jit(lambda x: (sparse(x).todense(), ad.hessian(arrow)(x)))(X))


def test_a_derivative_that_is_not_finite_is_not_a_wrong_sparsity():
    entries = jax.jit(lambda x: ad.sparse_jacobian(jnp.sqrt, sparsity=np.eye(2))(x).data)(np.array([0.0, 1.0]))
    np.testing.assert_array_equal(entries, [np.inf, 0.5])
    lacking = ad.sparse_jacobian(lambda x: jnp.sqrt(x[:3]) + x[1:], sparsity=np.eye(3, 4))
    for first in (0.0, np.nan):  # and does not hide one
        with pytest.raises(ValueError, match="`sparsity` must have all entries that are not zero"):
            lacking(np.array([first, 1.0, 2.0, 3.0]))


def test_functions_of_one_mode():
    @jax.custom_vjp
    def floored(x):
        return jnp.floor(x)

    floored.defvjp(lambda x: (floored(x), None), lambda _, g: (g,))
    grown = lambda x: jax.lax.while_loop(lambda s: s[-1] < 9, lambda s: 2 * s + 1, x)
    operators = ad.sparse_jacobian(floored), ad.sparse_jacobian(lambda x: jnp.append(grown(x), x[:2]))
    straight, loop = jax.jit(lambda x: [operator(x).todense() for operator in operators])(X)
    np.testing.assert_allclose(straight, np.eye(N))
    np.testing.assert_allclose(np.asarray(loop)[:N], 4 * np.eye(N))


def test_sparsity_is_a_value():
    entries = coo_array(BAND)
    stored = BCOO((np.ones(BAND.sum()), np.argwhere(BAND)), shape=BAND.shape)
    for matrix in (BAND.astype(float), entries, jnp.asarray(BAND, bool), stored, BAND.tolist()):
        assert Sparsity(matrix) == Sparsity(BAND)
    assert len({Sparsity(BAND), Sparsity(BAND), Sparsity(ARROW)}) == 2
    assert repr(Sparsity(BAND)) == f"Sparsity(7 x 7, {BAND.sum()} entries)"
    np.testing.assert_array_equal(Sparsity(BAND).to_array(), BAND)
    assert Sparsity(np.triu(BAND)).symmetric == Sparsity(BAND | BAND.T)


@pytest.mark.slow
def test_a_sparsity_is_found_once_for_many_points():
    found = ad.jacobian_sparsity(banded)(X)
    assert found == Sparsity(BAND | BAND.T)
    compiled = jax.jit(jax.vmap(lambda x: ad.sparse_jacobian(banded, sparsity=found)(x).todense()))
    xs = np.stack([X, 2 * X])
    np.testing.assert_allclose(compiled(xs), jax.vmap(jax.jacobian(banded))(xs))


def test_errors():
    with pytest.raises(TypeError, match="`sparsity` must be a Sparsity or a matrix of NumPy, SciPy or BCOO, got 3"):
        ad.sparse_jacobian(banded, sparsity=3)
    with pytest.raises(ValueError, match=r"`sparsity` must be a matrix, got shape \(7,\)"):
        Sparsity(np.ones(7))
    with pytest.raises(ValueError, match=r"`sparsity` must be a matrix, got shape \(7,\)"):
        Sparsity(coo_array(np.ones(7)))
    with pytest.raises(ValueError, match="`sparsity` must be a matrix, got rows of different lengths"):
        Sparsity([[1, 0], [1]])
    for matrix in ([["a", "b"]], np.array([[None]])):
        with pytest.raises(TypeError, match="`sparsity` must be a matrix of numbers, got one of dtype"):
            Sparsity(matrix)
    for operator in (ad.sparse_jacobian, ad.grad_sparse_hessian):
        for name in ("dense", "check"):
            with pytest.raises(TypeError, match=f"`{name}` must be True or False|parameter '{name}'"):
                operator(banded, **{name: "yes"})
    np.testing.assert_array_equal(Sparsity(ad.DM([[0.0, 2.0]])).to_array(), [[False, True]])
    with pytest.raises(TypeError, match="`sparsity` must be known while JAX traces"):
        jax.jit(lambda s, x: ad.sparse_jacobian(banded, sparsity=s)(x).data)(jnp.asarray(BAND), X)
    with pytest.raises(ValueError, match=r"`sparsity` must be of shape \(2, 7\), outputs by inputs, got \(7, 7\)"):
        jax.eval_shape(lambda x: ad.sparse_jacobian(tall, sparsity=BAND)(x).data, X)
    with pytest.raises(ValueError, match=r"More than 2²⁴ entries of the derivative, of shape \(5000, 5000\)"):
        ad.sparse_jacobian(lambda x: x * jnp.sum(x))(np.zeros(5000))
    with pytest.raises(TypeError, match="must be a real float"):
        ad.jacobian_sparsity(banded)(np.arange(7))
    with pytest.raises(ValueError, match="`argnums` must be positions"):
        ad.hessian_sparsity(rosenbrock, argnums=1)(X)
    with pytest.raises(ValueError, match=r"`f\(x\)` must be one number"):
        ad.sparse_hessian(banded)(X)
