"""Whether chains agree."""

import math

import numpy as np
from jaxtyping import Float

from .rank import fold, normalize, split


def rank_rhat(draws: Float[np.ndarray, "chains draws"]) -> float:
    """Rank-normalized split R-hat (Vehtari et al. 2021, section 4.1).

    The larger of that of the draws and that of the folded draws.
    """
    chains = split(draws)
    return max(_rhat(normalize(chains)), _rhat(normalize(fold(chains))))


def _rhat(chains: Float[np.ndarray, "chains draws"]) -> float:
    """Gelman et al. (2013): how much larger the variance of all draws is than that within chains."""
    n = chains.shape[1]
    within = chains.var(axis=1, ddof=1).mean()
    between = chains.mean(axis=1).var(ddof=1)
    if not within > 0:
        return math.inf if between > 0 else math.nan
    return math.sqrt((n - 1) / n + between / within)
