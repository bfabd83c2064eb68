import abc
from typing import ClassVar

import equinox as eqx
from jaxtyping import PyTree

from .._objective import Iterate


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

    @property
    def epochs(self) -> int | None:
        """The number of epochs, where the rate fixes it."""
        return None

    @property
    def steps(self) -> int | None:
        """The number of steps, where the rate fixes it."""
        return None
