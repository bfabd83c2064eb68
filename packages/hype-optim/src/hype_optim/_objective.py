"""A function of the weights, how it is differentiated, and what a step knows of it at one point."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from hype_ad import D, grad, value_and_grad
from jaxtyping import Array, Float, Int, PyTree

Scalar = Float[Array, ""] | D
"""What an objective returns."""

Derivative = Literal["reverse", "forward"]
"""The mode of the derivatives inside of a loop."""


class Objective(NamedTuple):
    """A scalar function of the weights, and the mode of its derivatives.

    Attributes:
        function: maps the weights to a scalar.
        derivative: "reverse" or "forward".
    """

    function: Callable[[PyTree], Float[Array, ""]]
    derivative: Derivative

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
    """What a method and a learning rate are given: the point that a step starts from, and what is known there.

    Attributes:
        objective: the function to minimize; in training on the step's batch, with the penalty.
        w: the weights.
        value: the objective there.
        gradient: its gradient there.
        clipped: the gradient after `Params.gradient_clipping`.
        hessian_product: maps a direction to the Hessian times it. For a method with `uses_hessian` the gradient is
            linearized once for all products; for others each product evaluates it anew.
        step: the number of the step, from 0.
        epoch: the number of the epoch, from 0.
    """

    objective: Objective
    w: PyTree
    value: Float[Array, ""]
    gradient: PyTree
    clipped: PyTree
    hessian_product: Callable[[PyTree], PyTree]
    step: Int[Array, ""]
    epoch: Int[Array, ""]


def evaluate(
    objective: Objective,
    w: PyTree,
    clip: Callable[[PyTree], PyTree],
    step: Int[Array, ""],
    epoch: Int[Array, ""],
    *,
    hessian: bool,
) -> Iterate:
    """Evaluate an objective and its gradient at `w`, once, and with `hessian` linearize the gradient there."""
    if hessian:
        (value, gradient), push = jax.linearize(objective.value_and_grad, w)
        product = lambda v: push(v)[1]
    else:
        value, gradient = objective.value_and_grad(w)
        product = lambda v: jax.jvp(objective.grad, (w,), (v,))[1]
    return Iterate(objective, w, value, gradient, clip(gradient), product, step, epoch)


def as_scalar(name: str, value: Any) -> Float[Array, ""]:
    """A real scalar as an array.

    Raises:
        TypeError: if it is something else.
    """
    array = jnp.asarray(value)
    if array.ndim != 0 or not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"`{name}` must return a real scalar, got shape {array.shape} and dtype {array.dtype}; "
            "take a sum or a mean of it."
        )
    return array
