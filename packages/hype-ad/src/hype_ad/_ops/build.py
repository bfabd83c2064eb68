"""Construction of tensors from shapes, from functions of indices, and from rows and columns."""

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex, overload

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array

from .._documentation import like
from .._types import DM, DV, D, to_array, wrap
from .._types.by_rank import in_kind
from .._types.to_array import Plain, TensorLike
from ..internal.checks import integer
from .shape_checks import check_rank, vector


@overload
def zeros(shape: SupportsIndex | tuple[SupportsIndex], *, dtype: DTypeLike | None = None) -> DV: ...
@overload
def zeros(shape: tuple[SupportsIndex, SupportsIndex], *, dtype: DTypeLike | None = None) -> DM: ...
@overload
def zeros(shape: tuple[()], *, dtype: DTypeLike | None = None) -> D: ...
def zeros(shape: SupportsIndex | tuple[SupportsIndex, ...], *, dtype: DTypeLike | None = None) -> Any:
    """Gives the `D`, `DV` or `DM` of zeros: `zeros(())`, `zeros(3)`, `zeros((2, 3))`.

    Args:
        shape: a length, or a tuple of at most two.
        dtype: a float type; JAX's default float if not given.

    Raises:
        TypeError: if a length is not an integer.
        ValueError: if a length is negative, or if there are more than two.
    """
    return wrap(jnp.zeros(_lengths(shape), dtype))


@like(zeros)
def ones(shape: SupportsIndex | tuple[SupportsIndex, ...], *, dtype: DTypeLike | None = None) -> Any:
    """Gives the `D`, `DV` or `DM` of ones."""
    return wrap(jnp.ones(_lengths(shape), dtype))


@overload
def full(shape: SupportsIndex | tuple[SupportsIndex], value: TensorLike) -> DV: ...
@overload
def full(shape: tuple[SupportsIndex, SupportsIndex], value: TensorLike) -> DM: ...
@overload
def full(shape: tuple[()], value: TensorLike) -> D: ...
def full(shape: SupportsIndex | tuple[SupportsIndex, ...], value: TensorLike) -> Any:
    """Gives the `D`, `DV` or `DM` whose elements are all `value`.

    Args:
        shape: a length, or a tuple of at most two.
        value: a number, with which the result has its dtype. Differentiable.

    Raises:
        TypeError: if a length is not an integer.
        ValueError: if a length is negative, if there are more than two, or if `value` is not a number.
    """
    return wrap(jnp.full(_lengths(shape), check_rank("value", value, 0)))


def identity(n: SupportsIndex, *, dtype: DTypeLike | None = None) -> DM:
    """Gives the n x n matrix with ones on its diagonal.

    Args:
        n: number of rows and of columns.
        dtype: a float type; JAX's default float if not given.

    Raises:
        TypeError: if `n` is not an integer.
        ValueError: if `n` is negative.
    """
    return DM(jnp.eye(integer("n", n, 0), dtype=dtype))


def standard_basis(n: SupportsIndex, i: SupportsIndex, value: TensorLike = 1.0) -> DV:
    """Gives the vector of length `n` that is `value` at index `i` and 0 elsewhere.

    Args:
        n: length.
        i: index; a negative one counts from the end. It may be traced.
        value: a number, with which the result has its dtype. Differentiable.

    Raises:
        TypeError: if `n` is not an integer.
        ValueError: if `n` is negative, or if `value` is not a number.
        IndexError: if `i` is out of range.
    """
    number = check_rank("value", value, 0)
    return DV(jnp.zeros(integer("n", n, 0), number.dtype)).at[i].set(number)


