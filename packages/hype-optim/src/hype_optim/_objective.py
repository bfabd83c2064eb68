"""A function of the weights, how it is differentiated, and what is known of it at one point."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hype_ad import grad, value_and_grad
from jaxtyping import Array, Float, Int, PyTree


class Objective(NamedTuple):
    """What the steps of a loop make smaller.

    Attributes:
        function: maps the weights to a scalar.
        derivative: the mode of its derivatives, "reverse" or "forward".
    """

    function: Callable[[PyTree], Float[Array, ""]]
    derivative: Any

    def __call__(self, w: PyTree) -> Float[Array, ""]:
        """Its value."""
        return self.function(w)

    def grad(self, w: PyTree) -> PyTree:
        """Its gradient."""
        return grad(self.function, mode=self.derivative)(w)

    def value_and_grad(self, w: PyTree) -> tuple[Float[Array, ""], PyTree]:
        """Its value and its gradient."""
        return value_and_grad(self.function, mode=self.derivative)(w)


class Iterate(NamedTuple):
    """What a learning rate may look at: where the loop is and what it found there."""

    objective: Objective
    w: PyTree
    value: Float[Array, ""]
    gradient: PyTree
    step: Int[Array, ""]
    epoch: Int[Array, ""]
