"""Splitting, ranking and folding draws: what the diagnostics of Vehtari et al. (2021) are made of."""

import numpy as np
import scipy
from jaxtyping import Shaped

from .rows import Draws


def split(draws: Shaped[np.ndarray, "*rows chains draws"]) -> Shaped[np.ndarray, "*rows twice half"]:
    """Each chain as two chains, its halves; of an odd number of draws the middle one is left out."""
    half = draws.shape[-1] // 2
    return np.concatenate([draws[..., :half], draws[..., draws.shape[-1] - half :]], axis=-2)


def fold(draws: Draws) -> Draws:
    """Distances to the median: in these a difference of scale is a difference of location."""
    return np.abs(draws - np.median(draws, axis=(-2, -1), keepdims=True))


def normalize(draws: Draws) -> Draws:
    r"""Normal scores of the ranks among all draws (Vehtari et al. 2021, eq. 14).

    $\Phi^{-1}((r - 3/8) / (S + 1/4))$ for rank $r$ of $S$; equal draws share their mean rank.
    """
    flat = draws.reshape(*draws.shape[:-2], -1)
    size = flat.shape[-1]
    place = np.arange(size)
    order = np.argsort(flat, axis=-1)
    ordered = np.take_along_axis(flat, order, axis=-1)
    differs = ordered[..., 1:] != ordered[..., :-1]
    edge = np.ones((*flat.shape[:-1], 1), bool)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, differs], axis=-1), place, 0), axis=-1)
    ends = np.where(np.concatenate([differs, edge], axis=-1), place, size)
    last = np.minimum.accumulate(ends[..., ::-1], axis=-1)[..., ::-1]
    # A mean rank is a multiple of 1/2, of which there are few.
    of_half_ranks = scipy.special.ndtri((1 + np.arange(2 * size - 1) / 2 - 0.375) / (size + 0.25))
    scores = np.empty(flat.shape)
    np.put_along_axis(scores, order, of_half_ranks[first + last], axis=-1)
    return scores.reshape(draws.shape)
