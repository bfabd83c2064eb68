"""Whether chains agree."""

import numpy as np

from .rank import fold, normalize, split
from .rows import Draws, Values, of_each_row


@of_each_row
def rank_rhat(draws: Draws) -> Values:
    """Rank-normalized split R-hat (Vehtari et al. 2021, section 4.1).

    The larger of that of the draws and that of the folded draws.
    """
    chains = split(draws)
    return np.maximum(_rhat(normalize(chains)), _rhat(normalize(fold(chains))))


def _rhat(chains: Draws) -> Values:
    """Gelman et al. (2013): how much larger the variance of all draws is than that within chains."""
    n = chains.shape[-1]
    within = chains.var(axis=-1, ddof=1).mean(axis=-1)
    between = chains.mean(axis=-1).var(axis=-1, ddof=1)
    of_constants = np.where(between > 0, np.inf, np.nan)
    return np.where(within > 0, np.sqrt((n - 1) / n + between / within), of_constants)
