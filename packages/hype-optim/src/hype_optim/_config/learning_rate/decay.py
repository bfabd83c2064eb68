"""Rates that shrink by a formula."""

import jax.numpy as jnp
from jaxtyping import PyTree

from .._checks import Hyperparameter, HyperparameterLike, check_prefix, non_negative_number, single
from .._objective import Iterate
from .._tree import scale
from .base import AbstractLearningRate


class Decay(AbstractLearningRate):
    r"""The step length $\eta_0 / (1 + k t)$ in epoch $t$, counted from 0.

    Args:
        rate: $\eta_0$, at least 0; or a pytree of rates that is a prefix of the weights' structure. Differentiable.
        decay: $k$, at least 0. Differentiable.

    Raises:
        ValueError: if `rate` or `decay` is a number below 0.
    """

    rate: Hyperparameter
    decay: Hyperparameter

    def __init__(self, rate: HyperparameterLike = 1.0, decay: HyperparameterLike = 0.1):
        self.rate = non_negative_number("rate", rate)
        self.decay = single("decay", non_negative_number("decay", decay))

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        check_prefix("rate", self.rate, w)
        return ()

    def update(self, direction: PyTree, memory: tuple[()], iterate: Iterate) -> tuple[PyTree, tuple[()]]:
        """The epoch's rate times the direction."""
        shrunk = 1 / (1 + self.decay * iterate.epoch.astype(self.decay.dtype))
        return scale(scale(shrunk, self.rate), direction), memory


class ExpDecay(AbstractLearningRate):
    r"""The step length $\eta_0 e^{-k t}$ in epoch $t$, counted from 0.

    Args:
        rate: $\eta_0$, at least 0; or a pytree of rates that is a prefix of the weights' structure. Differentiable.
        decay: $k$, at least 0. Differentiable.

    Raises:
        ValueError: if `rate` or `decay` is a number below 0.
    """

    rate: Hyperparameter
    decay: Hyperparameter

    def __init__(self, rate: HyperparameterLike = 1.0, decay: HyperparameterLike = 0.1):
        self.rate = non_negative_number("rate", rate)
        self.decay = single("decay", non_negative_number("decay", decay))

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        check_prefix("rate", self.rate, w)
        return ()

    def update(self, direction: PyTree, memory: tuple[()], iterate: Iterate) -> tuple[PyTree, tuple[()]]:
        """The epoch's rate times the direction."""
        shrunk = jnp.exp(-self.decay * iterate.epoch.astype(self.decay.dtype))
        return scale(scale(shrunk, self.rate), direction), memory
