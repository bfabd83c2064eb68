r"""Whether many short chains disagree for good.

R-hat compares variances of means of half chains. Of stationary chains of $n$ draws that forget within $\tau$ draws it
is about $\sqrt{1 + 2 (\tau - 1) / n}$, and of few draws above any limit near 1, however many chains there are: it says
that each chain alone is too short, which nobody asks of thousands (Margossian et al. 2024). They compare groups of
chains that started together. Ours start apart, and there is something else that many chains tell: whether where a chain
is at its end still depends on where it was at its beginning.
"""

import numpy as np
from jaxtyping import Float

from .rank import fold, normalize
from .rows import Draws, Values, of_each_row

_ERRORS = 3.0  # standard errors that are chance


@of_each_row
def lasting_rhat(draws: Draws) -> Values:
    r"""R-hat of what differs between chains for good, less its sampling error: 1 if there is no sign of it.

    $\sqrt{1 + c / W}$ with $W$ the variance of the draws and $c$ the covariance, over the chains, of the means of the
    first and of the last third of each, from which the means of chains that forget within a third have none. Or with
    $c$ the variance of the two means over all chains, which a common drift makes. Of normal scores and folded ones.
    """
    return np.maximum(_of_scores(normalize(draws)), _of_scores(normalize(fold(draws))))


def _of_scores(scores: Draws) -> Float[np.ndarray, "*rows"]:
    chains, number = scores.shape[-2:]
    third = max(1, number // 3)
    first, last = scores[..., :third].mean(axis=-1), scores[..., -third:].mean(axis=-1)
    covariance = np.mean((first - first.mean(-1, keepdims=True)) * (last - last.mean(-1, keepdims=True)), axis=-1)
    covariance = covariance - _ERRORS * np.sqrt(first.var(-1) * last.var(-1) / chains)
    drift = np.abs(np.mean(last - first, axis=-1)) - _ERRORS * np.std(last - first, axis=-1) / np.sqrt(chains)
    lasting = np.maximum(covariance, 0.5 * np.maximum(drift, 0.0) ** 2)
    return np.sqrt(1 + np.maximum(lasting, 0.0) / scores.var(axis=(-2, -1)))