@overload
def init(shape: SupportsIndex | tuple[SupportsIndex], f: Callable[..., Any]) -> DV: ...
@overload
def init(shape: tuple[SupportsIndex, SupportsIndex], f: Callable[..., Any]) -> DM: ...
@overload
def init(shape: tuple[()], f: Callable[..., Any]) -> D: ...
def init(shape: SupportsIndex | tuple[SupportsIndex, ...], f: Callable[..., Any]) -> Any:
    """Gives the `DV` or `DM` whose elements are a function of their indices: `init(3, lambda i: 0.5 * i)`.

    Args:
        shape: a length, or a pair of them.
        f: takes one integer index an axis (traced: it is called once, under `jax.vmap`) and gives a number.
            What it closes over is differentiable.

    Raises:
        TypeError: if a length is not an integer.
        ValueError: if a length is negative, or if there are more than two.
    """
    lengths = _lengths(shape)
    mapped = lambda *indices: to_array(f(*indices))
    for axis in reversed(range(len(lengths))):
        mapped = jax.vmap(mapped, in_axes=[0 if k == axis else None for k in range(len(lengths))])
    return wrap(mapped(*map(jnp.arange, lengths)))


def init_rows(rows: SupportsIndex, f: Callable[..., Any]) -> DM:
    """Gives the matrix whose rows are a function of their index.

    Args:
        rows: number of rows.
        f: takes an integer index (traced: it is called once, under `jax.vmap`) and gives a vector.
            What it closes over is differentiable.

    Raises:
        TypeError: if `rows` is not an integer.
        ValueError: if `rows` is negative.
    """
    return _stacked(integer("rows", rows, 0), f)


def init_cols(cols: SupportsIndex, f: Callable[..., Any]) -> DM:
    """Gives the matrix whose columns are a function of their index.

    Args:
        cols: number of columns.
        f: takes an integer index (traced: it is called once, under `jax.vmap`) and gives a vector.
            What it closes over is differentiable.

    Raises:
        TypeError: if `cols` is not an integer.
        ValueError: if `cols` is negative.
    """
    return _stacked(integer("cols", cols, 0), f).T


def _stacked(number: int, f: Callable[..., Any]) -> DM:
    return DM(jax.vmap(lambda i: to_array(f(i)))(jnp.arange(number)))


def from_rows(rows: Sequence[TensorLike]) -> DM:
    """Gives the matrix that has these vectors of one length as its rows; `DM(rows)` does the same.

    Args:
        rows: vectors of one length. Differentiable.
    """
    return DM(rows)


def from_cols(cols: Sequence[TensorLike]) -> DM:
    """Gives the matrix that has these vectors of one length as its columns.

    Args:
        cols: vectors of one length. Differentiable.
    """
    return DM(cols).T


@overload
def repeat_rows(v: DV, rows: SupportsIndex) -> DM: ...
@overload
def repeat_rows(v: Plain, rows: SupportsIndex) -> Array: ...
def repeat_rows(v: TensorLike, rows: SupportsIndex) -> Any:
    """Gives the matrix whose `rows` rows all are the vector `v`, in which it is differentiable.

    Raises:
        TypeError: if `rows` is not an integer.
        ValueError: if `v` is not a vector, or if `rows` is negative.
    """
    array = vector("v", v)
    return in_kind(jnp.broadcast_to(array[None, :], (integer("rows", rows, 0), array.shape[0])), v)


@overload
def repeat_cols(v: DV, cols: SupportsIndex) -> DM: ...
@overload
def repeat_cols(v: Plain, cols: SupportsIndex) -> Array: ...
def repeat_cols(v: TensorLike, cols: SupportsIndex) -> Any:
    """Gives the matrix whose `cols` columns all are the vector `v`, in which it is differentiable.

    Raises:
        TypeError: if `cols` is not an integer.
        ValueError: if `v` is not a vector, or if `cols` is negative.
    """
    array = vector("v", v)
    return in_kind(jnp.broadcast_to(array[:, None], (array.shape[0], integer("cols", cols, 0))), v)


def _lengths(shape: SupportsIndex | tuple[SupportsIndex, ...]) -> tuple[int, ...]:
    return tuple(integer("shape", length, 0) for length in ([shape] if isinstance(shape, SupportsIndex) else shape))
