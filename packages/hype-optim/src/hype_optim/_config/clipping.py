"""Gradient clipping."""

import abc
from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.tree import squared_norm
from jax import lax
from jaxtyping import PyTree

from .._hyperparameter.converters import Hyperparameter, positive_number


class AbstractGradientClipping(eqx.Module):
    """Maps a gradient to the one that a method uses."""

    @abc.abstractmethod
    def __call__(self, gradient: PyTree) -> PyTree:
        """The gradient to use."""


class NoClip(AbstractGradientClipping):
    """Gradients are used as they are."""

    def __call__(self, gradient: PyTree) -> PyTree:
        """The gradient itself."""
        return gradient


class NormClip(AbstractGradientClipping):
    r"""Clipping by the global norm: a gradient $g$ longer than $t$ becomes $g \, t / \|g\|_2$ (Pascanu et al. 2013).

    Optax's `clip_by_global_norm` has a NaN derivative at a gradient of zero; this one has not.

    Args:
        threshold: $t$, above 0. Differentiable.

    Raises:
        ValueError: if `threshold` is not one number, or a number that is not above 0.
    """

    threshold: Hyperparameter = eqx.field(converter=positive_number("threshold", single=True), default=1.0)

    def __call__(self, gradient: PyTree) -> PyTree:
        """The gradient, shortened if it is longer than the threshold."""
        largest = lax.stop_gradient(reduce(jnp.maximum, [jnp.max(jnp.abs(g)) for g in jax.tree.leaves(gradient)]))
        # In this unit the squares do not overflow; the derivative does not depend on it.
        unit = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
        squared = squared_norm(jax.tree.map(lambda g: g / unit.astype(g.dtype), gradient))
        threshold = self.threshold.astype(squared.dtype) / unit
        long = squared > threshold**2
        factor = jnp.where(long, threshold / jnp.sqrt(jnp.where(long, squared, 1)), 1)
        return jax.tree.map(lambda g: factor.astype(g.dtype) * g, gradient)
