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
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

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
        (D, [1.0], r"D takes a number \(rank 0\), got rank 1, shape \(1,\)"),
        (DV, 1.0, r"DV takes a vector \(rank 1\), got rank 0, shape \(\)"),
        (DV, M, r"DV takes a vector \(rank 1\), got rank 2, shape \(2, 3\)"),
        (DM, V, r"DM takes a matrix \(rank 2\), got rank 1, shape \(3,\)"),
        (DM, [[1.0, 2.0], [3.0]], "x must have rows of equal lengths"),
        (DM, [V, V[:2]], r"x must have elements of equal shapes, got \(2,\), \(3,\)"),
        (wrap, np.ones((1, 1, 1)), "a D, DV or DM has rank 0, 1 or 2, got rank 3"),
    ],
)
def test_wrong_shapes_raise(kind, value, message):
    with pytest.raises(ValueError, match=message):
        kind(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (jnp.ones(2, complex), "x must hold real numbers, got an array of dtype complex128"),
        (np.ones(2, complex), "x must hold real numbers, got an array of dtype complex128"),
        (jax.random.key(0), "x must hold real numbers, got an array of dtype key"),
        (np.array(["a"]), "x must hold real numbers, got an array of dtype <U1"),
        ([1.0, None], "x must be a number, an array, a D, DV or DM, or a nested sequence of these, got NoneType"),
        ([1.0, D(1.0), 1j], "x must be real, got the complex number 1j"),
        ("ab", "x must be a number, an array, a D, DV or DM, or a nested sequence of these, got str"),
        ({1.0, 2.0}, "x must be a number, an array, a D, DV or DM, or a nested sequence of these, got set"),
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
    gradient = jax.grad(lambda x: (DM([[x * x, 3.0], [x, 1.0]]) @ DV([x, 2.0])).array[0])(D(2.0))
    assert isinstance(gradient, D)
    assert float(gradient) == 12.0


def test_immutable():
    with pytest.raises(AttributeError):
        V.array = jnp.ones(3)
    with pytest.raises(TypeError):
        ANY_V[0] = 1.0


BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
PAIRS = [(x, y) for x in (D(2.0), V, M) for y in (D(3.0), V, M)]
NUMBERS = [2, 2.5]


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
def test_operators_mean_what_they_mean_in_numpy(op):
    pairs = [*PAIRS, *((x, n) for x in TENSORS for n in NUMBERS), *((n, x) for x in TENSORS for n in NUMBERS)]
    pairs += [(np.asarray(x), y) for x, y in PAIRS] + [(x, np.asarray(y)) for x, y in PAIRS]
    pairs = [(abs(x), abs(y)) if op is operator.pow else (x, y) for x, y in pairs]
    results = jax.jit(lambda: [op(x, y) for x, y in pairs])()
    for result, (x, y) in zip(results, pairs, strict=True):
        expected = op(np.asarray(x, float), np.asarray(y, float))
        assert isinstance(result, (D, DV, DM)[expected.ndim])
        np.testing.assert_allclose(result, expected, rtol=1e-14)


@pytest.mark.parametrize("op", COMPARISONS, ids=lambda op: op.__name__)
def test_comparisons_give_plain_booleans(op):
    pairs = [*PAIRS, (V, 1.0), (1.0, V), (np.ones(3), V), (M, np.ones(3))]
    results = jax.jit(lambda: [op(x, y) for x, y in pairs])()
    for result, (x, y) in zip(results, pairs, strict=True):
        assert isinstance(result, jax.Array)
        np.testing.assert_array_equal(result, op(np.asarray(x), np.asarray(y)))


@pytest.mark.parametrize(
    ("left", "right"), [(V, V), (M, V), (V, M.T), (M, M.T), (np.ones(3), V), (M, np.ones(3)), (np.eye(2), M)]
)
def test_matrix_products(left, right):
    expected = np.asarray(left) @ np.asarray(right)
    result = left @ right
    assert isinstance(result, (D, DV, DM)[expected.ndim])
    np.testing.assert_allclose(result, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: V + DV([1.0, 2.0]), r"the operands must have shapes that broadcast, got \(3,\) and \(2,\)"),
        (lambda: np.ones(2) * V, r"the operands must have shapes that broadcast, got \(2,\) and \(3,\)"),
        (lambda: DV([1.0, 2.0]) > M, r"the operands must have shapes that broadcast, got \(2,\) and \(2, 3\)"),
        (lambda: V @ DV([1.0, 2.0]), r"@ takes equal inner lengths, got shapes \(3,\) and \(2,\)"),
        (lambda: M @ M, r"@ takes equal inner lengths, got shapes \(2, 3\) and \(2, 3\)"),
        (lambda: V @ 2.0, r"@ takes vectors and matrices, got shapes \(3,\) and \(\): use \* to multiply by a number"),
    ],
)
def test_shapes_that_do_not_fit_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_foreign_operands():
    with pytest.raises(TypeError, match="unsupported operand"):
        ANY_V + "a"
    with pytest.raises(TypeError, match="unsupported operand"):
        [1.0] @ ANY_V
    with pytest.raises(TypeError, match="not supported between"):
        assert ANY_V < None
    with pytest.raises(TypeError, match="unsupported operand"):
        ANY_V * 1j
    with jax.numpy_dtype_promotion("standard"), pytest.raises(TypeError, match="real numbers"):
        ANY_V * jnp.ones(3, complex)
    assert operator.eq(V, None) is False
    assert operator.ne(V, "a") is True


