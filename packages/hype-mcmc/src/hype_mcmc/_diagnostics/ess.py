"""Effective sample sizes."""

import math

import numpy as np
from jaxtyping import Float

from .rank import normalize, split


def bulk_ess(draws: Float[np.ndarray, "chains draws"]) -> float:
    """How many independent draws say as much about the center (Vehtari et al. 2021, section 4.2).

    Of the rank-normalized split chains.
    """
    return _ess(normalize(split(draws)))


def tail_ess(draws: Float[np.ndarray, "chains draws"]) -> float:
    """The smaller of the effective sample sizes of the 5% and the 95% quantile (Vehtari et al. 2021, section 4.3)."""
    return min(_ess(split(draws <= np.quantile(draws, p)).astype(float)) for p in (0.05, 0.95))


def mean_ess(draws: Float[np.ndarray, "chains draws"]) -> float:
    """How many independent draws would estimate the mean as well: of the split chains as they are."""
    return _ess(split(draws))


def _ess(chains: Float[np.ndarray, "chains draws"]) -> float:
    """Vehtari et al. (2021), eqs. 10 to 13, with Geyer's (1992) initial monotone sequence."""
    num_chains, n = chains.shape
    covariance = _autocovariance(chains).mean(axis=0)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (chains.mean(axis=1).var(ddof=1) if num_chains > 1 else 0.0)
    if not (math.isfinite(total) and total > 0):
        return math.nan

    correlation = 1 - (within - covariance) / total
    correlation[0] = 1.0
    last = (n - 3) // 2  # beyond it too few products are averaged
    pairs = correlation[0 : 2 * last + 1 : 2] + correlation[1 : 2 * last + 2 : 2]
    # The sums of pairs are positive and fall in a reversible chain; where they do not, they are noise.
    positive = pairs > 0
    kept = last if positive.all() else int(np.argmin(positive))
    monotone = np.minimum.accumulate(pairs[:kept])
    tail = max(correlation[2 * kept], 0.0)
    size = chains.size
    tau = max(-1 + 2 * monotone.sum() + tail, 1 / math.log10(size))
    return size / tau


def _autocovariance(chains: Float[np.ndarray, "chains draws"]) -> Float[np.ndarray, "chains draws"]:
    n = chains.shape[1]
    centered = chains - chains.mean(axis=1, keepdims=True)
    length = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centered, length)
    return np.fft.irfft(spectrum * spectrum.conj(), length)[:, :n] / n
