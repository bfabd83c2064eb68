"""Building, joining, splitting, editing and mapping: NumPy's results, in kind, differentiable."""

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D
from hypothesis import given, settings
from hypothesis import strategies as st

V, W = np.array([1.0, -2.0, 3.0]), np.array([0.5, 4.0, 6.0])
M = np.array([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]])


def kind_of(shape):
    return (D, DV, DM)[len(shape)]


MADE = [
    (lambda: ad.zeros(()), np.zeros(())),
    (lambda: ad.zeros(3), np.zeros(3)),
    (lambda: ad.zeros((2, 3)), np.zeros((2, 3))),
    (lambda: ad.ones(0), np.ones(0)),
    (lambda: ad.ones((2, 1)), np.ones((2, 1))),
    (lambda: ad.full(2, 1.5), np.full(2, 1.5)),
    (lambda: ad.full((2, 2), D(3.0)), np.full((2, 2), 3.0)),
    (lambda: ad.identity(3), np.eye(3)),
    (lambda: ad.standard_basis(3, 1), [0.0, 1.0, 0.0]),
    (lambda: ad.standard_basis(3, -1, 2.5), [0.0, 0.0, 2.5]),
    (lambda: ad.init(3, lambda i: i * i), [0.0, 1.0, 4.0]),
    (lambda: ad.init((2, 3), lambda i, j: 10 * i + j), [[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]]),
    (lambda: ad.init_rows(2, lambda i: DV(V) * D(i)), [0 * V, V]),
    (lambda: ad.init_cols(2, lambda i: V * D(i).array), np.stack([0 * V, V], axis=1)),
    (lambda: ad.from_rows([DV(V), W]), [V, W]),
    (lambda: ad.from_cols([V, DV(W)]), np.stack([V, W], axis=1)),
    (lambda: ad.repeat_rows(DV(V), 2), [V, V]),
    (lambda: ad.repeat_cols(DV(V), 2), np.stack([V, V], axis=1)),
]


def test_construction():
    results = jax.jit(lambda: [make() for make, _ in MADE])()
    for number, (_, expected) in enumerate(MADE):
        assert isinstance(results[number], kind_of(np.shape(expected))), f"number {number}"
        np.testing.assert_array_equal(results[number], expected, err_msg=f"number {number}")


def test_construction_in_another_dtype():
    every = lambda one: (
        ad.zeros(2, dtype=jnp.float32),
        ad.ones(2, dtype=jnp.float32),
        ad.identity(2, dtype=jnp.float32),
        ad.full(2, one),
        ad.standard_basis(2, 0, one),
        ad.repeat_rows(DV([one, one]), 2),
    )
    for tensor in jax.eval_shape(every, np.float32(1.0)):
        assert tensor.dtype == jnp.float32


CASES = [
    ("append", (V, W), np.concatenate([V, W])),
    ("prepend", (V, W), np.concatenate([W, V])),
    ("to_row", (V,), V[None]),
    ("to_col", (V,), V[:, None]),
    ("to_vector", (M,), M.ravel()),
    ("append_row", (M, V), np.vstack([M, V])),
    ("prepend_row", (M, V), np.vstack([V, M])),
    ("append_col", (M, V[:2]), np.column_stack([M, V[:2]])),
    ("prepend_col", (M, V[:2]), np.column_stack([V[:2], M])),
]


@pytest.mark.parametrize(("name", "operands", "expected"), CASES, ids=[case[0] for case in CASES])
def test_reshaping_and_joining(name, operands, expected):
    f = getattr(ad, name)
    tensors = [kind_of(x.shape)(x) for x in operands]
    gradient_of_sum = jax.grad(lambda x: f(*x).sum().array)
    every = jax.jit(lambda x: (f(*x), f(x[0], *operands[1:]), f(*operands), gradient_of_sum(x)))
    *results, plain, gradients = every(tuple(tensors))
    for result in results:
        assert isinstance(result, kind_of(expected.shape))
        np.testing.assert_array_equal(result, expected)
    assert isinstance(plain, jax.Array)
    np.testing.assert_array_equal(plain, expected)
    # Every element goes to one place, with weight 1.
    for gradient, operand in zip(gradients, operands, strict=True):
        np.testing.assert_array_equal(gradient, np.ones_like(operand))


