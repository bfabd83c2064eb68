"""Joining, splitting and reshaping of tensors and of arrays, differentiable in every operand."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, SupportsIndex, overload

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._documentation import like
from .._types import DM, DV
from .._types.by_rank import in_kind
from .._types.to_array import Plain, TensorLike, to_array
from ..internal.checks import integer
from .lift import Tensor, one_to_one
from .shape_checks import check_axis, divisor, vector


@overload
def append(a: Tensor, b: Tensor | Plain) -> Tensor: ...
@overload
def append(a: Plain, b: Tensor) -> Tensor: ...
@overload
def append(a: Plain, b: Plain) -> Array: ...
def append(a: TensorLike, b: TensorLike) -> Any:
    """Gives the vector that has the elements of `a`, then those of `b`; matrices are put one below the other.

    Args:
        a: a vector or a matrix. Differentiable.
        b: another, of the same rank and for a matrix of as many columns. Differentiable.

    Returns:
        A tensor if `a` or `b` is one, else an array.

    Raises:
        TypeError: if `a` or `b` does not consist of real numbers.
        ValueError: if they are numbers, or if their shapes do not fit.
    """
    return _concat([a, b], 0, a, b)


@like(append)
def prepend(a: TensorLike, b: TensorLike) -> Any:
    """Gives the vector that has the elements of `b`, then those of `a`: `b` is put before `a`."""
    return _concat([b, a], 0, a, b)


@overload
def concat(tensors: Sequence[Tensor], *, axis: int = 0) -> Tensor: ...
@overload
def concat(tensors: Sequence[Plain], *, axis: int = 0) -> Array: ...
def concat(tensors: Sequence[TensorLike], *, axis: int = 0) -> Any:
    """Joins vectors end to end, or matrices along an axis.

    Args:
        tensors: at least one; vectors of any lengths, or matrices that agree on the other axis.
        axis: for matrices, 0 to put one below another, 1 to put one beside another.

    Raises:
        ValueError: if there is nothing to join, or the shapes do not fit.
    """
    return _concat(tensors, axis, *tensors)


@overload
def split(v: DV, lengths: Sequence[SupportsIndex]) -> list[DV]: ...
@overload
def split(v: Plain, lengths: Sequence[SupportsIndex]) -> list[Array]: ...
def split(v: TensorLike, lengths: Sequence[SupportsIndex]) -> list[Any]:
    """Cuts a vector into consecutive parts.

    Args:
        v: a vector.
        lengths: length of each part; their sum is the length of `v`.

    Returns:
        As many vectors as there are lengths.

    Raises:
        TypeError: if a length is not an integer.
        ValueError: if `v` is not a vector, if a length is negative, or if they do not add up to the length of `v`.
    """
    array, numbers = vector("v", v), [integer("lengths", length, 0) for length in lengths]
    if sum(numbers) != array.shape[0]:
        raise ValueError(f"`lengths` must add up to the length {array.shape[0]} of `v`, got {numbers}.")
    return _parts(array, numbers, v)


@overload
def split_equal(v: DV, parts: SupportsIndex) -> list[DV]: ...
@overload
def split_equal(v: Plain, parts: SupportsIndex) -> list[Array]: ...
def split_equal(v: TensorLike, parts: SupportsIndex) -> list[Any]:
    """Cuts a vector into parts of one length.

    Args:
        v: a vector.
        parts: how many; they divide the length of `v`.

    Raises:
        TypeError: if `parts` is not an integer.
        ValueError: if `v` is not a vector, or if `parts` does not divide its length.
    """
    array = vector("v", v)
    number = divisor("parts", parts, array.shape[0], "`v`")
    return _parts(array, [array.shape[0] // number] * number, v)


def _parts(array: Float[Array, " n"], lengths: Sequence[int], v: TensorLike) -> list[Any]:
    ends = accumulate(lengths)
    return [in_kind(array[end - length : end], v) for length, end in zip(lengths, ends, strict=True)]


@one_to_one(DV, DM)
def to_row(v: Float[Array, " n"]) -> Float[Array, "1 n"]:
    """Gives a vector of length n as a 1 x n matrix."""
    return v[None, :]


@one_to_one(DV, DM)
def to_col(v: Float[Array, " n"]) -> Float[Array, "n 1"]:
    """Gives a vector of length n as an n x 1 matrix."""
    return v[:, None]


@overload
def to_matrix(v: DV, rows: SupportsIndex) -> DM: ...
@overload
def to_matrix(v: Plain, rows: SupportsIndex) -> Array: ...
def to_matrix(v: TensorLike, rows: SupportsIndex) -> Any:
    """Gives the elements of a vector, row by row, as a matrix.

    Args:
        v: a vector.
        rows: number of rows; it divides the length of `v`.

    Raises:
        TypeError: if `rows` is not an integer.
        ValueError: if `v` is not a vector, or if `rows` does not divide its length.
    """
    array = vector("v", v)
    return in_kind(array.reshape(divisor("rows", rows, array.shape[0], "`v`"), -1), v)


@one_to_one(DM, DV)
def to_vector(m: Float[Array, "rows cols"]) -> Float[Array, " rows*cols"]:
    """Gives the elements of a matrix, row by row, as a vector."""
    return m.reshape(-1)


@overload
def append_row(m: DM, v: DV | Plain) -> DM: ...
@overload
def append_row(m: Plain, v: DV) -> DM: ...
@overload
def append_row(m: Plain, v: Plain) -> Array: ...
def append_row(m: TensorLike, v: TensorLike) -> Any:
    """Gives the matrix `m` with the vector `v` as a new last row.

    Args:
        m: a matrix. Differentiable.
        v: a vector, as long as the rows (or the columns) that it joins. Differentiable.

    Returns:
        A tensor if `m` or `v` is one, else an array.

    Raises:
        TypeError: if `m` or `v` does not consist of real numbers.
        ValueError: if `v` is not a vector, or if its length does not fit.
    """
    return _concat([m, vector("v", v)[None, :]], 0, m, v)


@like(append_row)
def prepend_row(m: TensorLike, v: TensorLike) -> Any:
    """Gives the matrix `m` with the vector `v` as a new first row."""
    return _concat([vector("v", v)[None, :], m], 0, m, v)


@like(append_row)
def append_col(m: TensorLike, v: TensorLike) -> Any:
    """Gives the matrix `m` with the vector `v` as a new last column."""
    return _concat([m, vector("v", v)[:, None]], 1, m, v)


@like(append_row)
def prepend_col(m: TensorLike, v: TensorLike) -> Any:
    """Gives the matrix `m` with the vector `v` as a new first column."""
    return _concat([vector("v", v)[:, None], m], 1, m, v)


def _concat(tensors: Sequence[TensorLike], axis: int, *operands: TensorLike) -> Any:
    arrays = [to_array(tensor) for tensor in tensors]
    if not arrays:
        raise ValueError("`tensors` must have at least one member, got none: the result would have no dtype.")
    check_axis(axis, arrays[0], "an axis of each tensor")
    fixed = {array.shape[:axis] + array.shape[axis:][1:] for array in arrays}
    if len({array.ndim for array in arrays}) > 1 or len(fixed) > 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"The tensors must have shapes that differ along axis {axis} only, got {shapes}.")
    return in_kind(jnp.concatenate(arrays, axis), *operands)
