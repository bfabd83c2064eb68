"""Functional updates that add to an element, a block or the diagonal of a tensor or an array.

They are differentiable in what is updated and in what is added. `tensor.at[index]` has more, with an array's names.
"""

from typing import Any, SupportsIndex, overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import DM, DV
from .._types.by_rank import in_kind
from .._types.indexing import check_index
from .._types.to_array import Plain, TensorLike, to_array
from ..internal.checks import integer
from .lift import Tensor
from .shape_checks import check_rank, matrix, vector


@overload
def add_item(x: Tensor, index: SupportsIndex | tuple[SupportsIndex, SupportsIndex], value: TensorLike) -> Tensor: ...
@overload
def add_item(x: Plain, index: SupportsIndex | tuple[SupportsIndex, SupportsIndex], value: TensorLike) -> Array: ...
def add_item(x: TensorLike, index: SupportsIndex | tuple[SupportsIndex, SupportsIndex], value: TensorLike) -> Any:
    """Gives a copy of `x` with `value` added to one element.

    Args:
        x: a vector or a matrix.
        index: place in a vector, or (row, column) in a matrix.
        value: a number.

    Raises:
        IndexError: if `index` is out of range.
        ValueError: if `index` does not name one element, or if `value` is not a number.
    """
    array = to_array(x)
    check_index(index, array.shape)
    places = index if isinstance(index, tuple) else (index,)
    if len(places) != array.ndim or not all(map(_is_place, places)):
        raise ValueError(f"`index` must name one element of `x`, of shape {array.shape}, got {index}.")
    return in_kind(array.at[index].add(check_rank("value", _like(value, array), 0)), x)


def _is_place(index: object) -> bool:
    """Whether it is one integer, perhaps a traced one."""
    if isinstance(index, jax.Array):
        return index.ndim == 0 and jnp.issubdtype(index.dtype, jnp.integer)
    return isinstance(index, int | np.integer) and not isinstance(index, bool)


@overload
def add_subvector(v: DV, start: SupportsIndex, part: TensorLike) -> DV: ...
@overload
def add_subvector(v: Plain, start: SupportsIndex, part: TensorLike) -> Array: ...
def add_subvector(v: TensorLike, start: SupportsIndex, part: TensorLike) -> Any:
    """Gives a copy of the vector `v` with the vector `part` added from index `start` on.

    Raises:
        TypeError: if `start` is not an integer.
        ValueError: if `v` or `part` is not a vector, or if `part` reaches out of `v`.
    """
    array, block, first = vector("v", v), vector("part", part), integer("start", start, 0)
    _check_inside("part", block, (first,), "v", array)
    return in_kind(array.at[first : first + block.shape[0]].add(block), v)


@overload
def add_submatrix(m: DM, row: SupportsIndex, col: SupportsIndex, block: TensorLike) -> DM: ...
@overload
def add_submatrix(m: Plain, row: SupportsIndex, col: SupportsIndex, block: TensorLike) -> Array: ...
def add_submatrix(m: TensorLike, row: SupportsIndex, col: SupportsIndex, block: TensorLike) -> Any:
    """Gives a copy of the matrix `m` with the matrix `block` added, its first element at (`row`, `col`).

    Raises:
        TypeError: if `row` or `col` is not an integer.
        ValueError: if `m` or `block` is not a matrix, or if `block` reaches out of `m`.
    """
    array, part, top, left = matrix("m", m), matrix("block", block), integer("row", row, 0), integer("col", col, 0)
    _check_inside("block", part, (top, left), "m", array)
    return in_kind(array.at[top : top + part.shape[0], left : left + part.shape[1]].add(part), m)


@overload
def add_diagonal(m: DM, v: TensorLike) -> DM: ...
@overload
def add_diagonal(m: Plain, v: TensorLike) -> Array: ...
def add_diagonal(m: TensorLike, v: TensorLike) -> Any:
    """Gives a copy of the matrix `m` with `v` added to its diagonal: a vector of the diagonal's length, or a number.

    Raises:
        ValueError: if `m` is not a matrix, or if `v` has another length.
    """
    array = matrix("m", m)
    diagonal = jnp.arange(min(array.shape))
    added = _like(v, array)
    if added.shape not in ((), diagonal.shape):
        n = diagonal.shape[0]
        raise ValueError(f"`v` must be a number or have the length {n} of the diagonal, got shape {added.shape}.")
    return in_kind(array.at[diagonal, diagonal].add(added), m)


def _like(value: Any, array: Float[Array, "..."]) -> Float[Array, "..."]:
    """A Python number takes the array's dtype; all else keeps its own."""
    return jnp.asarray(value, array.dtype) if isinstance(value, bool | int | float) else to_array(value)


def _check_inside(name: str, part: Array, start: tuple[int, ...], whole_name: str, whole: Array) -> None:
    if any(i + n > length for i, n, length in zip(start, part.shape, whole.shape, strict=True)):
        raise ValueError(
            f"`{name}` must lie inside `{whole_name}`, of shape {whole.shape}, got shape {part.shape} at index {start}."
        )
