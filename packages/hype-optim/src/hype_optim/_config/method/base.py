"""What a method is: what finds the search direction of a step."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Bool, PyTree

from ..._objective import Iterate
from ..learning_rate.base import AbstractLearningRate


class AbstractMethod(eqx.Module):
    """The search direction of a step.

    Attributes:
        takes_scaling: whether rates that scale each entry by the gradients it has had, such as `RMSProp`, make sense
            with its directions.
        takes_rate: whether a learning rate and a momentum are applied to its directions.
        uses_hessian: whether it asks for several products with the Hessian, so that linearizing once pays.
        takes_products_in_turn: whether it asks for one of them after the other, and not for a batch of them, so that
            mixed mode pays.
        acting: gives the part of what it remembers that must be as before the first step for all of it to act so;
            `None` if that is all of it.
    """

    takes_scaling: ClassVar[bool] = False
    takes_rate: ClassVar[bool] = True
    uses_hessian: ClassVar[bool] = False
    takes_products_in_turn: ClassVar[bool] = False
    acting: ClassVar[Callable[[Any], PyTree] | None] = None

    @abc.abstractmethod
    def default_learning_rate(self) -> AbstractLearningRate:
        """The rate used where none is given."""

    @abc.abstractmethod
    def init(self, w: PyTree) -> PyTree:
        """What it remembers before the first step."""

    @abc.abstractmethod
    def direction(self, iterate: Iterate, memory: PyTree) -> tuple[PyTree, PyTree]:
        """The direction to go in, found from the clipped gradient, and what it remembers after it."""

    @abc.abstractmethod
    def is_step(self, memory: PyTree) -> Bool[Array, ""]:
        """Whether the direction that left this memory is a step in itself, so that a search tries the length 1 first.

        As those of Newton's methods are, and minus the gradient, whose length depends on units, is not.
        """
