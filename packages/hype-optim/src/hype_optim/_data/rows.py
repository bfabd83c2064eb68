"""Checks of what a data set is given: arrays of rows, row numbers, and columns."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import as_array, is_real, known
from hype_ad.internal.narrowing import check_fits
from jaxtyping import Array, Int


def rows_of(name: str, value: Any) -> Array:
    """What a caller gives for rows, as a JAX array; a float keeps its dtype, an integer stays one."""
    try:
        plain = not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value))
        array = np.asarray(value) if plain else jnp.asarray(value)
        is_number = is_real(array) or array.dtype == bool
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be an array of numbers, got {type(value).__name__}: {error}") from error
    if not is_number:
        raise TypeError(f"`{name}` must be an array of real numbers, got dtype {array.dtype}.")
    if array.ndim == 0:
        raise ValueError(f"`{name}` must have a row for each example, got a single number.")
    check_fits(name, array)
    return as_array(array)


def row_numbers(index: Any, length: int) -> Int[Array | np.ndarray, "..."]:
    """The rows that an index means, one number or a vector of them; known ones are NumPy's and in range."""
    if isinstance(index, float | str | tuple) or index is None:
        raise TypeError(
            f"An index must be an integer, a slice, or an array of row numbers or truth values, got {index!r}."
        )
    rows = np.asarray(index) if known(index) else index
    if rows.dtype == bool and not known(rows):
        raise TypeError("A mask of rows must be known before compiling; its sum is the length of the result.")
    if not (rows.dtype == bool or jnp.issubdtype(rows.dtype, jnp.integer) or rows.size == 0):
        raise TypeError(f"Row numbers must be integers, got {rows.dtype}.")
    if rows.ndim > 1 or (rows.dtype == bool and rows.ndim == 0):
        raise IndexError(f"Row numbers must be one number or a vector, and a mask a vector, got shape {rows.shape}.")
    if not known(rows):
        return rows
    # JAX takes the nearest row for one out of range, a wrong answer given quietly; NumPy raises.
    return np.asarray(np.arange(length)[rows if rows.dtype == bool else rows.astype(int)])


# Compiled, as an index by itself is half a dozen operations; inlined, so that inside of a program it is nothing new.
@partial(jax.jit, inline=True)
def take(array: Array, rows: Int[Array | np.ndarray, "..."]) -> Array:
    """Some rows, or one, by their numbers."""
    return array[rows]


def append_column(name: str, matrix: Array, column_name: str, column: Any) -> Array:
    """A matrix with one more column at its end."""
    if matrix.ndim != 2:
        raise ValueError(
            f"`{name}` must be a matrix to get another column, got shape {matrix.shape}; flatten it first."
        )
    given, is_float = rows_of(column_name, column), jnp.issubdtype(matrix.dtype, jnp.floating)
    if jnp.issubdtype(given.dtype, jnp.floating) and not is_float:
        raise TypeError(f"`{column_name}` holds floats and `{name}` {matrix.dtype}; make `{name}` floats first.")
    if given.shape != matrix.shape[:1]:
        raise ValueError(f"`{column_name}` must have one value a row, {matrix.shape[0]}, got shape {given.shape}.")
    if not is_float and known(given) and np.any(np.asarray(given).astype(matrix.dtype) != np.asarray(given)):
        raise ValueError(f"`{column_name}` has values that {matrix.dtype}, the dtype of `{name}`, cannot hold.")
    if is_float and known(given):
        check_fits(column_name, np.asarray(given), matrix.dtype)
    return jnp.concatenate([matrix, given[:, None].astype(matrix.dtype)], axis=1)
