"""Gradient clipping."""

import abc

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.tree import norm, scale
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
        length = norm(gradient)
        threshold = self.threshold.astype(length.dtype)
        long = length > threshold
        return scale(jnp.where(long, threshold / jnp.where(long, length, 1), 1), gradient)
