"""Rates that stay or shrink by a formula."""

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.tree import scale
from jaxtyping import Array, Int, PyTree

from ..._hyperparameter.converters import Hyperparameter, non_negative
from .schedule import AbstractSchedule


class Constant(AbstractSchedule):
    r"""The same step length $\eta$ at every step.

    Args:
        rate: $\eta$, at least 0; or a pytree of rates that is a prefix of the weights' structure, such as one per
            layer. Differentiable.

    Raises:
        ValueError: if `rate` is a number below 0.
    """

    rate: Hyperparameter = eqx.field(converter=non_negative("rate"), default=0.001)

    def at(self, step: Int[Array, ""], epoch: Int[Array, ""]) -> PyTree:
        r"""$\eta$."""
        return self.rate


class Decay(AbstractSchedule):
    r"""The step length $\eta_0 / (1 + k t)$ in epoch $t$, counted from 0.

    Args:
        rate: $\eta_0$, at least 0; or a pytree of rates that is a prefix of the weights' structure. Differentiable.
        decay: $k$, at least 0. Differentiable.

    Raises:
        ValueError: if `rate` or `decay` is a number below 0.
    """

    rate: Hyperparameter = eqx.field(converter=non_negative("rate"), default=1.0)
    decay: Hyperparameter = eqx.field(converter=non_negative("decay", single=True), default=0.1)

    def at(self, step: Int[Array, ""], epoch: Int[Array, ""]) -> PyTree:
        r"""$\eta_0 / (1 + k t)$."""
        return scale(1 / (1 + self.decay * epoch.astype(self.decay.dtype)), self.rate)


class ExpDecay(AbstractSchedule):
    r"""The step length $\eta_0 e^{-k t}$ in epoch $t$, counted from 0.

    Args:
        rate: $\eta_0$, at least 0; or a pytree of rates that is a prefix of the weights' structure. Differentiable.
        decay: $k$, at least 0. Differentiable.

    Raises:
        ValueError: if `rate` or `decay` is a number below 0.
    """

    rate: Hyperparameter = eqx.field(converter=non_negative("rate"), default=1.0)
    decay: Hyperparameter = eqx.field(converter=non_negative("decay", single=True), default=0.1)

    def at(self, step: Int[Array, ""], epoch: Int[Array, ""]) -> PyTree:
        r"""$\eta_0 e^{-k t}$."""
        return scale(jnp.exp(-self.decay * epoch.astype(self.decay.dtype)), self.rate)
