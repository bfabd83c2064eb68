"""Hamiltonian Monte Carlo that samples well by default, and whose step size and mass matrix have derivatives."""

from hype_ad.internal.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

del attach
