"""Matrices of derivatives between pytrees: one block for each pair of an output's part and a point's part."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .point import labeled, parts, shape


class Blocks:
    """The derivative of each part of `out` with respect to each part of `x`, to be arranged as a pytree of matrices.

    A block has the shape of the part of `out`, followed by that of the part of `x`.
    """

    def __init__(self, out: PyTree, x: PyTree, blocks: list[list[Array]]):
        self.out = out
        self.x = x
        self.blocks = blocks

    @staticmethod
    def from_columns(out: PyTree, x: PyTree, columns: PyTree) -> "Blocks":
        """From a pytree like `out` with the numbers of `x` along a new trailing axis."""
        bounds = _bounds(x)
        return Blocks(
            out,
            x,
            [
                [
                    piece.reshape(shape(row) + shape(column))
                    for piece, column in zip(jnp.split(leaf, bounds, axis=-1), parts(x)[0], strict=True)
                ]
                for leaf, row in zip(jax.tree.leaves(columns), parts(out)[0], strict=True)
            ],
        )

    @staticmethod
    def from_rows(out: PyTree, x: PyTree, rows: PyTree) -> "Blocks":
        """From a pytree like `x` with the numbers of `out` along a new leading axis."""
        bounds = _bounds(out)
        pieces = [jnp.split(leaf, bounds) for leaf in jax.tree.leaves(rows)]
        return Blocks(
            out,
            x,
            [
                [column[i].reshape(shape(row) + shape(part)) for column, part in zip(pieces, parts(x)[0], strict=True)]
                for i, row in enumerate(parts(out)[0])
            ],
        )

    def arranged(self) -> PyTree:
        """`out`, each part replaced by an `x` of blocks."""
        return _nested(self.out, self.x, self.blocks)

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
        return _nested(self.x, self.out, turned)


def _nested(outer: PyTree, inner: PyTree, blocks: list[list[Array]]) -> PyTree:
    (rows, outer_structure), (columns, inner_structure) = parts(outer), parts(inner)
    return jax.tree.unflatten(
        outer_structure,
        [
            jax.tree.unflatten(
                inner_structure, [labeled(block, row, column) for block, column in zip(line, columns, strict=True)]
            )
            for line, row in zip(blocks, rows, strict=True)
        ],
    )


def _bounds(x: PyTree) -> list[int]:
    ends, end = [], 0
    for leaf in jax.tree.leaves(x):
        end += jnp.size(leaf)
        ends.append(end)
    return ends[:-1]
