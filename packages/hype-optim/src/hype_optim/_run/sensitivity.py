"""How perturbations of a run grow: one tangent is pushed along with it.

A tangent of unit length is pushed through each step by forward mode and made a unit again; the logarithm of the length
that it had is the growth in that step, and its mean estimates the largest Lyapunov exponent (Benettin et al. 1980).
Where that is above 0, a change of a hyperparameter early in the run is a larger one at its end, exponentially so, and
so are hypergradients (Maclaurin et al. 2015, section 4; Metz et al. 2021, "Gradients are not all you need").
"""

from collections.abc import Callable
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.tree import float_dtype, random_like, squared_norm, where, zeros_like
from jaxtyping import Array, Float, PyTree

from .._progress.numbers import with_numbers
from .._transform.stop_gradient import call_stopped


class Sensitivity(eqx.Module):
    """How a small perturbation of the weights, and of what the run remembers, grows from step to step.

    Attributes:
        growth: the mean of `history`, an estimate of the largest Lyapunov exponent. Above 0 the training is chaotic:
            perturbations grow by `exp(growth)` a step, and hypergradients through many steps say little. About 0 or
            below, they fade, or last.
        history: the logarithm of the growth in each step; NaN where no step was made, minus infinity where the
            perturbation vanished. The first steps show what a random direction does until it has turned to the one that
            grows most.
    """

    growth: Float[Array, ""]
    history: Float[Array, " steps"]

    def __repr__(self) -> str:
        """The growth by its value, the history by its shape."""
        return with_numbers(self)


def summary(history: Float[Array, " steps"]) -> Sensitivity:
    """The mean over the steps made, and the history."""
    made = ~jnp.isnan(history)
    count = jnp.maximum(jnp.sum(made), 1).astype(history.dtype)
    return Sensitivity(jnp.sum(jnp.where(made, history, 0)) / count, history)


def first_tangent(state: PyTree) -> PyTree:
    """A direction of unit length in the weights, always the same one, and none in what is remembered."""
    drawn = random_like(jax.random.normal, jax.random.key(0), state.w)
    length = jnp.sqrt(squared_norm(drawn))
    in_w = jax.tree.map(lambda leaf: leaf / length.astype(leaf.dtype), drawn)
    return in_w, zeros_like(eqx.filter((state.memory, state.model_state), eqx.is_inexact_array))


def with_tangent(step: Callable[..., tuple[PyTree, PyTree]]) -> Callable[..., tuple[PyTree, PyTree]]:
    """A step that also pushes a tangent: its carry is a state and a tangent, and its outputs have the growth.

    Neither has a derivative, and nor do they change that of the step.
    """

    def push(state: PyTree, tangent: PyTree, x: PyTree) -> tuple[PyTree, Float[Array, ""]]:
        moving, fixed = eqx.partition((state.w, (state.memory, state.model_state)), eqx.is_inexact_array)

        def move(moving: PyTree) -> PyTree:
            w, (memory, model_state) = eqx.combine(moving, fixed)
            after, _ = step(replace(state, w=w, memory=memory, model_state=model_state), x)
            return eqx.filter((after.w, (after.memory, after.model_state)), eqx.is_inexact_array)

        _, pushed = jax.jvp(move, (moving,), (tangent,))
        squared = squared_norm(pushed)
        usable = (squared > 0) & jnp.isfinite(squared)
        length = jnp.sqrt(jnp.where(usable, squared, 1))
        unit = jax.tree.map(lambda leaf: leaf / length.astype(leaf.dtype), pushed)
        growth = jnp.where(squared > 0, jnp.where(usable, jnp.log(length), jnp.inf), -jnp.inf)
        return where(usable, unit, tangent), growth.astype(float_dtype(state.w))

    def step_and_push(
        carry: tuple[PyTree, PyTree], x: PyTree, mixed: bool = False
    ) -> tuple[tuple[PyTree, PyTree], PyTree]:
        state, tangent = carry
        after, histories = step(state, x, mixed=mixed)
        tangent, growth = call_stopped(push, state, tangent, x)
        made = after.step > state.step
        return (after, tangent), histories._replace(growth=jnp.where(made, growth, jnp.nan))

    return step_and_push
