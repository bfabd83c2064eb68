"""Checks of what a data set is given: arrays of rows, weights, row numbers, and columns."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import AbstractTensor
from hype_ad.internal.checks import as_array, as_float_array, check_unmasked, host_array, is_real, known
from hype_ad.internal.narrowing import check_fits
from jaxtyping import Array, Float, Int, PyTree, Shaped


def is_array(node: Any) -> bool:
    """Whether what a caller gives for rows is one array: lists and plain tuples are, other nodes of pytrees not."""
    return type(node) in (list, tuple) or isinstance(node, AbstractTensor)


def tree_of_rows(name: str, value: Any) -> PyTree[Shaped[Array, "..."]]:
    """What a caller gives for rows, one array or a pytree of them; lists and plain tuples are arrays."""
    paths, structure = jax.tree_util.tree_flatten_with_path(value, is_leaf=is_array)
    if not paths:
        raise TypeError(f"`{name}` must hold at least one array, got {value!r}.")
    arrays = [rows_of(name + jax.tree_util.keystr(path), leaf) for path, leaf in paths]
    return jax.tree.unflatten(structure, arrays)


def check_rows(parts: dict[str, PyTree]) -> None:
    """Raises unless all arrays have the same number of rows."""
    shapes = [
        (name + jax.tree_util.keystr(path), leaf.shape)
        for name, part in parts.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(part)
    ]
    first, shape = shapes[0]
    for name, other in shapes:
        if other[0] != shape[0]:
            raise ValueError(
                f"`{first}` has {shape[0]} rows (shape {shape}) and `{name}` has {other[0]} (shape {other}); each "
                "example needs a row of both."
            )


def array_of(name: str, part: Any) -> Array:
    """The one array that a part of a data set is."""
    if not hasattr(part, "dtype"):
        held = "none" if part is None else f"a {type(part).__name__} of several: `map_{name}` goes through all"
        raise TypeError(f"`{name}` must be one array here, got {held}.")
    return part


def weights_of(name: str, value: Any) -> Float[Array, " rows"]:
    """The weights of examples: one number a row, at least 0."""
    weights = as_float_array(rows_of(name, value))
    if weights.ndim != 1:
        raise ValueError(f"`{name}` must have one number for each example, got shape {weights.shape}.")
    if known(weights) and not np.all((np.asarray(weights) >= 0) & np.isfinite(weights)):
        raise ValueError(f"`{name}` must be at least 0 and finite, got {np.asarray(weights)}.")
    return weights


def rows_of(name: str, value: Any) -> Array:
    """What a caller gives for rows, as a JAX array; a float keeps its dtype, an integer stays one."""
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key) and value.ndim:
        return value
    check_unmasked(f"`{name}`", value)
    try:
        plain = not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value))
        array = host_array(name, value) if plain else jnp.asarray(value)
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
