"""Operators and methods of D, DV and DM: NumPy's meaning, and the laws of algebra."""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

V = DV([1.0, -2.0, 3.0])
ANY_V: Any = V  # for what type checkers refuse, and for annotations that do not know of JAX's protocol
M = DM([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]])
TENSORS = [D(1.5), V, M]


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
        (lambda: V + DV([1.0, 2.0]), r"^The operands must have shapes that broadcast, got \(3,\) and \(2,\)"),
        (lambda: np.ones(2) * V, r"^The operands must have shapes that broadcast, got \(2,\) and \(3,\)"),
        (lambda: DV([1.0, 2.0]) > M, r"^The operands must have shapes that broadcast, got \(2,\) and \(2, 3\)"),
        (
            lambda: V @ DV([1.0, 2.0]),
            r"^The operands of `@` must have equal inner lengths, got shapes \(3,\) and",
        ),
        (lambda: M @ M, r"^The operands of `@` must have equal inner lengths, got shapes \(2, 3\) and \(2, 3\)"),
        (lambda: V @ 2.0, r"^The operands of `@` must be vectors or matrices, got shapes \(3,\) and \(\)\. Use `\*`"),
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


@pytest.mark.parametrize("method", ["sum", "prod", "mean", "var", "max", "min", "argmax", "argmin"])
def test_methods_of_arrays(method):
    cases = [(D(2.0), None), (V, None), (V, 0), (M, None), (M, 0), (M, 1)]
    results = jax.jit(lambda: [getattr(tensor, method)(axis) for tensor, axis in cases])()
    for result, (tensor, axis) in zip(results, cases, strict=True):
        expected = getattr(np.asarray(tensor), method)(axis)
        np.testing.assert_allclose(result, expected, rtol=1e-14)
        assert isinstance(result, jax.Array if method.startswith("arg") else (D, DV, DM)[np.ndim(expected)])


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