def test_numbers_are_weakly_typed():
    v = DV(jnp.ones(2, jnp.float32))
    for result in (v * 2.0, 2 * v, v / 3, v**2, 1.0 - v, D(jnp.float32(2)) * v, v.at[0].set(3.0), round(v, 2)):
        assert result.dtype == jnp.float32


def test_unary():
    np.testing.assert_array_equal(-V, [-1.0, 2.0, -3.0])
    np.testing.assert_array_equal(abs(V), [1.0, 2.0, 3.0])
    assert +V is V
    np.testing.assert_array_equal(round(DV([1.26, 2.5])), [1.0, 2.0])
    np.testing.assert_array_equal(round(DV([1.26, 2.5]), 1), [1.3, 2.5])


def test_jax_numpy_takes_tensors():
    v = ANY_V
    for result in (jnp.sin(v), jnp.where(v > 0, v, 0.0), jnp.stack([v, v]), jnp.linalg.norm(v), jax.nn.softmax(v)):
        assert isinstance(result, jax.Array)
    np.testing.assert_array_equal(jnp.concatenate([v, v]), np.concatenate([V, V]))
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
    with pytest.raises(TypeError, match="a number has no elements to iterate over"):
        list(D(1.0))


@pytest.mark.parametrize("tensor", TENSORS, ids=name)
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "deep", "pickle"]
)
def test_copies(tensor, duplicate):
    twin = duplicate(tensor)
    assert type(twin) is type(tensor)
    np.testing.assert_array_equal(twin, tensor)


INDICES = [
    (V, 0),
    (V, -1),
    (V, np.int64(1)),
    (V, slice(1, None)),
    (V, slice(None, None, -1)),
    (V, np.array([2, 0])),
    (V, np.array([True, False, True])),
    (V, (None, slice(None))),
    (M, 1),
    (M, (1, 2)),
    (M, (slice(None), 1)),
    (M, (slice(0, 1), slice(1, 3))),
    (M, (Ellipsis, 0)),
    (M, np.array([1, 1, 0])),
]


@pytest.mark.parametrize(("tensor", "index"), INDICES)
def test_indexing(tensor, index):
    expected = np.asarray(tensor)[index]
    assert isinstance(tensor[index], (D, DV, DM)[expected.ndim])
    np.testing.assert_array_equal(tensor[index], expected)


@pytest.mark.parametrize("index", [3, -4, (0, 0), (0, -4)])
def test_an_index_out_of_range_raises(index):
    with pytest.raises(IndexError):
        V[index]
    with pytest.raises(IndexError):
        V.at[index].set(1.0)


@pytest.mark.parametrize("index", [1.0, D(1.0), (0, D(1.0))])
def test_an_index_that_is_no_integer_raises(index):
    with pytest.raises(TypeError, match="an index must be an integer"):
        M[index]


def test_a_traced_index():
    assert isinstance(jax.jit(lambda v, i: v[i])(V, 1), D)
    assert float(jax.jit(lambda v, i: v[i])(V, 1)) == -2.0


def test_iteration():
    assert [name(x) for x in V] == ["D"] * 3
    assert [name(x) for x in M] == ["DV"] * 2
    np.testing.assert_array_equal(list(M)[1], M[1])


def test_edits():
    np.testing.assert_array_equal(V.at[1].set(5.0), [1.0, 5.0, 3.0])
    np.testing.assert_array_equal(V.at[1:].add(D(1.0)), [1.0, -1.0, 4.0])
    np.testing.assert_array_equal(M.at[0].multiply(V), [[1.0, -4.0, 1.5], [3.0, 4.0, -1.0]])
    np.testing.assert_array_equal(V.at[:].min(0.0), [0.0, -2.0, 0.0])
    np.testing.assert_array_equal(V.at[:].max([0.0, 1.0, 2.0]), [1.0, 1.0, 3.0])
    assert isinstance(V.at[0].set(1.0), DV)


