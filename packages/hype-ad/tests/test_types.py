"""What D, DV and DM are: made from numbers, taken apart by JAX, met by NumPy."""

import copy
import operator
import pickle
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D, to_array, wrap

pytestmark = pytest.mark.smoke

V = DV([1.0, -2.0, 3.0])
ANY_V: Any = V  # for what type checkers refuse, and for annotations that do not know of JAX's protocol
M = DM([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]])
TENSORS = [D(1.5), V, M]


def name(x):
    return type(x).__name__


@pytest.mark.parametrize(
    ("kind", "value", "shape"),
    [
        (D, 2, ()),
        (D, True, ()),
        (D, np.float64(2.0), ()),
        (D, jnp.asarray(2.0), ()),
        (D, D(2.0), ()),
        (DV, [1, 2], (2,)),
        (DV, (1.0, 2), (2,)),
        (DV, range(3), (3,)),
        (DV, (0.5 * i for i in range(3)), (3,)),
        (DV, np.arange(3), (3,)),
        (DV, np.arange(3, dtype=">i4"), (3,)),  # as files have them
        (DM, np.ones((2, 1), dtype=">f8"), (2, 1)),
        (DV, [], (0,)),
        (DV, [D(1.0), 2, jnp.asarray(3.0)], (3,)),
        (DV, np.array([1.0, 2.0], dtype=object), (2,)),
        (DM, [[1, 2], [3, 4]], (2, 2)),
        (DM, [[]], (1, 0)),
        (DM, [V, V, [1, 2, 3]], (3, 3)),
        (DM, np.ones((2, 3), bool), (2, 3)),
    ],
)
def test_construction(kind, value, shape):
    tensor = kind(value)
    assert tensor.shape == shape
    assert tensor.ndim == len(shape)
    assert tensor.size == np.prod(shape)
    assert isinstance(tensor.array, jax.Array)
    assert tensor.dtype == jnp.float64


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
def test_arrays_of_floats_keep_their_dtype(dtype):
    assert DV(jnp.ones(2, dtype)).dtype == dtype
    assert DV(np.ones(2, dtype)).dtype == dtype
    assert DV([D(jnp.ones((), dtype)), 3.0]).dtype == dtype
    assert D(2).astype(dtype).dtype == dtype


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (D, [1.0], r"^`value` of `D` must be a number \(rank 0\), got rank 1, shape \(1,\)"),
        (DV, 1.0, r"^`value` of `DV` must be a vector \(rank 1\), got rank 0, shape \(\)"),
        (DV, M, r"^`value` of `DV` must be a vector \(rank 1\), got rank 2, shape \(2, 3\)"),
        (DM, V, r"^`value` of `DM` must be a matrix \(rank 2\), got rank 1, shape \(3,\)"),
        (DM, [[1.0, 2.0], [3.0]], "^`value` must have rows of equal lengths, got ragged ones"),
        (DM, [V, V[:2]], r"^`value` must have elements of equal shapes, got \(2,\), \(3,\)"),
        (wrap, np.ones((1, 1, 1)), "^A `D`, `DV` or `DM` must have rank 0, 1 or 2, got rank 3"),
    ],
)
def test_wrong_shapes_raise(kind, value, message):
    with pytest.raises(ValueError, match=message):
        kind(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (jnp.ones(2, complex), "^`value` must hold real numbers, got an array of dtype complex128"),
        (np.ones(2, complex), "^`value` must hold real numbers, got an array of dtype complex128"),
        (jax.random.key(0), "^`value` must hold real numbers, got an array of dtype key"),
        (np.array(["a"]), "^`value` must hold real numbers, got an array of dtype <U1"),
        (
            [1.0, None],
            "^`value` must be a number, an array, a `D`, `DV` or `DM`, or a nested sequence of these, got NoneType",
        ),
        ([1.0, D(1.0), 1j], "^`value` must be real, got the complex number 1j"),
        ("ab", "^`value` must be a number, an array, a `D`, `DV` or `DM`, or a nested sequence of these, got str"),
        (
            {1.0, 2.0},
            "^`value` must be a number, an array, a `D`, `DV` or `DM`, or a nested sequence of these, got set",
        ),
    ],
)
def test_what_is_not_real_raises(value, message):
    with pytest.raises(TypeError, match=message):
        DV(value)


