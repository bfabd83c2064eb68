"""Vectors whose entries grow."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .base import AbstractTransform


class Ordered(AbstractTransform):
    r"""Vectors along the last axis whose entries grow, $x_1 = y_1$ and $x_k = x_{k-1} + e^{y_k}$."""

    def forward_and_log_det(self, y: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, ""]]:
        """The running sums, and the sum of `y` without first entries."""
        steps = jnp.concatenate([y[..., :1], jnp.exp(y[..., 1:])], axis=-1)
        return jnp.cumsum(steps, axis=-1), jnp.sum(y[..., 1:])

    def inverse(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The first entry, and the logarithms of differences."""
        return jnp.concatenate([x[..., :1], jnp.log(jnp.diff(x, axis=-1))], axis=-1)
