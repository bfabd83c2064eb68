"""What a learning rate is: how far a step goes along its direction."""

import abc
from typing import ClassVar

import equinox as eqx
from jaxtyping import PyTree

from ..._objective import Iterate


class AbstractLearningRate(eqx.Module):
    """How far to go in the direction that a method found.

    Attributes:
        scales_entries: whether it scales each entry by what the entry has been before, as `RMSProp` does.
        searches: whether it looks for the length along the direction, as `Backtrack` does.
    """

    scales_entries: ClassVar[bool] = False
    searches: ClassVar[bool] = False

    @abc.abstractmethod
    def init(self, w: PyTree) -> PyTree:
        """What it remembers before the first step."""

    @abc.abstractmethod
    def update(self, direction: PyTree, memory: PyTree, iterate: Iterate) -> tuple[PyTree, PyTree]:
        """The step to make along `direction`, and what it remembers after it."""


class Unscaled(AbstractLearningRate):
    """The direction is the step: for methods that find both at once."""

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        return ()

    def update(self, direction: PyTree, memory: tuple[()], iterate: Iterate) -> tuple[PyTree, tuple[()]]:
        """The direction itself."""
        return direction, memory
