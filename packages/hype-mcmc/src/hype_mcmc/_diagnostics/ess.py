"""Effective sample sizes."""

import math

import numpy as np
from jaxtyping import Float

from .rank import normalize, split
from .rows import Draws, Several, Values, of_each_row


@of_each_row
def bulk_ess(draws: Draws) -> Values:
    """How many independent draws say as much about the center (Vehtari et al. 2021, section 4.2).

    Of the rank-normalized split chains.
    """
    return ess_of(normalize(split(draws)))


@of_each_row
def tails(draws: Draws) -> Several:
    """The 5% and the 95% quantile, and `tail_ess`."""
    quantiles = np.quantile(draws, (0.05, 0.95), axis=(-2, -1), keepdims=True)
    smaller = np.minimum(*[ess_of(split(draws <= quantile).astype(float)) for quantile in quantiles])
    return np.concatenate([quantiles[..., 0, 0], smaller[None]])


def tail_ess(draws: Draws) -> Values:
    """The smaller of the effective sample sizes of the 5% and the 95% quantile (Vehtari et al. 2021, section 4.3)."""
    return tails(draws)[2, ...]  # an array also of one row


@of_each_row
def mean_ess(draws: Draws) -> Values:
    """How many independent draws would estimate the mean as well: of the split chains as they are."""
    return ess_of(split(draws))


def ess_of(chains: Draws) -> Values:
    """Of the mean of chains: Vehtari et al. (2021), eqs. 10 to 13, with Geyer's (1992) initial monotone sequence."""
    num_chains, n = chains.shape[-2:]
    covariance = _autocovariance(chains)
    within = covariance[..., :1] * n / (n - 1)
    total = covariance[..., :1] + (chains.mean(axis=-1).var(axis=-1, ddof=1)[..., None] if num_chains > 1 else 0.0)

    correlation = 1 - (within - covariance) / total
    correlation[..., 0] = 1.0
    last = max((n - 3) // 2, 0)  # beyond it too few products are averaged
    pairs = correlation[..., 0 : 2 * last + 1 : 2] + correlation[..., 1 : 2 * last + 2 : 2]
    # The sums of pairs are positive and fall in a reversible chain; where they do not, they are noise.
    positive = pairs > 0
    kept = np.where(positive.all(axis=-1), last, np.argmin(positive, axis=-1))[..., None]
    monotone = np.minimum.accumulate(pairs, axis=-1)
    summed = np.sum(monotone, axis=-1, where=np.arange(last + 1) < kept)
    tail = np.maximum(np.take_along_axis(correlation, 2 * kept, axis=-1)[..., 0], 0.0)
    size = num_chains * n
    tau = np.maximum(-1 + 2 * summed + tail, 1 / math.log10(size))
    total = total[..., 0]
    return np.where(np.isfinite(total) & (total > 0), size / tau, np.nan)


def _autocovariance(chains: Draws) -> Float[np.ndarray, "*rows draws"]:
    """The mean over the chains, by the mean of their spectra, so that there is one transform back for all of them."""
    n = chains.shape[-1]
    centered = chains - chains.mean(axis=-1, keepdims=True)
    length = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centered, length)
    power = np.mean(spectrum.real**2 + spectrum.imag**2, axis=-2)
    return np.fft.irfft(power, length)[..., :n] / n
