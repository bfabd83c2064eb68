"""Means and covariances of draws, taken in as they come."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.tree import subtract, zeros_like
from jaxtyping import Array, Float, PyTree

from ._custom_types import Position
from ._position import mean_of

Outer = Callable[[Position, Position], PyTree[Float[Array, "..."]]]
"""Picks what is kept of a covariance: of two deviations, the products that are averaged over draws."""


class Moments(eqx.Module):
    """Moments of draws, updated by batches (Welford 1962; Chan, Golub and LeVeque 1983).

    Attributes:
        count: number of draws.
        mean: their mean.
        squares: the sum of outer products of deviations, as far as they are kept.
    """

    count: Float[Array, ""]
    mean: Position
    squares: PyTree[Float[Array, "..."]]

    @classmethod
    def start(cls, outer: Outer, position: Position) -> "Moments":
        """No draws yet, of positions like this one; `outer` picks what is kept of a covariance."""
        zero = zeros_like(position)
        return cls(jnp.zeros(()), zero, outer(zero, zero))

    def update(self, outer: Outer, positions: Position) -> "Moments":
        """Take in one draw of each chain (along the leading axis)."""
        size = jax.tree.leaves(positions)[0].shape[0]
        count = self.count + size
        batch_mean = mean_of(positions)
        within = jax.vmap(outer)(*[jax.tree.map(lambda x, m: x - m[None], positions, batch_mean)] * 2)
        shift = subtract(batch_mean, self.mean)
        between = outer(shift, shift)
        mean = jax.tree.map(lambda m, s: m + (size / count).astype(m.dtype) * s, self.mean, shift)
        squares = jax.tree.map(
            lambda total, w, b: total + jnp.sum(w, axis=0) + (self.count * size / count).astype(b.dtype) * b,
            self.squares,
            within,
            between,
        )
        return Moments(count, mean, squares)

    def covariance(self) -> PyTree[Float[Array, "..."]]:
        """The covariance, in the form that `outer` gives."""
        return jax.tree.map(lambda s: s / jnp.maximum(self.count - 1, 1).astype(s.dtype), self.squares)