def test_concat():
    three, plain, rows, *columns, with_nothing = jax.jit(
        lambda: (
            ad.concat([DV(V), DV(W), DV(V)]),
            ad.concat([V, W]),
            ad.concat([DM(M), DM(M[:1])]),
            ad.concat([DM(M), DM(M[:, :1])], axis=1),
            ad.concat([DM(M), DM(M[:, :1])], axis=-1),
            ad.concat([DV(V), ad.zeros(0)]),
        )
    )()
    assert isinstance(three, DV)
    assert isinstance(plain, jax.Array)
    np.testing.assert_array_equal(rows, np.vstack([M, M[:1]]))
    for joined in columns:
        np.testing.assert_array_equal(joined, np.hstack([M, M[:, :1]]))
    np.testing.assert_array_equal(with_nothing, V)


def test_split():
    square = lambda v: (ad.split(v, [1, 2])[1] ** 2).sum().array
    every = jax.jit(lambda x, v: (ad.split(x, [1, 0, 3, 2]), ad.split(V, [1, 2]), jax.grad(square)(v)))
    parts, plain, gradient = every(DV(np.arange(6.0)), DV(V))
    assert all(isinstance(part, DV) for part in parts)
    assert [part.tolist() for part in parts] == [[0.0], [], [1.0, 2.0, 3.0], [4.0, 5.0]]
    assert [part.tolist() for part in ad.split_equal(np.arange(6), 3)] == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert all(isinstance(part, jax.Array) for part in plain)
    np.testing.assert_array_equal(gradient, [0.0, -4.0, 6.0])


def test_matrix_of_a_vector():
    assert isinstance(ad.to_matrix(DV(np.arange(6)), 2), DM)
    np.testing.assert_array_equal(ad.to_matrix(np.arange(6), 2), np.arange(6).reshape(2, 3))


def test_edits():
    @jax.jit
    def edited(v, m):
        return (
            (ad.add_item(v, 1, 0.5), ad.add_item(v.array, 1, 0.5)),
            ad.add_item(m, (1, -1), D(1.0)),
            ad.add_subvector(v, 1, W[:2]),
            ad.add_submatrix(m, 0, 1, np.ones((2, 2))),
            ad.add_diagonal(m, V[:2]),
            ad.add_diagonal(M.T, 1.0),
            ad.add_item(v.astype(jnp.float32), 0, 1.0),
        )

    of_kinds, item, subvector, submatrix, diagonal, shifted, single = edited(DV(V), DM(M))
    for result, kind in zip(of_kinds, (DV, jax.Array), strict=True):
        assert isinstance(result, kind)
        np.testing.assert_array_equal(result, [1.0, -1.5, 3.0])
    np.testing.assert_array_equal(item, [[1.0, 2.0, 0.5], [3.0, 4.0, 0.0]])
    np.testing.assert_array_equal(subvector, [1.0, -1.5, 7.0])
    np.testing.assert_array_equal(submatrix, M + np.array([[0, 1, 1]] * 2))
    np.testing.assert_array_equal(diagonal, M + np.array([[1, 0, 0], [0, -2, 0]]))
    np.testing.assert_array_equal(shifted, M.T + np.eye(3)[:, :2])
    assert single.dtype == jnp.float32
    np.testing.assert_array_equal(V, [1.0, -2.0, 3.0])


def test_edits_differentiate_by_both():
    f = lambda v, w, d: (ad.add_item(ad.add_subvector(v, 1, w), 2, d) ** 2).sum().array
    by_v, by_w, by_d = jax.jit(jax.grad(f, (0, 1, 2)))(DV(V), DV(W[:2]), D(1.0))
    edited = np.array([1.0, -1.5, 8.0])
    np.testing.assert_array_equal(by_v, 2 * edited)
    np.testing.assert_array_equal(by_w, 2 * edited[1:])
    np.testing.assert_array_equal(by_d, 2 * edited[2])


