"""Joining, splitting, and vectors as matrices. Everything is differentiable in every tensor and answers in kind."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, overload

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import DM, DV
from .._types.to_array import Plain, TensorLike, to_array
from .in_kind import Tensor, in_kind, one_to_one


@overload
def append(a: Tensor, b: Tensor | Plain) -> Tensor: ...
@overload
def append(a: Plain, b: Tensor) -> Tensor: ...
@overload
def append(a: Plain, b: Plain) -> Array: ...
def append(a: TensorLike, b: TensorLike) -> Any:
    """Gives the vector that has the elements of `a`, then those of `b`."""
    return _concat([a, b], 0)


@overload
def prepend(a: Tensor, b: Tensor | Plain) -> Tensor: ...
@overload
def prepend(a: Plain, b: Tensor) -> Tensor: ...
@overload
def prepend(a: Plain, b: Plain) -> Array: ...
def prepend(a: TensorLike, b: TensorLike) -> Any:
    """Gives the vector that has the elements of `b`, then those of `a`: `b` is put before `a`."""
    return _concat([b, a], 0)


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
    return _concat(tensors, axis)


@overload
def split(v: DV, lengths: Sequence[int]) -> list[DV]: ...
@overload
def split(v: Plain, lengths: Sequence[int]) -> list[Array]: ...
def split(v: TensorLike, lengths: Sequence[int]) -> list[Any]:
    """Cuts a vector into consecutive parts.

    Args:
        v: a vector.
        lengths: length of each part; their sum is the length of `v`.

    Returns:
        As many vectors as there are lengths.

    Raises:
        ValueError: if a length is negative, or if they do not add up to the length of `v`.
    """
    return _split(v, lengths)


def _split(v: TensorLike, lengths: Sequence[int]) -> list[Any]:
    array = _vector("v", v)
    if any(length < 0 for length in lengths) or sum(lengths) != array.shape[0]:
        raise ValueError(f"lengths must be at least 0 and add up to the length {array.shape[0]} of v, got {lengths}")
    ends = list(accumulate(lengths))
    return [in_kind(array[end - length : end], v) for length, end in zip(lengths, ends, strict=True)]


@overload
def split_equal(v: DV, parts: int) -> list[DV]: ...
@overload
def split_equal(v: Plain, parts: int) -> list[Array]: ...
def split_equal(v: TensorLike, parts: int) -> list[Any]:
    """Cuts a vector into parts of one length.

    Args:
        v: a vector.
        parts: how many; they divide the length of `v`.

    Raises:
        ValueError: if `parts` does not divide the length of `v`.
    """
    length = _vector("v", v).shape[0]
    if parts < 1 or length % parts:
        raise ValueError(f"parts must be a positive divisor of the length {length} of v, got {parts}")
    return _split(v, [length // parts] * parts)


@one_to_one(DV, DM)
def to_row(v: Float[Array, " n"]) -> Float[Array, "1 n"]:
    """Gives a vector of length n as a 1 x n matrix."""
    return v[None, :]


@one_to_one(DV, DM)
def to_col(v: Float[Array, " n"]) -> Float[Array, "n 1"]:
    """Gives a vector of length n as an n x 1 matrix."""
    return v[:, None]


@overload
def to_matrix(v: DV, rows: int) -> DM: ...
@overload
def to_matrix(v: Plain, rows: int) -> Array: ...
def to_matrix(v: TensorLike, rows: int) -> Any:
    """Gives the elements of a vector, row by row, as a matrix.

    Args:
        v: a vector.
        rows: number of rows; it divides the length of `v`.

    Raises:
        ValueError: if `rows` does not divide the length of `v`.
    """
    array = _vector("v", v)
    if rows < 1 or array.shape[0] % rows:
        raise ValueError(f"rows must be a positive divisor of the length {array.shape[0]} of v, got {rows}")
    return in_kind(array.reshape(rows, -1), v)


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
    """Gives the matrix `m` with the vector `v` as a new last row."""
    return _concat([m, _row(m, v)], 0)


@overload
def prepend_row(m: DM, v: DV | Plain) -> DM: ...
@overload
def prepend_row(m: Plain, v: DV) -> DM: ...
@overload
def prepend_row(m: Plain, v: Plain) -> Array: ...
def prepend_row(m: TensorLike, v: TensorLike) -> Any:
    """Gives the matrix `m` with the vector `v` as a new first row."""
    return _concat([_row(m, v), m], 0)


@overload
def append_col(m: DM, v: DV | Plain) -> DM: ...
@overload
def append_col(m: Plain, v: DV) -> DM: ...
@overload
def append_col(m: Plain, v: Plain) -> Array: ...
def append_col(m: TensorLike, v: TensorLike) -> Any:
    """Gives the matrix `m` with the vector `v` as a new last column."""
    return _concat([m, _col(m, v)], 1)


@overload
def prepend_col(m: DM, v: DV | Plain) -> DM: ...
@overload
def prepend_col(m: Plain, v: DV) -> DM: ...
@overload
def prepend_col(m: Plain, v: Plain) -> Array: ...
def prepend_col(m: TensorLike, v: TensorLike) -> Any:
    """Gives the matrix `m` with the vector `v` as a new first column."""
    return _concat([_col(m, v), m], 1)


def _concat(tensors: Sequence[TensorLike], axis: int) -> Any:
    arrays = [to_array(tensor) for tensor in tensors]
    if not arrays:
        raise ValueError("tensors must have at least one member: the result of joining nothing has no dtype")
    first = arrays[0]
    if not -first.ndim <= axis < first.ndim:
        raise ValueError(f"axis must be an axis of each tensor, got {axis} for the shape {first.shape}")
    fixed = {array.shape[:axis] + array.shape[axis:][1:] for array in arrays}
    if len({array.ndim for array in arrays}) > 1 or len(fixed) > 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"tensors must have shapes that differ along axis {axis} only, got {shapes}")
    return in_kind(jnp.concatenate(arrays, axis), *tensors)


def _row(m: TensorLike, v: TensorLike) -> Any:
    return in_kind(_vector("v", v)[None, :], m, v)


def _col(m: TensorLike, v: TensorLike) -> Any:
    return in_kind(_vector("v", v)[:, None], m, v)


def _vector(name: str, v: TensorLike) -> Float[Array, " n"]:
    array = to_array(v)
    if array.ndim != 1:
        raise ValueError(f"{name} must be a vector, got rank {array.ndim}, shape {array.shape}")
    return array
