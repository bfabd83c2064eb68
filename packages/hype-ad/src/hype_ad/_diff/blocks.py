"""Jacobians between pytrees: one block for each pair of a part of the output and a part of the point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._types.by_rank import in_kind
from .checks import parts, shape


@dataclass(frozen=True)
class Blocks:
    """The derivative of each part of `out` with respect to each part of `x`, to be arranged as a pytree of matrices.

    A block has the shape of the part of `out`, followed by that of the part of `x`.
    """

    out: PyTree
    x: PyTree
    blocks: list[list[Array]]

    @staticmethod
    def from_columns(out: PyTree, x: PyTree, columns: PyTree) -> "Blocks":
        """From a pytree like `out` with the entries of `x` along a new trailing axis."""
        bounds = _bounds(x)
        return _shaped(out, x, [jnp.split(leaf, bounds, axis=-1) for leaf in jax.tree.leaves(columns)])

    @staticmethod
    def from_rows(out: PyTree, x: PyTree, rows: PyTree) -> "Blocks":
        """From a pytree like `x` with the entries of `out` along a new leading axis."""
        bounds = _bounds(out)
        by_column = [jnp.split(leaf, bounds) for leaf in jax.tree.leaves(rows)]
        return _shaped(out, x, list(zip(*by_column, strict=True)))

    def arranged(self) -> PyTree:
        """`out`, each part replaced by an `x` of blocks."""
        return nested(self.out, self.x, self.blocks, _in_kind)

    def transposed(self) -> PyTree:
        """`x`, each part replaced by an `out` of blocks with the axes of `x` in front."""
        rows = parts(self.out)[0]
        turned = [
            [
                jnp.moveaxis(row[j], range(len(shape(out))), range(-len(shape(out)), 0))
                for row, out in zip(self.blocks, rows, strict=True)
            ]
            for j in range(len(parts(self.x)[0]))
        ]
        return nested(self.x, self.out, turned, _in_kind)


def nested(outer: PyTree, inner: PyTree, blocks: Sequence[Sequence[Any]], kind: Callable[..., Any]) -> PyTree:
    """`outer`, each part replaced by an `inner` of blocks, to which `kind(block, *the two parts)` gives a type."""
    (rows, outer_structure), (columns, inner_structure) = parts(outer), parts(inner)
    lines = [
        [kind(block, row, column) for block, column in zip(line, columns, strict=True)]
        for line, row in zip(blocks, rows, strict=True)
    ]
    return jax.tree.unflatten(outer_structure, [jax.tree.unflatten(inner_structure, line) for line in lines])


def _shaped(out: PyTree, x: PyTree, strips: Sequence[Sequence[Array]]) -> Blocks:
    """From pieces with the right numbers of entries."""
    rows, columns = parts(out)[0], parts(x)[0]
    shaped = lambda strip, row: [
        piece.reshape(shape(row) + shape(column)) for piece, column in zip(strip, columns, strict=True)
    ]
    return Blocks(out, x, list(map(shaped, strips, rows)))


def _in_kind(block: Array, row: PyTree, column: PyTree) -> PyTree:
    return in_kind(block, row, column) if block.ndim <= 2 else block  # there is no tensor of a higher rank


def _bounds(x: PyTree) -> list[int]:
    return list(accumulate(map(jnp.size, jax.tree.leaves(x))))[:-1]