def test_conversions():
    assert [name(wrap(x)) for x in (1, [1, 2], [[1]])] == ["D", "DV", "DM"]
    assert to_array(V) is V.array
    assert to_array(V.array) is V.array
    assert wrap(V.array).array is V.array
    assert to_array([[1, 2]]).dtype == jnp.float64


def test_elements_differentiate_through_construction():
    gradient = jax.jit(jax.grad(lambda x: (DM([[x * x, 3.0], [x, 1.0]]) @ DV([x, 2.0])).array[0]))(D(2.0))
    assert isinstance(gradient, D)
    assert float(gradient) == 12.0


def test_immutable():
    with pytest.raises(AttributeError):
        V.array = jnp.ones(3)
    with pytest.raises(TypeError):
        ANY_V[0] = 1.0


def test_jax_numpy_takes_tensors():
    of_one = jnp.sin, lambda v: jnp.where(v > 0, v, 0.0), jnp.linalg.norm, jax.nn.softmax
    of_two = lambda v: jnp.stack([v, v]), lambda v: jnp.concatenate([v, v])
    *results, joined = jax.jit(lambda v: [f(v) for f in (*of_one, *of_two)])(ANY_V)
    for result in (*results, joined):
        assert isinstance(result, jax.Array)
    np.testing.assert_array_equal(joined, np.concatenate([V, V]))
    np.testing.assert_array_equal(jnp.ones(3) * V, V)
    assert isinstance(V * jnp.ones(3), DV)


def test_numpy_takes_tensors():
    for result in (np.asarray(V), np.sin(V), np.sum(V, keepdims=True), np.cumsum(V), np.add.reduce(M), np.sort(V)):
        assert isinstance(result, np.ndarray)
    assert np.mean(V) == pytest.approx(2 / 3)
    assert np.asarray(V, dtype=np.float32).dtype == np.float32
    assert np.array(V).flags.writeable
    total = np.zeros(3)
    total += V
    np.testing.assert_array_equal(total, V)
    assert isinstance(np.float64(2.0) * V, DV)


def test_python_takes_tensors():
    assert float(D(1.5)) == 1.5
    assert int(D(2.7)) == 2
    assert bool(D(0.0)) is False
    assert V.tolist() == [1.0, -2.0, 3.0]
    assert D(1.5).item() == 1.5
    assert M.item(1, 0) == 3.0
    assert isinstance(sum(ANY_V), D)
    assert float(sum(ANY_V)) == 2.0
    assert [float(x) for x in sorted(V)] == [-2.0, 1.0, 3.0]
    assert float(max(V)) == 3.0
    assert len(V) == 3
    assert f"{D(1.23456):.2f}" == "1.23"
    assert f"{V}" == str(V) == "DV([ 1. -2.  3.])"
    with pytest.raises(TypeError, match="unhashable"):
        hash(V)
    with pytest.raises(TypeError):
        len(D(1.0))
    with pytest.raises(TypeError, match="A number has no elements to iterate over"):
        list(D(1.0))


@pytest.mark.parametrize("tensor", TENSORS, ids=name)
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "deep", "pickle"]
)
def test_copies(tensor, duplicate):
    twin = duplicate(tensor)
    assert type(twin) is type(tensor)
    np.testing.assert_array_equal(twin, tensor)


def test_shapes():
    assert M.T.shape == (3, 2)
    assert V.T.shape == (3,)
    assert isinstance(V.reshape(3, 1), DM)
    assert isinstance(M.reshape((-1,)), DV)
    assert isinstance(M.ravel(), DV)
    np.testing.assert_array_equal(M.ravel(), np.asarray(M).ravel())
    with pytest.raises(TypeError, match=r"^`dtype` must be a float type, got .*int32"):
        V.astype(jnp.int32)


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (D(1.5), "D(1.5)"),
        (DV([1.0, 2.0]), "DV([1. 2.])"),
        (DV([]), "DV([])"),
        (DM([[1.0, 2.0], [3.0, 4.0]]), "DM(2 x 2)\n[[1. 2.]\n [3. 4.]]"),
        (DV(jnp.ones(2, jnp.float32)), "DV([1. 1.], float32)"),
        (DV(jnp.ones(2, jnp.bfloat16)), "DV([1. 1.], bfloat16)"),
        (jax.eval_shape(lambda v: v, V), "DV(float64[3])"),
        (jax.tree.map(lambda _: None, V), "DV(None)"),
    ],
)
def test_repr(tensor, text):
    assert repr(tensor) == text


