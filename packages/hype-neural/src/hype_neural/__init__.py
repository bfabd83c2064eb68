"""Neural network layers with differentiable initializers, trained by loops that are themselves differentiable."""

from hype_ad.internal.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

del attach
