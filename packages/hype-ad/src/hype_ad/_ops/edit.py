"""Copies with something added at one place. `tensor.at[index]` has more, with an array's names.

Everything is differentiable in the tensor and in what is added, and answers in kind.
"""

from typing import Any, overload

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import DM, DV
from .._types.indexing import check_index
from .._types.to_array import Plain, TensorLike, to_array
from .in_kind import Tensor, in_kind


@overload
def add_item(x: Tensor, index: int | tuple[int, int], value: TensorLike) -> Tensor: ...
@overload
def add_item(x: Plain, index: int | tuple[int, int], value: TensorLike) -> Array: ...
def add_item(x: TensorLike, index: int | tuple[int, int], value: TensorLike) -> Any:
    """Gives a copy of `x` with `value` added to one element.

    Args:
        x: a vector or a matrix.
        index: place in a vector, or (row, column) in a matrix.
        value: a number.

    Raises:
        IndexError: if `index` is out of range.
        ValueError: if `index` does not name one element.
    """
    array = to_array(x)
    check_index(index, array.shape)
    if (len(index) if isinstance(index, tuple) else 1) != array.ndim:
        raise ValueError(f"index must name one element of x with shape {array.shape}, got {index}")
    return in_kind(array.at[index].add(_like(value, array)), x)


@overload
def add_subvector(v: DV, start: int, part: TensorLike) -> DV: ...
@overload
def add_subvector(v: Plain, start: int, part: TensorLike) -> Array: ...
def add_subvector(v: TensorLike, start: int, part: TensorLike) -> Any:
    """Gives a copy of the vector `v` with the vector `part` added from index `start` on.

    Raises:
        ValueError: if `part` reaches out of `v`.
    """
    array, block = to_array(v), _like(part, to_array(v))
    _check_fits("v", array, "part", block, (start,))
    return in_kind(array.at[start : start + block.shape[0]].add(block), v)


@overload
def add_submatrix(m: DM, row: int, col: int, block: TensorLike) -> DM: ...
@overload
def add_submatrix(m: Plain, row: int, col: int, block: TensorLike) -> Array: ...
def add_submatrix(m: TensorLike, row: int, col: int, block: TensorLike) -> Any:
    """Gives a copy of the matrix `m` with the matrix `block` added, its first element at (`row`, `col`).

    Raises:
        ValueError: if `block` reaches out of `m`.
    """
    array, part = to_array(m), _like(block, to_array(m))
    _check_fits("m", array, "block", part, (row, col))
    return in_kind(array.at[row : row + part.shape[0], col : col + part.shape[1]].add(part), m)


@overload
def add_diagonal(m: DM, v: TensorLike) -> DM: ...
@overload
def add_diagonal(m: Plain, v: TensorLike) -> Array: ...
def add_diagonal(m: TensorLike, v: TensorLike) -> Any:
    """Gives a copy of the matrix `m` with `v` added to its diagonal: a vector of the diagonal's length, or a number.

    Raises:
        ValueError: if `v` has another length.
    """
    array = to_array(m)
    diagonal = jnp.arange(min(array.shape))
    added = _like(v, array)
    if added.shape not in ((), diagonal.shape):
        n = diagonal.shape[0]
        raise ValueError(f"v must be a number or have the length {n} of the diagonal, got shape {added.shape}")
    return in_kind(array.at[diagonal, diagonal].add(added), m)


def _like(value: Any, array: Float[Array, "..."]) -> Float[Array, "..."]:
    """A Python number takes the array's dtype; all else keeps its own."""
    return jnp.asarray(value, array.dtype) if isinstance(value, bool | int | float) else to_array(value)


def _check_fits(name: str, whole: Array, part_name: str, part: Array, start: tuple[int, ...]) -> None:
    if whole.ndim != len(start) or part.ndim != len(start):
        raise ValueError(
            f"{name} and {part_name} must have rank {len(start)}, got shapes {whole.shape} and {part.shape}"
        )
    if any(i < 0 or i + n > length for i, n, length in zip(start, part.shape, whole.shape, strict=True)):
        raise ValueError(
            f"{part_name} must lie inside {name}: its shape {part.shape} at {start} reaches out of {whole.shape}"
        )
