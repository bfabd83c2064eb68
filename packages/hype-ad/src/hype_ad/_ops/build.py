"""Tensors from shapes, functions and rows."""

from collections.abc import Callable, Sequence
from typing import Any, overload

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array

from .._types import DM, DV, D, to_array, wrap
from .._types.to_array import Plain, TensorLike
from .in_kind import in_kind


@overload
def zeros(shape: int | tuple[int], *, dtype: DTypeLike | None = None) -> DV: ...
@overload
def zeros(shape: tuple[int, int], *, dtype: DTypeLike | None = None) -> DM: ...
@overload
def zeros(shape: tuple[()], *, dtype: DTypeLike | None = None) -> D: ...
def zeros(shape: int | tuple[int, ...], *, dtype: DTypeLike | None = None) -> Any:
    """Gives the `D`, `DV` or `DM` of zeros: `zeros(())`, `zeros(3)`, `zeros((2, 3))`.

    Args:
        shape: a length, or a tuple of at most two.
        dtype: a float type; JAX's default float if not given.
    """
    return wrap(jnp.zeros(shape, dtype))


@overload
def ones(shape: int | tuple[int], *, dtype: DTypeLike | None = None) -> DV: ...
@overload
def ones(shape: tuple[int, int], *, dtype: DTypeLike | None = None) -> DM: ...
@overload
def ones(shape: tuple[()], *, dtype: DTypeLike | None = None) -> D: ...
def ones(shape: int | tuple[int, ...], *, dtype: DTypeLike | None = None) -> Any:
    """Gives the `D`, `DV` or `DM` of ones.

    Args:
        shape: a length, or a tuple of at most two.
        dtype: a float type; JAX's default float if not given.
    """
    return wrap(jnp.ones(shape, dtype))


@overload
def full(shape: int | tuple[int], value: TensorLike) -> DV: ...
@overload
def full(shape: tuple[int, int], value: TensorLike) -> DM: ...
@overload
def full(shape: tuple[()], value: TensorLike) -> D: ...
def full(shape: int | tuple[int, ...], value: TensorLike) -> Any:
    """Gives the `D`, `DV` or `DM` whose elements are all `value`.

    Args:
        shape: a length, or a tuple of at most two.
        value: a number, with which the result has its dtype. Differentiable.
    """
    return wrap(jnp.full(shape, to_array(value)))


def identity(n: int, *, dtype: DTypeLike | None = None) -> DM:
    """Gives the n x n matrix with ones on its diagonal.

    Args:
        n: number of rows and of columns.
        dtype: a float type; JAX's default float if not given.
    """
    return DM(jnp.eye(n, dtype=dtype))


def standard_basis(n: int, i: int, value: TensorLike = 1.0) -> DV:
    """Gives the vector of length `n` that is `value` at index `i` and 0 elsewhere.

    Args:
        n: length.
        i: index; a negative one counts from the end. It may be traced.
        value: a number, with which the result has its dtype. Differentiable.

    Raises:
        IndexError: if `i` is out of range.
    """
    number = to_array(value)
    return DV(jnp.zeros(n, number.dtype)).at[i].set(number)


@overload
def init(shape: int | tuple[int], f: Callable[..., Any]) -> DV: ...
@overload
def init(shape: tuple[int, int], f: Callable[..., Any]) -> DM: ...
@overload
def init(shape: tuple[()], f: Callable[..., Any]) -> D: ...
def init(shape: int | tuple[int, ...], f: Callable[..., Any]) -> Any:
    """Gives the `DV` or `DM` whose elements are a function of their indices: `init(3, lambda i: 0.5 * i)`.

    Args:
        shape: a length, or a pair of them.
        f: takes one integer index an axis (traced: it is called once, under `jax.vmap`) and gives a number.
            What it closes over is differentiable.
    """
    lengths = (shape,) if isinstance(shape, int) else shape
    mapped = lambda *indices: to_array(f(*indices))
    for axis in reversed(range(len(lengths))):
        mapped = jax.vmap(mapped, in_axes=[0 if k == axis else None for k in range(len(lengths))])
    return wrap(mapped(*map(jnp.arange, lengths)))


def init_rows(rows: int, f: Callable[..., Any]) -> DM:
    """Gives the matrix whose rows are a function of their index.

    Args:
        rows: number of rows.
        f: takes an integer index (traced: it is called once, under `jax.vmap`) and gives a vector.
            What it closes over is differentiable.
    """
    return DM(jax.vmap(lambda i: to_array(f(i)))(jnp.arange(rows)))


def init_cols(cols: int, f: Callable[..., Any]) -> DM:
    """Gives the matrix whose columns are a function of their index.

    Args:
        cols: number of columns.
        f: takes an integer index (traced: it is called once, under `jax.vmap`) and gives a vector.
            What it closes over is differentiable.
    """
    return init_rows(cols, f).T


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
def repeat_rows(v: DV, rows: int) -> DM: ...
@overload
def repeat_rows(v: Plain, rows: int) -> Array: ...
def repeat_rows(v: TensorLike, rows: int) -> Any:
    """Gives the matrix whose `rows` rows all are the vector `v`, in which it is differentiable."""
    array = to_array(v)
    return in_kind(jnp.broadcast_to(array[None, :], (rows, array.shape[0])), v)


@overload
def repeat_cols(v: DV, cols: int) -> DM: ...
@overload
def repeat_cols(v: Plain, cols: int) -> Array: ...
def repeat_cols(v: TensorLike, cols: int) -> Any:
    """Gives the matrix whose `cols` columns all are the vector `v`, in which it is differentiable."""
    array = to_array(v)
    return in_kind(jnp.broadcast_to(array[:, None], (array.shape[0], cols)), v)
