"""`map_rows` and `map_cols`: a function of vectors, mapped over the rows or columns of matrices by `jax.vmap`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._documentation import like
from .._types.by_rank import is_tensor, of_rank


def map_rows(f: Callable[..., Any], *operands: Any) -> Any:
    """Calls `f` with the first row of each operand, then with the second of each, and so on: what it gives are rows.

    `map_rows(f, m)` maps over one matrix, `map_rows(f, a, b)` over two in parallel, and
    `map_rows(f, jnp.arange(m.shape[0]), m)` gives `f` the index of each row. `f` is traced once, whatever the number
    of rows. Differentiable in every operand.

    Args:
        f: takes one slice of each operand: a `DV` for a `DM`, a `D` for a `DV`, plain arrays for plain arrays. Gives
            a vector (of any length), a number, or a pytree of these.
        *operands: matrices that are cut into the same number of slices, or vectors of that length.

    Returns:
        The matrix of the vectors that `f` gave, or the vector of the numbers; tensors if `f` gave tensors.

    Raises:
        ValueError: if there is no operand, or if they differ in the number of slices.
    """
    return _map(f, operands, axis=0)


@like(map_rows)
def map_cols(f: Callable[..., Any], *operands: Any) -> Any:
    """Does what `map_rows` does, over columns: the vectors that `f` gives become the columns of a matrix."""
    return _map(f, operands, axis=1)


def _map(f: Callable[..., Any], operands: tuple[Any, ...], axis: int) -> Any:
    name = ("rows", "columns")[axis]
    arrays = [operand.array if is_tensor(operand) else jnp.asarray(operand) for operand in operands]
    shapes = [array.shape for array in arrays]
    axes = [axis if len(shape) > 1 else 0 for shape in shapes]
    if not arrays or any(not shape for shape in shapes):
        raise ValueError(f"`operands` must be vectors or matrices, at least one, got shapes {shapes}.")
    if len({shape[k] for shape, k in zip(shapes, axes, strict=True)}) > 1:
        raise ValueError(f"`operands` must have the same number of {name}, got shapes {shapes}.")

    def on_slices(*slices: Any) -> Any:
        given = [of_rank(part) if is_tensor(whole) else part for part, whole in zip(slices, operands, strict=True)]
        return f(*given)

    stacked = jax.vmap(on_slices, axes)(*arrays)
    # The stack of many `DV`s is one `DV` around a matrix: give it its type.
    relabel = lambda leaf: _oriented(of_rank(leaf.array) if is_tensor(leaf) else leaf, axis)
    return jax.tree.map(relabel, stacked, is_leaf=is_tensor)


def _oriented(stack: Any, axis: int) -> Any:
    return stack.T if axis and stack.ndim == 2 else stack
