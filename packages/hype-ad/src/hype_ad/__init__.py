"""Nested automatic differentiation over JAX: scalars, vectors, matrices, and loops that differentiate to any order."""

from .internal.convolution import use_fast_layout
from .internal.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

use_fast_layout()  # for the loops here and in the other packages
del attach, use_fast_layout
