"""Numbers with bounds, each for itself."""

import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import float_array, known
from jaxtyping import Array, ArrayLike, Float

from .base import AbstractTransform


class Positive(AbstractTransform):
    r"""Numbers above zero, $x = e^y$."""

    def forward_and_log_det(self, y: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, ""]]:
        """The exponentials, and the sum of `y`."""
        return jnp.exp(y), jnp.sum(y)

    def inverse(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The logarithms."""
        return jnp.log(x)


class Interval(AbstractTransform):
    r"""Numbers between two others, $x = l + (h - l) / (1 + e^{-y})$.

    Args:
        low: $l$, a number or an array that broadcasts with the value. Differentiable.
        high: $h$, above `low`. Differentiable.

    Raises:
        ValueError: if `high` is not above `low`, or one of them is not finite.
        TypeError: if they are not real numbers.
    """

    low: Float[Array, "..."]
    high: Float[Array, "..."]

    def __init__(self, low: ArrayLike, high: ArrayLike):
        self.low, self.high = float_array("low", low), float_array("high", high)
        width = self.high - self.low
        if known(width) and not np.all((np.asarray(width) > 0) & np.isfinite(np.asarray(width))):
            raise ValueError(f"`high` must be above `low` and both finite, got low={low} and high={high}.")

    def forward_and_log_det(self, y: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, ""]]:
        """The values, and the sum of the logarithms of their derivatives."""
        low, width = self._low_and_width(y)
        log_slope = jnp.log(width) + jax.nn.log_sigmoid(y) + jax.nn.log_sigmoid(-y)
        return low + width * jax.nn.sigmoid(y), jnp.sum(log_slope)

    def inverse(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The logits of where in the interval the values are."""
        low, width = self._low_and_width(x)
        return jnp.log(x - low) - jnp.log(low + width - x)

    def _low_and_width(self, x: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        low, high = (jnp.broadcast_to(bound.astype(x.dtype), x.shape) for bound in (self.low, self.high))
        return low, high - low