def test_masked_entries_raise():
    with pytest.raises(ValueError, match=r"^`value` must have no masked entries, got 1 of them"):
        DV(np.ma.masked_array([1.0, 2.0], [False, True]))
    assert repr(DV(np.ma.masked_array([1.0, 2.0]))) == "DV([1. 2.])"


def test_repr_while_traced():
    seen = []
    jax.jit(lambda m: seen.append(repr(m)))(M)
    jax.grad(lambda v: (seen.append(repr(v)), v.sum().array)[1])(V)
    assert seen == ["DM(float64[2,3])", "DV(float64[3])"]


@pytest.mark.parametrize("leaf", [None, object(), True, 3, "x", jnp.ones((2, 2, 2)), jax.ShapeDtypeStruct((1,), int)])
def test_unflattening_neither_checks_nor_converts(leaf):
    for tensor in TENSORS:
        leaves, structure = jax.tree.flatten(tensor)
        assert len(leaves) == 1
        assert jax.tree.unflatten(structure, [leaf]).array is leaf


def test_transformations():
    @jax.jit
    def every(v, m):
        return (
            v * 2.0,
            jax.vmap(lambda row: (row * 2.0) @ v)(m),
            jax.vmap(lambda s: s * v)(DV([1.0, 2.0])),
            jax.lax.scan(lambda v, _: (v * 0.5, v), v, None, length=4),
            jax.jacobian(lambda v: (v * v).array)(v),
            jax.tree.map(lambda w, g: w - 0.1 * g, v, jax.grad(lambda v: (v @ v).array)(v)),
            jax.lax.while_loop(lambda d: d.array < 10.0, lambda d: d * 2.0, D(1.0)),
            jax.lax.cond(True, lambda: v, lambda: v * 2.0),
        )

    doubled, products, mapped, (last, path), jacobian, stepped, stopped, chosen = every(V, M)
    v, m = np.asarray(V), np.asarray(M)
    assert isinstance(doubled, DV)
    np.testing.assert_array_equal(products, 2 * (m @ v))
    np.testing.assert_array_equal(mapped, np.outer([1.0, 2.0], v))
    assert isinstance(last, DV)
    np.testing.assert_array_equal(path.array[1], v * 0.5)
    np.testing.assert_array_equal(jacobian.array, np.diag(2 * v))
    np.testing.assert_allclose(stepped, 0.8 * v, rtol=1e-15)
    assert float(stopped) == 16.0
    assert isinstance(jax.block_until_ready(V).block_until_ready(), DV)
    np.testing.assert_array_equal(chosen, v)


def test_second_call_does_not_compile_again():
    traces = []

    @jax.jit
    def f(d, v):
        traces.append(1)
        return d * v

    for value in (1.0, 2.0, 3.0):
        f(D(value), V * value)
    assert len(traces) == 1


def test_in_equinox():
    class Model(eqx.Module):
        w: DM
        b: DV

        def __call__(self, x):
            return self.w @ x + self.b

    model = Model(M, DV([0.0, 1.0]))
    slope = eqx.filter_grad(lambda model, x: (model(x) ** 2).sum().array)
    gradient, value = jax.jit(lambda model, x: (slope(model, x), model(x)))(model, V)
    assert isinstance(gradient.w, DM)
    np.testing.assert_allclose(gradient.b, 2 * np.asarray(value), rtol=1e-14)
    assert eqx.tree_equal(model, Model(M, DV([0.0, 1.0])))


def test_tensor_of_a_rank_that_vmap_changed_computes_by_its_array():
    rows = jax.vmap(lambda row: row)(M)
    assert isinstance(rows * 1.0, DM)
    many = jax.vmap(lambda s: s * M)(V)
    with pytest.raises(ValueError, match=r"^A `D`, `DV` or `DM` must have rank 0, 1 or 2, got rank 3"):
        operator.mul(many, 2.0)
    assert isinstance(many[0], DM)
