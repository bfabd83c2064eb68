"""Rows in blocks of consecutive ones, so that what reads some rows of each block reads them where they are.

Data that are spread over devices by their rows have one or more blocks on each. A gather by row numbers from all rows
would send rows from device to device; one from each block by numbers within it does not.
"""

import math
from typing import Any, TypeVar

import jax
from jax.sharding import PartitionSpec, reshard
from jaxtyping import Array, Int, PyTree, Shaped

Tree = TypeVar("Tree")


def cut(rows: Shaped[Array, "rows ..."], blocks: int) -> Shaped[Array, "blocks block ..."]:
    """The rows with an axis over the blocks before that within a block."""
    return rows.reshape(blocks, rows.shape[0] // blocks, *rows.shape[1:])


def first(rows: PyTree, blocks: int, number: int) -> PyTree:
    """The first of `number` rows, as many of each block."""
    return part(rows, blocks, 0, number)


def part(rows: PyTree, blocks: int, start: int, stop: int) -> PyTree:
    """The rows from `start` to `stop`, as many of each block: those from `start / blocks` on of it."""

    def of_leaf(leaf: Array) -> Array:
        if blocks == 1:
            return leaf[start:stop]
        taken = cut(leaf, blocks)[:, start // blocks : stop // blocks]
        return taken.reshape(stop - start, *leaf.shape[1:])

    return jax.tree.map(of_leaf, rows)


def pieces(rows: PyTree, blocks: int, size: int) -> PyTree:
    """As many pieces of `size` rows as there are whole ones, along a leading axis, each with as many of each block."""

    def of_leaf(leaf: Array) -> Array:
        n = leaf.shape[0] // size
        if blocks == 1:
            return leaf[: n * size].reshape(n, size, *leaf.shape[1:])
        each = cut(leaf, blocks)[:, : n * (size // blocks)]
        each = each.reshape(blocks, n, size // blocks, *leaf.shape[1:])
        return each.swapaxes(0, 1).reshape(n, size, *leaf.shape[1:])

    return jax.tree.map(of_leaf, rows)


def take(rows: PyTree, numbers: Int[Array, "n blocks each"]) -> PyTree:
    """Rows by their numbers within each block, those of a block together: arrays of shape `(n, blocks * each, ...)`."""
    n, blocks, each = numbers.shape

    def of_leaf(leaf: Array) -> Array:
        if blocks == 1:
            return leaf.at[numbers[:, 0]].get(mode="clip", wrap_negative_indices=False)
        taken = jax.vmap(lambda block, numbers: block[numbers], (0, 1), 1)(cut(leaf, blocks), _like(leaf, numbers, 1))
        return taken.reshape(n, blocks * each, *leaf.shape[1:])

    return jax.tree.map(of_leaf, rows)


def spread(rows: PyTree) -> int:
    """Over how many devices the rows are spread along an explicit axis of a mesh; 1 if over none."""
    return max((_devices(leaf) for leaf in jax.tree.leaves(rows)), default=1)


def along(array: Tree, rows: PyTree) -> Tree:
    """The array, whose leading axis goes with the rows, spread as they are."""
    return _like(jax.tree.leaves(rows)[0], array, 0)


def _like(rows: Array, array: Any, axis: int) -> Any:
    name = _axis(rows)
    if name is None:
        return array
    return jax.tree.map(lambda leaf: reshard(leaf, PartitionSpec(*(None,) * axis, name)), array)


def _devices(leaf: Array) -> int:
    names = _axis(leaf)
    shape = jax.typeof(leaf).sharding.mesh.shape
    return math.prod(shape[name] for name in (names if isinstance(names, tuple) else (names,)) if name is not None)


def _axis(leaf: Array) -> Any:
    """The explicit axis of a mesh, or the axes, that the rows are spread along."""
    spec = jax.typeof(leaf).sharding.spec
    return spec[0] if spec else None
