"""Rates that divide each entry of a direction by a root mean square of what it has been: AdaGrad and RMSProp."""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from hype_ad.internal.tree import at_least_single, cast_like, scale
from jaxtyping import PyTree

from ..._hyperparameter.converters import Hyperparameter, check_prefix, fraction, non_negative
from ..._objective import Iterate
from .base import AbstractLearningRate


class AbstractScaledRate(AbstractLearningRate):
    """A rate times what an Optax transformation makes of the direction."""

    scales_entries: ClassVar[bool] = True

    rate: eqx.AbstractVar[Hyperparameter]

    @abc.abstractmethod
    def scaling(self) -> optax.GradientTransformation:
        """The transformation, of a finite derivative where the direction is zero."""

    def init(self, w: PyTree) -> PyTree:
        """The transformation's state: sums or means of squares, zero."""
        check_prefix("rate", self.rate, w)
        return self.scaling().init(at_least_single(w))

    def update(self, direction: PyTree, memory: PyTree, iterate: Iterate) -> tuple[PyTree, PyTree]:
        """The scaled direction, NaN where a square overflows, and the new state."""
        scaled, memory = self.scaling().update(at_least_single(direction), memory)
        # Squares out of range would leave the weights where they are, without a word.
        squares = jax.tree.unflatten(jax.tree.structure(scaled), jax.tree.leaves(memory))
        scaled = jax.tree.map(lambda step, square: jnp.where(jnp.isinf(square), jnp.nan, step), scaled, squares)
        return cast_like(scale(self.rate, scaled), direction), memory


class AdaGrad(AbstractScaledRate):
    r"""Steps scaled by the root of the sum of squares so far (Duchi, Hazan & Singer 2011).

    With the direction $p$, entry by entry, $c' = c + p^2$ and the step is $\eta p / \sqrt{c' + 10^{-8}}$, $c_0 = 0$.

    Args:
        rate: $\eta$, at least 0; or a pytree of rates that is a prefix of the weights' structure. Differentiable.

    Raises:
        ValueError: if `rate` is a number below 0.
    """

    rate: Hyperparameter = eqx.field(converter=non_negative("rate"), default=0.001)

    def scaling(self) -> optax.GradientTransformation:
        """Optax's; the constant under the root keeps the derivative finite where a gradient is zero."""
        return optax.scale_by_rss(initial_accumulator_value=0.0, eps=1e-8)


class RMSProp(AbstractScaledRate):
    r"""Steps scaled by the root of a running mean of squares (Tieleman & Hinton 2012, lecture 6.5).

    With the direction $p$, entry by entry, $c' = k c + (1 - k) p^2$ and the step is $\eta p / \sqrt{c' + 10^{-6}}$,
    $c_0 = 0$.

    Args:
        rate: $\eta$, at least 0; or a pytree of rates that is a prefix of the weights' structure. Differentiable.
        decay: $k$, at least 0 and below 1. Differentiable.

    Raises:
        ValueError: if `rate` or `decay` is a number out of its range.
    """

    rate: Hyperparameter = eqx.field(converter=non_negative("rate"), default=0.001)
    decay: Hyperparameter = eqx.field(converter=fraction("decay", single=True), default=0.9)

    def scaling(self) -> optax.GradientTransformation:
        """Optax's; the constant under the root keeps the derivative finite where a gradient is zero."""
        return optax.scale_by_rms(decay=self.decay, eps=1e-6, eps_in_sqrt=True)
