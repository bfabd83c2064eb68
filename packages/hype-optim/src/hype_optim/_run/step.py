"""One step: gradient, clip, direction, rate, momentum, constraint."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from hype_ad.internal.tree import add, largest, quotient, square_root, squared_norm, subtract
from hype_ad.internal.while_loop import with_derivative_of
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._config.constraint.base import NoConstraint
from .._config.learning_rate.line import AbstractLineSearch, Found
from .._config.learning_rate.schedule import AbstractSchedule
from .._config.params import Params
from .._objective import Iterate, Objective
from .state import Memory, RunState

_SAMPLE = 64


class Point(NamedTuple):
    """What is known of the objective at the weights from which a step begins."""

    value: Float[Array, ""]
    gradient: PyTree
    hessian_product: Callable[[PyTree], PyTree]
    model_state: PyTree  # after an evaluation


class Proposal(NamedTuple):
    """The step that a run could make from a point."""

    update: PyTree  # what to add to the weights
    constrained: PyTree | None  # the weights after the step, if a constraint says where they are
    memory: Memory  # after the step
    rate: Float[Array, ""] | None  # the length of the step, before momentum, over that of its direction
    found: Found | None  # by a line search
    lost: Bool[Array, ""] | None  # whether the direction is not finite, where that is not seen by the next value


def evaluate(objective: Objective, state: RunState, uses_hessian: bool) -> Point:
    """The objective at the weights of `state`, which may know it already."""
    w, model_state = state.w, state.model_state
    if uses_hessian:
        known, push, model_state = jax.linearize(objective.unmixed().evaluate, w, has_aux=True)
        linear = lambda v: push(v)[1]
        (value, gradient), product = known, linear
        if objective.is_mixed(w):  # then derivatives alone are in mixed mode: other runs compute what they always do
            value, gradient = with_derivative_of(objective.value_and_grad, lambda w: known, w)
            product = lambda v: with_derivative_of(lambda v: objective.hessian_product(w, v), linear, v)
    else:
        known = state.evaluation
        if known is None:
            (value, gradient), model_state = objective.evaluate(w)
        else:
            value, gradient = known.value, known.gradient
        product = lambda v: jax.jvp(objective.grad, (w,), (v,))[1]
    return Point(value, gradient, product, model_state)


def propose_step(
    objective: Objective,
    point: Point,
    state: RunState,
    params: Params,
    running: Bool[Array, ""],
    step: Int[Array, ""],
    epoch: Int[Array, ""],
) -> Proposal:
    """The step from `state`, of this number and in this epoch; not looked for far if the run has ended."""
    method, w, memory = params.method, state.w, state.memory
    value, gradient, product, _ = point
    clipped = params.gradient_clipping(gradient)
    iterate = Iterate(objective, w, value, gradient, clipped, product, step, epoch, running)
    direction, of_method = method.direction(iterate, memory.method)
    iterate = iterate._replace(natural=method.is_step(of_method), constraint=params.constraint)
    rate, found = params.learning_rate, None
    if isinstance(rate, AbstractLineSearch):
        last = memory.learning_rate
        found = rate.search(direction, last, iterate)
        scaled, of_rate = found.step, jnp.where(running, found.memory.astype(last.dtype), last)
    else:
        scaled, of_rate = rate.update(direction, memory.learning_rate, iterate)
    update, of_momentum = params.momentum.update(scaled, memory.momentum)
    lengths = rate.at(step, epoch) if isinstance(rate, AbstractSchedule) else None
    constrained = None
    if not isinstance(params.constraint, NoConstraint):
        # A search has found the point itself, but for the rounding of the difference and the sum.
        length = _length_for_proximal(params, lengths) if found is None else jnp.zeros(())
        constrained = params.constraint.proximal(add(w, update), length)
        of_momentum = subtract(constrained, w) if params.momentum.remembers_step else of_momentum
    # With weights of several dtypes, hyperparameters in the widest of them widen what they touch.
    as_before = lambda new, old: new if new.dtype == old.dtype else new.astype(old.dtype)
    after = jax.tree.map(as_before, Memory(of_method, of_rate, of_momentum), memory)
    length = _effective_rate(scaled, direction, lengths) if method.takes_rate else None
    lost = ~jnp.isfinite(largest(direction)) if method.uses_hessian or found is not None else None
    return Proposal(update, constrained, after, length, found, lost)


def _length_for_proximal(params: Params, lengths: PyTree) -> PyTree:
    """The length of a step as a schedule says it; any, where there is none: a set needs no length."""
    length = jnp.ones(()) if lengths is None else lengths
    if not params.constraint.entrywise and not _is_one_number(length):
        name = type(params.constraint).__name__
        raise ValueError(
            f"`learning_rate` must be one number for all weights with the constraint {name}, got {length}."
        )
    return length


def _is_one_number(lengths: PyTree) -> bool:
    return [leaf.shape for leaf in jax.tree.leaves(lengths)] == [()]


def _effective_rate(step: PyTree, direction: PyTree, lengths: PyTree) -> Float[Array, ""]:
    """How many times longer a step is than its direction.

    That is what a schedule says, if it says one number; else it is found from an even sample of the entries of each
    leaf, and is 0 where the direction vanishes. All entries would cost a tenth of a plain step; of a leaf that is
    sharded along an explicit axis all are taken, as none of them is to be moved.
    """
    if _is_one_number(lengths):
        return jax.tree.leaves(lengths)[0]

    def sample(leaf: Array) -> Array:
        is_sharded = any(name is not None for name in jax.typeof(leaf).sharding.spec)
        return leaf if is_sharded else leaf.ravel()[:: max(1, leaf.size // _SAMPLE)]

    steps, directions = (square_root(squared_norm(jax.tree.map(sample, tree))) for tree in (step, direction))
    return quotient(steps, directions)
