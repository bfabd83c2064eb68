"""Colorings of a sparse matrix: groups of columns that one product recovers together (Gebremedhin et al. 2005)."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Int

from .pattern import Pattern, of_matrix

Places = Int[np.ndarray, " entries"]

# Pairs of columns that share a row: above it, a coloring would take longer than what it saves.
_LARGEST_GRAPH = 2**25


@dataclass(frozen=True)
class Coloring:
    """Which products recover a sparse matrix, and from which entry of them each of its entries is read.

    Attributes:
        colors: the color of each column (or of each row, for products from the left).
        count: number of colors.
        product: for each entry of the matrix the product that it is read from, which is a color.
        place: where it stands in that product.
    """

    colors: Int[np.ndarray, " columns"]
    count: int
    product: Places
    place: Places


def by_columns(matrix: Pattern, rows: Places, columns: Places) -> Coloring:
    """Columns of one color share no row, so that one product with their sum has the entries of all of them."""
    colors = _fewest(matrix)
    return Coloring(colors, int(colors.max(initial=-1)) + 1, colors[columns], rows)


def by_star(matrix: Pattern, rows: Places, columns: Places) -> Coloring:
    """A star coloring of a symmetric matrix, which reads one entry of the two that are the same.

    Rows with the most entries have a color of their own, and all other entries of their columns are read from it. What
    is left has a coloring by columns. So an arrow takes two products.
    """
    size = len(matrix.indptr) - 1
    order = np.argsort(-np.diff(matrix.indptr), kind="stable")
    best, hub, hubs = _fewest(matrix), np.zeros(size, bool), 1
    while hubs <= size // 2:
        own = np.zeros(size, bool)
        own[order[:hubs]] = True
        longest = int(np.diff(matrix.indptr)[order[hubs - 1]])
        if hubs >= best.max(initial=-1) + 1 or longest <= 2:
            break
        left = of_matrix(matrix.multiply(~own[:, None]).multiply(~own[None]))
        left.eliminate_zeros()
        colors = _fewest(left) + hubs
        colors[order[:hubs]] = np.arange(hubs)
        if colors.max() < best.max():
            best, hub = colors, own
        hubs *= 2
    turned = hub[rows] & ~hub[columns]
    product = np.where(turned, best[rows], best[columns])
    return Coloring(best, int(best.max(initial=-1)) + 1, product, np.where(turned, columns, rows))


def _fewest(matrix: Pattern) -> Int[np.ndarray, " columns"]:
    """The better of two greedy colorings of the columns: in their order, and with the fullest first."""
    size = cast(tuple[int, int], matrix.shape)[1]
    lengths = np.diff(matrix.indptr)
    if int((lengths.astype(np.int64) ** 2).sum()) > _LARGEST_GRAPH:
        return np.arange(size)
    counts = matrix.astype(np.int32)
    graph = of_matrix(counts.T @ counts)
    natural = _greedy(graph, np.arange(size))
    if natural.max(initial=-1) + 1 <= lengths.max(initial=0):  # a row has that many columns
        return natural
    fullest = _greedy(graph, np.argsort(-np.diff(graph.indptr), kind="stable"))
    return fullest if fullest.max() < natural.max() else natural


def _greedy(graph: Pattern, order: Int[np.ndarray, " columns"]) -> Int[np.ndarray, " columns"]:
    starts, neighbors = cast(list[int], graph.indptr.tolist()), cast(list[int], graph.indices.tolist())
    colors = [-1] * len(order)
    for v in order.tolist():
        taken = {colors[u] for u in neighbors[starts[v] : starts[v + 1]]}
        color = 0
        while color in taken:
            color += 1
        colors[v] = color
    return np.array(colors, int)