@pytest.mark.parametrize("method", ["sum", "prod", "mean", "var", "max", "min", "argmax", "argmin"])
def test_methods_of_arrays(method):
    cases = [(D(2.0), None), (V, None), (V, 0), (M, None), (M, 0), (M, 1)]
    results = jax.jit(lambda: [getattr(tensor, method)(axis) for tensor, axis in cases])()
    for result, (tensor, axis) in zip(results, cases, strict=True):
        expected = getattr(np.asarray(tensor), method)(axis)
        np.testing.assert_allclose(result, expected, rtol=1e-14)
        assert isinstance(result, jax.Array if method.startswith("arg") else (D, DV, DM)[np.ndim(expected)])


def test_shapes():
    assert M.T.shape == (3, 2)
    assert V.T.shape == (3,)
    assert isinstance(V.reshape(3, 1), DM)
    assert isinstance(M.reshape((-1,)), DV)
    assert isinstance(M.ravel(), DV)
    np.testing.assert_array_equal(M.ravel(), np.asarray(M).ravel())
    with pytest.raises(TypeError, match=r"dtype must be a float type, got .*int32"):
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
    assert isinstance(jax.jit(lambda v: v * 2.0)(V), DV)
    np.testing.assert_array_equal(jax.vmap(lambda row: (row * 2.0) @ V)(M), 2 * (M @ V))
    mapped = jax.vmap(lambda s: s * V)(DV([1.0, 2.0]))
    np.testing.assert_array_equal(mapped, np.outer([1.0, 2.0], V))
    last, path = jax.lax.scan(lambda v, _: (v * 0.5, v), V, None, length=4)
    assert isinstance(last, DV)
    np.testing.assert_array_equal(path[1], V * 0.5)
    jacobian = jax.jacobian(lambda v: (v * v).array)(V)
    np.testing.assert_array_equal(jacobian.array, np.diag(2 * np.asarray(V)))
    stepped = jax.tree.map(lambda w, g: w - 0.1 * g, V, jax.grad(lambda v: (v @ v).array)(V))
    np.testing.assert_allclose(stepped, 0.8 * V, rtol=1e-15)
    stopped = jax.lax.while_loop(lambda d: d.array < 10.0, lambda d: d * 2.0, D(1.0))
    assert float(stopped) == 16.0
    assert isinstance(jax.block_until_ready(V).block_until_ready(), DV)
    chosen = jax.lax.cond(True, lambda: V, lambda: V * 2.0)
    np.testing.assert_array_equal(chosen, V)


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
    gradient = eqx.filter_grad(lambda model, x: (model(x) ** 2).sum().array)(model, V)
    assert isinstance(gradient.w, DM)
    np.testing.assert_allclose(gradient.b, 2 * model(V), rtol=1e-14)
    assert eqx.tree_equal(model, Model(M, DV([0.0, 1.0])))


def test_tensor_of_a_rank_that_vmap_changed_computes_by_its_array():
    rows = jax.vmap(lambda row: row)(M)
    assert isinstance(rows * 1.0, DM)
    many = jax.vmap(lambda s: s * M)(V)
    with pytest.raises(ValueError, match="a D, DV or DM has rank 0, 1 or 2, got rank 3"):
        operator.mul(many, 2.0)
    assert isinstance(many[0], DM)


numbers = st.floats(-100, 100, allow_subnormal=False)
vectors = hnp.arrays(np.float64, 3, elements=numbers)
matrices = hnp.arrays(np.float64, (3, 3), elements=numbers)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(vectors, vectors, matrices, matrices, numbers)
def test_laws(v, w, m, n, c):
    for left, right in both_sides(DV(v), DV(w), DM(m), DM(n), D(c)):
        assert type(left) is type(right)
        np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-7)


@jax.jit
def both_sides(v, w, m, n, c):
    return [
        (v + w, w + v),
        (v - w, -(w - v)),
        (v * w, w * v),
        (c * (v + w), c * v + c * w),
        (v @ w, w @ v),
        (v @ w, (v * w).sum()),
        ((m @ n) @ v, m @ (n @ v)),
        (v @ m, m.T @ v),
        ((m @ n).T, n.T @ m.T),
        (m @ (v + w), m @ v + m @ w),
        ((c * m) @ v, c * (m @ v)),
        (m + v, (m.T + v.reshape(3, 1)).T),
        (abs(v) ** 2, v**2),
        (v / 4, 0.25 * v),
        (m.sum(0).sum(), m.sum()),
        (m.mean(), m.ravel().mean()),
        (v.max(), -((-v).min())),
        (m[1, 2], m[1][2]),
        (m[:, 2], m.T[2]),
        (v.at[1].add(c) - v, c * DV([0.0, 1.0, 0.0])),
    ]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(hnp.basic_indices((2, 3), max_dims=2))
def test_indexing_agrees_with_numpy(index):
    expected = np.asarray(M)[index]
    assert isinstance(M[index], (D, DV, DM)[expected.ndim])
    np.testing.assert_array_equal(M[index], expected)
