"""Splitting, ranking and folding draws: what the diagnostics of Vehtari et al. (2021) are made of."""

from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Shaped


def split(draws: Shaped[np.ndarray, "chains draws"]) -> Shaped[np.ndarray, "twice half"]:
    """Each chain as two chains, its halves; of an odd number of draws the middle one is left out."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])


def fold(draws: Float[np.ndarray, "chains draws"]) -> Float[np.ndarray, "chains draws"]:
    """Distances to the median: in these a difference of scale is a difference of location."""
    return np.abs(draws - np.median(draws))


def normalize(draws: Float[np.ndarray, "chains draws"]) -> Float[np.ndarray, "chains draws"]:
    r"""Normal scores of the ranks among all draws (Vehtari et al. 2021, eq. 14).

    $\Phi^{-1}((r - 3/8) / (S + 1/4))$ for rank $r$ of $S$; equal draws share their mean rank.
    """
    _, which, counts = np.unique(draws, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    scores = _normal_quantile((ranks - 0.375) / (draws.size + 0.25))
    return scores[which.reshape(draws.shape)]


def _normal_quantile(p: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    quantile = NormalDist().inv_cdf
    return np.array([quantile(x) for x in p.tolist()])
