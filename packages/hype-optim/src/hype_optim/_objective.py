"""A function of the weights, how it is differentiated, and what is known of it at one point."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from hype_ad import D, grad, value_and_grad
from jaxtyping import Array, Float, Int, PyTree

Scalar = Float[Array, ""] | D
"""What an objective gives."""


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
        try:
            return value_and_grad(self.function, mode=self.derivative)(w)
        except ValueError as error:
            if "while_loop" in str(error):
                error.add_note('Params(derivative="forward") takes the derivatives inside of the loop in forward mode.')
            raise


class Iterate(NamedTuple):
    """What a learning rate may look at: where the loop is and what it found there."""

    objective: Objective
    w: PyTree
    value: Float[Array, ""]
    gradient: PyTree
    step: Int[Array, ""]
    epoch: Int[Array, ""]


def as_scalar(name: str, value: Any) -> Float[Array, ""]:
    """A real scalar as an array."""
    array = jnp.asarray(value)
    if array.ndim != 0 or not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"`{name}` must return a real scalar, got shape {array.shape} and dtype {array.dtype}; "
            "take a sum or a mean of it."
        )
    return array
