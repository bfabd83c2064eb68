"""Chains that stay where they are."""

import numpy as np
from jaxtyping import Bool, Float, Int

_LEAST = 20  # draws in a row
_PART = 0.05  # of all draws
_CHANCE = 1e-3  # of so long a stay in chains that leave any place equally often


def frozen_for(draws: Float[np.ndarray, "rows chains draws"]) -> Int[np.ndarray, " chains"]:
    """How many draws in a row each chain stayed at one place if it is frozen there, else 0.

    A stay counts if it is a twentieth of the run and longer than chance would have it: a sampler that accepts little
    stays everywhere, one that is frozen in one place and not in others. Or if the chain never moved, in a run that is
    long enough to tell: in a few draws some of many chains do not, by chance.
    """
    _, chains, number = draws.shape
    moved = np.any(draws[:, :, 1:] != draws[:, :, :-1], axis=0)
    ends = np.ones((chains, 1), bool)
    (places,) = np.nonzero(np.concatenate([ends, moved, ends], axis=1).ravel())
    begins = places[:-1] % (number + 1)
    longest = np.zeros(chains, int)
    np.maximum.at(longest, places[:-1] // (number + 1), np.where(begins < number, np.diff(places), 0))
    never = longest == number
    others = moved[~never]
    stays = (np.sum(~others) + 1) / (others.size + 2)  # so that nothing is certain where there are none
    by_chance = max(1, moved.size) * stays ** (longest - 1)
    is_long = (longest >= min(number, max(_LEAST, _PART * number))) & (by_chance < _CHANCE)
    return np.where(is_long | (never & (number >= _LEAST)), longest, 0)


def beyond_precision(
    stays: Int[np.ndarray, " chains"], acceptance: Float[np.ndarray, "chains draws"], energy: np.ndarray
) -> Bool[np.ndarray, " chains"]:
    """Which chains never moved by their numbers: by energies that are all infinite, or steps that rounding takes away.

    Such steps are accepted, while a chain is frozen by those that are not.
    """
    never = stays == energy.shape[1]
    return never & (np.all(np.isinf(energy), axis=1) | (np.mean(acceptance, axis=1) > 0.5))
