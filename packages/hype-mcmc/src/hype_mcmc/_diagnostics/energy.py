"""Whether momenta of one size reach all energies."""

import numpy as np
from jaxtyping import Float


def ebfmi(energy: Float[np.ndarray, "chains draws"]) -> Float[np.ndarray, " chains"]:
    """The energy Bayesian fraction of missing information of each chain (Betancourt 2016, eq. 28), low below 0.3."""
    deviation = energy - energy.mean(axis=1, keepdims=True)
    spread = np.sum(deviation**2, axis=1)
    change = np.sum(np.diff(energy, axis=1) ** 2, axis=1)
    return np.divide(change, spread, out=np.full_like(spread, np.nan), where=spread > 0)