def test_maps_over_rows_and_columns():
    rows, cols, softmaxes, shorter, longer, sums, (total, doubled) = jax.jit(
        lambda m: (
            ad.map_rows(lambda r: r / r.sum(), m),
            ad.map_cols(lambda c: c / c.sum(), m),
            (ad.map_cols(ad.softmax, m), ad.softmax(m, axis=0)),
            # Results of another length, of rank 0, of several parts.
            ad.map_rows(lambda r: r[:2], m),
            ad.map_cols(lambda c: ad.append(c, c), m),
            ad.map_cols(lambda c: c.sum(), m),
            ad.map_rows(lambda r: (r.sum(), 2 * r), m),
        )
    )(DM(M))
    assert isinstance(rows, DM)
    np.testing.assert_allclose(rows, M / M.sum(1, keepdims=True))
    np.testing.assert_allclose(cols, M / M.sum(0, keepdims=True))
    np.testing.assert_allclose(*softmaxes)
    np.testing.assert_array_equal(shorter, M[:, :2])
    np.testing.assert_array_equal(longer, np.vstack([M, M]))
    assert isinstance(sums, DV)
    np.testing.assert_array_equal(sums, M.sum(0))
    np.testing.assert_array_equal(total, M.sum(1))
    np.testing.assert_array_equal(doubled, 2 * M)


def test_maps_with_an_index_and_over_two():
    every = lambda v, m: (
        ad.map_rows(lambda i, r: r[i] * r, np.arange(2), m),
        ad.map_cols(lambda i, c: c * D(i), np.arange(3), m),
        ad.map_rows(lambda a, b: a * b, m, m),
        ad.map_cols(lambda s, c: s * c, v, m),
    )
    expected = M * [[1.0], [4.0]], M * [0.0, 1.0, 2.0], M * M, M * V
    for result, product in zip(jax.jit(every)(DV(V), DM(M)), expected, strict=True):
        np.testing.assert_array_equal(result, product)


def test_maps_of_arrays_give_arrays():
    seen = []
    result = ad.map_rows(lambda r: (seen.append(r), r.sum())[1], jnp.asarray(M))
    assert isinstance(result, jax.Array)
    assert len(seen) == 1
    assert isinstance(seen[0], jax.Array)
    np.testing.assert_array_equal(ad.map_cols(lambda c: c * c, jnp.asarray(M)), M * M)


