"""Whether chains agree."""

import numpy as np
from jaxtyping import Float

from .ess import ess_of
from .rank import fold, normalize, split
from .rows import Draws, Several, Values, of_each_row


@of_each_row
def rank_rhat(draws: Draws) -> Values:
    """Rank-normalized split R-hat (Vehtari et al. 2021, section 4.1).

    The larger of that of the draws and that of the folded draws.
    """
    return _larger(draws, normalize(split(draws)))


@of_each_row
def bulk(draws: Draws) -> Several:
    """`bulk_ess` and `rank_rhat`, which need the same ranks."""
    scores = normalize(split(draws))
    return np.stack([ess_of(scores), _larger(draws, scores)])


def _larger(draws: Draws, scores: Float[np.ndarray, "*rows twice half"]) -> Values:
    """By the draws and by the normal scores of their split chains."""
    return np.maximum(_rhat(scores), _rhat(normalize(fold(split(draws)))))


def _rhat(chains: Draws) -> Values:
    """Gelman et al. (2013): how much larger the variance of all draws is than that within chains."""
    n = chains.shape[-1]
    within = chains.var(axis=-1, ddof=1).mean(axis=-1)
    between = chains.mean(axis=-1).var(axis=-1, ddof=1)
    of_constants = np.where(between > 0, np.inf, np.nan)
    return np.where(within > 0, np.sqrt((n - 1) / n + between / within), of_constants)
