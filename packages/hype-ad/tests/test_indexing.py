"""Elements, slices and edits of D, DV and DM."""

import jax
import numpy as np
import pytest
from hype_ad import DM, DV, D
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

V = DV([1.0, -2.0, 3.0])
M = DM([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]])


def name(x):
    return type(x).__name__


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


def test_indexing():
    found = jax.jit(lambda: [tensor[index] for tensor, index in INDICES])()
    for result, (tensor, index) in zip(found, INDICES, strict=True):
        expected = np.asarray(tensor)[index]
        assert isinstance(result, (D, DV, DM)[expected.ndim]), index
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("index", [3, -4, (0, 0), (0, -4)])
def test_an_index_out_of_range_raises(index):
    with pytest.raises(IndexError):
        V[index]
    with pytest.raises(IndexError):
        V.at[index].set(1.0)


def test_an_index_out_of_range_is_named():
    with pytest.raises(IndexError, match=r"^`index` must be in \[-3, 3\) along axis 1, got 3"):
        M[0, 3]


@pytest.mark.parametrize("index", [1.0, D(1.0), (0, D(1.0))])
def test_an_index_that_is_no_integer_raises(index):
    with pytest.raises(TypeError, match=r"^`index` must be made of integers, slices and arrays of integers, got "):
        M[index]


def test_a_traced_index():
    element = jax.jit(lambda v, i: v[i])(V, 1)
    assert isinstance(element, D)
    assert float(element) == -2.0


def test_iteration():
    assert [name(x) for x in V] == ["D"] * 3
    assert [name(x) for x in M] == ["DV"] * 2
    np.testing.assert_array_equal(list(M)[1], M[1])


def test_edits():
    every = lambda v, m: (
        v.at[1].set(5.0),
        v.at[1:].add(D(1.0)),
        m.at[0].multiply(v),
        v.at[:].min(0.0),
        v.at[:].max([0.0, 1.0, 2.0]),
    )
    one, rest, row, smaller, larger = jax.jit(every)(V, M)
    assert isinstance(one, DV)
    np.testing.assert_array_equal(one, [1.0, 5.0, 3.0])
    np.testing.assert_array_equal(rest, [1.0, -1.0, 4.0])
    np.testing.assert_array_equal(row, [[1.0, -4.0, 1.5], [3.0, 4.0, -1.0]])
    np.testing.assert_array_equal(smaller, [0.0, -2.0, 0.0])
    np.testing.assert_array_equal(larger, [1.0, 1.0, 3.0])


@settings(max_examples=10, deadline=None, derandomize=True)
@given(hnp.basic_indices((2, 3), max_dims=2))
def test_indexing_agrees_with_numpy(index):
    expected, found = np.asarray(M)[index], jax.jit(lambda m: m[index])(M)
    assert isinstance(found, (D, DV, DM)[expected.ndim])
    np.testing.assert_array_equal(found, expected)