def test_maps_differentiate():
    gradient = jax.jit(jax.grad(lambda m: ad.map_cols(lambda c: (c**3).sum(), m).sum().array))(DM(M))
    assert isinstance(gradient, DM)
    np.testing.assert_allclose(gradient, 3 * M**2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ad.split(V, [1, 1]), r"^`lengths` must add up to the length 3 of `v`, got \[1, 1\]"),
        (lambda: ad.split(V, [4, -1]), "^`lengths` must be at least 0, got -1"),
        (lambda: ad.split(M, [1, 1]), r"^`v` must be a vector, got rank 2, shape \(2, 3\)"),
        (lambda: ad.split_equal(V, 2), "^`parts` must divide the length 3 of `v`, got 2"),
        (lambda: ad.split_equal(M, 2), r"^`v` must be a vector, got rank 2"),
        (lambda: ad.to_matrix(M, 2), r"^`v` must be a vector, got rank 2"),
        (lambda: ad.repeat_rows(M, 2), r"^`v` must be a vector, got rank 2"),
        (lambda: ad.repeat_cols(M, 2), r"^`v` must be a vector, got rank 2"),
        (lambda: ad.zeros((1, 1, 1)), "^A `D`, `DV` or `DM` must have rank 0, 1 or 2, got rank 3"),
        (lambda: ad.ones((1, 1, 1)), "^A `D`, `DV` or `DM` must have rank 0, 1 or 2, got rank 3"),
        (lambda: ad.full((1, 1, 1), 2.0), "^A `D`, `DV` or `DM` must have rank 0, 1 or 2, got rank 3"),
        (lambda: ad.init((1, 1, 1), lambda i, j, k: i), "^A `D`, `DV` or `DM` must have rank 0, 1 or 2, got rank 3"),
        (lambda: ad.to_matrix(V, 2), "^`rows` must divide the length 3 of `v`, got 2"),
        (lambda: ad.to_row(M), r"^`v` must be a vector, got rank 2, shape \(2, 3\)"),
        (lambda: ad.concat([]), "^`tensors` must have at least one member, got none"),
        (
            lambda: ad.concat([V, M]),
            r"^The tensors must have shapes that differ along axis 0 only, got \(3,\)",
        ),
        (lambda: ad.concat([M, M[:, :2]]), r"^The tensors must have shapes that differ along axis 0 only"),
        (lambda: ad.concat([V], axis=1), r"^`axis` must be an axis of each tensor, got 1 for shape \(3,\)"),
        (lambda: ad.append(1.0, V), r"^`axis` must be an axis of each tensor, got 0 for shape \(\)"),
        (lambda: ad.append_row(M, V[:2]), r"^The tensors must have shapes that differ along axis 0 only"),
        (lambda: ad.append_row(M, M), r"^`v` must be a vector, got rank 2, shape \(2, 3\)"),
        (lambda: ad.add_item(M, 1, 0.0), r"^`index` must name one element of `x`, of shape \(2, 3\), got 1"),
        (
            lambda: ad.add_subvector(V, 2, W),
            r"^`part` must lie inside `v`, of shape \(3,\), got shape \(3,\) at index \(2,\)",
        ),
        (lambda: ad.add_subvector(V, -1, V[:1]), "^`start` must be at least 0, got -1"),
        (
            lambda: ad.add_submatrix(M, 0, 0, M.T),
            r"^`block` must lie inside `m`, of shape \(2, 3\), got shape \(3, 2\)",
        ),
        (lambda: ad.add_submatrix(M, 0, 0, V), r"^`block` must be a matrix, got rank 1, shape \(3,\)"),
        (lambda: ad.add_submatrix(V, 0, 0, M), r"^`m` must be a matrix, got rank 1, shape \(3,\)"),
        (lambda: ad.add_subvector(M, 0, V), r"^`v` must be a vector, got rank 2, shape \(2, 3\)"),
        (lambda: ad.add_subvector(V, 0, M), r"^`part` must be a vector, got rank 2, shape \(2, 3\)"),
        (lambda: ad.add_diagonal(V, V), r"^`m` must be a matrix, got rank 1, shape \(3,\)"),
        (
            lambda: ad.add_diagonal(M, V),
            r"^`v` must be a number or have the length 2 of the diagonal, got",
        ),
        (lambda: ad.map_rows(lambda r: r), r"^`operands` must be vectors or matrices, at least one, got shapes \[\]"),
        (lambda: ad.map_rows(lambda r, s: r, M, V), r"^`operands` must have the same number of rows, got shapes"),
        (lambda: ad.map_cols(lambda r, s: r, M, M.T), r"^`operands` must have the same number of columns, got shapes"),
    ],
)
def test_wrong_shapes_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_indices_out_of_range_raise():
    for call in (lambda: ad.add_item(V, 3, 1.0), lambda: ad.standard_basis(3, 3)):
        with pytest.raises(IndexError, match=r"^`index` must be in \[-3, 3\) along axis 0, got 3"):
            call()


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_what_is_split_joins_again(lengths):
    v = DV(np.arange(float(sum(lengths))))
    parts = ad.split(v, lengths)
    assert [len(part) for part in parts] == lengths
    np.testing.assert_array_equal(ad.concat(parts), v)
