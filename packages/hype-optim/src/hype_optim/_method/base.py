import abc

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from .._clipping import AbstractGradientClipping
from .._learning_rate import AbstractLearningRate
from .._objective import Objective


class AbstractMethod(eqx.Module):
    """Where to go from a point."""

    @abc.abstractmethod
    def default_learning_rate(self) -> AbstractLearningRate:
        """The rate used where none is given."""

    @abc.abstractmethod
    def init(self, w: PyTree) -> PyTree:
        """What it remembers before the first step."""

    @abc.abstractmethod
    def direction(
        self, objective: Objective, w: PyTree, clip: AbstractGradientClipping, memory: PyTree
    ) -> tuple[Float[Array, ""], PyTree, PyTree, PyTree]:
        """The value at `w`, the clipped gradient, the direction to go in, and what it remembers after it."""
