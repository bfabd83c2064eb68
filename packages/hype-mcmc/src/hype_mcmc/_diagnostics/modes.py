"""Chains that are in different modes."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from .ess import mean_ess

_APART = 3.0  # standard deviations within chains that groups are apart: unimodal chains that mix are below 1
_LEAST_ESS = 20.0  # of each chain by itself: one that has not found its own mode yet does not know of others


def separate_groups(draws: Float[np.ndarray, "rows chains draws"]) -> tuple[int, list[list[int]]] | None:
    """The row in which chains are most clearly in groups apart, and the groups, or none if they are in no row.

    In a row, two groups are apart if the medians of their chains are, by more than three of the largest standard
    deviation within one of the chains on either side of the gap, and each chain by itself has mixed: chains that crawl
    through one mode are far apart as well, for a while, and frozen ones for ever. Chains that visit several overlap.
    """
    centers, widths = np.median(draws, axis=2), draws.std(axis=2)
    best, found = _APART, None
    for row in np.flatnonzero(np.isfinite(centers).all(axis=1) & np.isfinite(widths).all(axis=1)):
        order = np.argsort(centers[row])
        gaps = np.diff(centers[row][order])
        # All chains of each side: one that is wide bridges the gap.
        width = np.maximum.accumulate(widths[row][order])[:-1], np.maximum.accumulate(widths[row][order][::-1])[-2::-1]
        wide = np.maximum(*width)
        apart = np.divide(gaps, wide, out=np.zeros_like(gaps), where=wide > 0)
        if apart.size and apart.max() > best and np.all(mean_ess(draws[row][:, None]) >= _LEAST_ESS):
            best = apart.max()
            cuts = [0, *(np.flatnonzero(apart > _APART) + 1), len(order)]
            found = int(row), [sorted(order[start:stop].tolist()) for start, stop in pairwise(cuts)]
    return found
