"""Momentum: how earlier steps carry on."""

import abc
from typing import ClassVar

import equinox as eqx
from hype_ad.internal.tree import add, scale, zeros_like
from jaxtyping import PyTree

from .._hyperparameter.converters import Hyperparameter, check_prefix, fraction


class AbstractMomentum(eqx.Module):
    """Maps the step of the moment to the step that is made.

    Attributes:
        remembers_step: whether its memory is the step made, so that under a constraint it is what is left of that.
    """

    remembers_step: ClassVar[bool] = False

    @abc.abstractmethod
    def init(self, w: PyTree) -> PyTree:
        """The memory before the first step."""

    @abc.abstractmethod
    def update(self, step: PyTree, memory: PyTree) -> tuple[PyTree, PyTree]:
        """The step to make, and the memory after it."""


class NoMomentum(AbstractMomentum):
    """Each step stands alone."""

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        return ()

    def update(self, step: PyTree, memory: tuple[()]) -> tuple[PyTree, tuple[()]]:
        """The step itself."""
        return step, memory


class Momentum(AbstractMomentum):
    r"""Heavy-ball momentum (Polyak 1964): $v' = m v + s$, and $v'$ is the step made.

    Args:
        decay: $m$, at least 0 and below 1; or a pytree of them that is a prefix of the weights' structure, such as one
            per layer. Differentiable.

    Raises:
        ValueError: if `decay` is a number out of its range.
    """

    remembers_step: ClassVar[bool] = True

    decay: Hyperparameter = eqx.field(converter=fraction("decay"), default=0.9)

    def init(self, w: PyTree) -> PyTree:
        """The velocity, zero."""
        check_prefix("decay", self.decay, w)
        return zeros_like(w)

    def update(self, step: PyTree, memory: PyTree) -> tuple[PyTree, PyTree]:
        """The new velocity."""
        velocity = add(scale(self.decay, memory), step)
        return velocity, velocity


class Nesterov(AbstractMomentum):
    r"""Nesterov's look-ahead momentum (Sutskever et al. 2013): $v' = m v + s$, and $m v' + s$ is the step made.

    Args:
        decay: $m$, as in `Momentum`. Differentiable.

    Raises:
        ValueError: if `decay` is a number out of its range.
    """

    decay: Hyperparameter = eqx.field(converter=fraction("decay"), default=0.9)

    def init(self, w: PyTree) -> PyTree:
        """The velocity, zero."""
        check_prefix("decay", self.decay, w)
        return zeros_like(w)

    def update(self, step: PyTree, memory: PyTree) -> tuple[PyTree, PyTree]:
        """The new velocity, looked ahead."""
        velocity = add(scale(self.decay, memory), step)
        return add(scale(self.decay, velocity), step), velocity
