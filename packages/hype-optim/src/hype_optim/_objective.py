"""A function of the weights, how it is differentiated, and what a step knows of it at one point."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad import AbstractTensor, D, value_and_grad
from hype_ad.internal import mixed_mode
from hype_ad.internal.mode import Mode
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._config.constraint.base import AbstractConstraint, NoConstraint

Scalar = Float[Array, ""] | D
"""What an objective returns."""

Losses = Scalar | tuple | list | dict
"""The same, or one for each part of the weights."""


class Objective(NamedTuple):
    """A scalar function of the weights, and the mode of its derivatives.

    Attributes:
        function: maps the weights to a scalar and to what else it gives, such as the model's next state, or `None`.
        derivative: "reverse" or "forward".
        mixed: whether the derivative of its gradient is in mixed mode where it can be, forward over reverse where it is
            transposed: for steps that are recomputed one by one, where that takes less memory and time.
    """

    function: Callable[[PyTree], tuple[Float[Array, ""], PyTree]]
    derivative: Mode
    mixed: bool = False

    def __call__(self, w: PyTree) -> Float[Array, ""]:
        """Its value."""
        return self.function(w)[0]

    def unmixed(self) -> "Objective":
        """The same by derivatives of one mode."""
        return self._replace(mixed=False)

    def is_mixed(self, w: PyTree) -> bool:
        """Whether the derivative of its gradient is in mixed mode."""
        return self._may_mix(w) and mixed_mode.is_possible(self, w)

    def _may_mix(self, w: PyTree) -> bool:
        return self.mixed and self.derivative == "reverse" and not jax.tree.leaves(jax.eval_shape(self.function, w)[1])

    def hessian_product(self, w: PyTree, v: PyTree) -> PyTree:
        """The Hessian at `w` times `v`, with a derivative in mixed mode: that of the gradient of a slope along `v`."""
        slope = Objective(lambda w: (jax.jvp(self, (w,), (v,))[1], None), self.derivative, self.mixed)
        return slope.grad(w)

    def grad(self, w: PyTree) -> PyTree:
        """Its gradient."""
        return self.value_and_grad(w)[1]

    def value_and_grad(self, w: PyTree) -> tuple[Float[Array, ""], PyTree]:
        """Its value and its gradient."""
        return self.evaluate(w)[0]

    def evaluate(self, w: PyTree) -> tuple[tuple[Float[Array, ""], PyTree], PyTree]:
        """Its value and its gradient, and what else the function gives."""
        try:
            if self._may_mix(w):
                plain = value_and_grad(self, mode=self.derivative)
                return mixed_mode.value_and_grad(self, plain, w), None
            (value, rest), gradient = value_and_grad(self.function, has_aux=True, mode=self.derivative)(w)
            return (value, gradient), rest
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
        running: whether the step is made: nothing need be looked for where it is not.
        natural: whether the direction is a step in itself, as the method says; for rates.
        constraint: what the weights are brought back to after the step; for searches.
    """

    objective: Objective
    w: PyTree
    value: Float[Array, ""]
    gradient: PyTree
    clipped: PyTree
    hessian_product: Callable[[PyTree], PyTree]
    step: Int[Array, ""]
    epoch: Int[Array, ""]
    running: Bool[Array, ""]
    natural: Bool[Array, ""] | bool = False
    constraint: AbstractConstraint = NoConstraint()


class Kind(NamedTuple):
    """What an objective gives: one loss or several, and their dtype."""

    several: bool
    dtype: Any


def kind_of(name: str, losses: Callable[[PyTree], Any], w: PyTree) -> Kind:
    """The kind of an objective, which is checked and not run."""
    several = []

    def recorded(w: PyTree) -> Any:
        found = losses(w)
        several.append(_is_several(found))
        return found

    dtype = jax.eval_shape(lambda w: total_loss(name, recorded, w), w).dtype
    return Kind(several[0], dtype)


def _is_several(losses: Any) -> bool:
    """Whether an objective has given a loss for each part of the weights."""
    is_module = isinstance(losses, eqx.Module) and not isinstance(losses, AbstractTensor)
    return is_module or (isinstance(losses, tuple | list | dict) and bool(losses))


def total_loss(name: str, losses: Callable[[PyTree], Any], w: PyTree, held: PyTree = None) -> Float[Array, ""]:
    """What `losses` gives at `w`, if that is one loss; of several, each of which a part of `w` makes small, their sum.

    With `held`, a loss changes with its own part of `w` alone, and all other parts are those of `held`. So the gradient
    in `w` at `held = w` has for each part that of its own loss, and derivatives of that gradient see all parts.
    """
    several = losses(w)
    if not _is_several(several):
        return as_scalar(name, several)
    values, structure = jax.tree.flatten(several)
    try:
        numbers = jax.tree.unflatten(structure, range(len(values)))
        owner = jax.tree.map(lambda k, part: jax.tree.map(lambda _: k, part), numbers, w)
    except ValueError:
        return as_scalar(name, several)  # which says what it must be
    if held is not None:
        own = lambda k: jax.tree.map(lambda i, new, old: new if i == k else old, owner, w, held)
        values = [jax.tree.leaves(losses(own(k)))[k] for k in range(len(values))]
    return sum(as_scalar(name, value) for value in values)  # pyright: ignore[reportReturnType]


def as_scalar(name: str, value: Any) -> Float[Array, ""]:
    """A real scalar as an array."""
    if isinstance(value, eqx.Module) and not isinstance(value, AbstractTensor):
        value = jax.tree.leaves(value)
    if value is None or isinstance(value, tuple | list | dict):
        got = f"a {type(value).__name__} of {len(value)}" if value else repr(value)
        raise TypeError(
            f"`{name}` must return a real scalar, got {got}; it must return that and nothing else, or one for each "
            "part of the weights in their upper structure."
        )
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must return a real scalar, got {value!r}.") from error
    if array.ndim != 0 or not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"`{name}` must return a real scalar, got shape {array.shape} and dtype {array.dtype}; "
            + ("take a sum or a mean of it." if array.ndim else "make it a float.")
        )
    return array
