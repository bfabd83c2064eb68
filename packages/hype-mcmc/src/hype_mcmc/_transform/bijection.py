"""A transform made of functions, such as those of a bijector of another library."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from hype_ad.internal.checks import function
from jaxtyping import Array, Float, PyTree

from .._logdensity import as_pytree
from .base import AbstractTransform


class Bijection(AbstractTransform):
    """A bijection by its functions: `Bijection(b.forward, b.inverse, b.forward_log_det_jacobian)` of Distrax or TFP.

    Args:
        forward: from unconstrained numbers to a value.
        inverse: back again.
        log_det: from unconstrained numbers to the logarithm of the absolute determinant of the Jacobian of `forward`,
            or to an array of them that is to be summed.

    Raises:
        TypeError: if one of them is not a function.
    """

    forward: Callable[[Any], Any]
    inverse_of: Callable[[Any], Any]
    log_det: Callable[[Any], Any]

    def __init__(self, forward: Callable[[Any], Any], inverse: Callable[[Any], Any], log_det: Callable[[Any], Any]):
        self.forward = as_pytree(function("forward", forward, "a function of unconstrained numbers"))
        self.inverse_of = as_pytree(function("inverse", inverse, "a function of a value"))
        self.log_det = as_pytree(function("log_det", log_det, "a function of unconstrained numbers"))

    def forward_and_log_det(self, y: PyTree[Array]) -> tuple[PyTree[Any], Float[Array, ""]]:
        """The value, and the sum of the logarithms of determinants."""
        return self.forward(y), jnp.sum(self.log_det(y))

    def inverse(self, x: PyTree[Any]) -> PyTree[Array]:
        """Where the value is `x`."""
        return self.inverse_of(x)
