"""How earlier steps carry on."""

import abc

import equinox as eqx
import optax
from jaxtyping import PyTree

from ._checks import Hyperparameter, HyperparameterLike, fraction


class AbstractMomentum(eqx.Module):
    """Turns the step of the moment into the step that is made."""

    @abc.abstractmethod
    def transformation(self) -> optax.GradientTransformation:
        """The Optax transformation of the steps."""

    def init(self, w: PyTree) -> PyTree:
        """The memory before the first step."""
        return self.transformation().init(w)

    def update(self, step: PyTree, memory: PyTree) -> tuple[PyTree, PyTree]:
        """The step to make, and the memory after it."""
        return self.transformation().update(step, memory)


class NoMomentum(AbstractMomentum):
    """Each step stands alone."""

    def transformation(self) -> optax.GradientTransformation:
        """The identity."""
        return optax.identity()


class Momentum(AbstractMomentum):
    r"""Heavy-ball momentum (Polyak 1964): $v' = m v + s$, and $v'$ is the step made.

    Args:
        decay: $m$, at least 0 and below 1. Differentiable.

    Raises:
        ValueError: if `decay` is a number out of its range.
    """

    decay: Hyperparameter

    def __init__(self, decay: HyperparameterLike = 0.9):
        self.decay = fraction("decay", decay)

    def transformation(self) -> optax.GradientTransformation:
        """A trace of the steps."""
        return optax.trace(self.decay)


class Nesterov(AbstractMomentum):
    r"""Nesterov's look-ahead momentum (Sutskever et al. 2013): $v' = m v + s$, and $m v' + s$ is the step made.

    Args:
        decay: $m$, at least 0 and below 1. Differentiable.

    Raises:
        ValueError: if `decay` is a number out of its range.
    """

    decay: Hyperparameter

    def __init__(self, decay: HyperparameterLike = 0.9):
        self.decay = fraction("decay", decay)

    def transformation(self) -> optax.GradientTransformation:
        """A trace of the steps, looked ahead."""
        return optax.trace(self.decay, nesterov=True)
