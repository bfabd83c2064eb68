import abc
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from .._clipping import AbstractGradientClipping
from .._learning_rate import AbstractLearningRate
from .._objective import Objective


class AbstractMethod(eqx.Module):
    """Where to go from a point.

    Attributes:
        takes_scaling: whether rates that scale each entry by the gradients it has had, such as `RMSProp`, make sense
            with its directions.
        takes_rate: whether a learning rate and a momentum are applied to its directions.
    """

    takes_scaling: ClassVar[bool] = False
    takes_rate: ClassVar[bool] = True

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
        """The value and the gradient at `w`, the direction to go in, and what it remembers after it.

        The gradient is that of the objective; the direction is found from the clipped one.
        """
