"""The one loop that drives every method.

A run is one scan over its steps, and the loop knows nothing of how the scan is differentiated. Only a run that may end
early pays for a branch in each step, and where nothing is differentiated it makes no steps beyond its end.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from hype_ad.internal.closing import closure_convert
from hype_ad.internal.settled import is_placed, like, settled
from hype_ad.internal.while_loop import anywhere, cond_anywhere, of_each, with_derivative_of
from jax import lax
from jaxtyping import Array, Bool, Int, PyTree

from .._adjoint.base import Load, Scan, Step
from .._adjoint.recomputing import first_input
from .sensitivity import first_tangent, with_tangent
from .state import Place, RunState
from .stepper import Histories, Stepper


def run_loop(stepper: Stepper, state: RunState, steps: int, scan: Scan) -> tuple[RunState, Histories]:
    """Make the steps of a run from `state`. The best weights are in `judgement.best_w` of the state that it gives."""
    params = stepper.params
    place = lambda done: Place(number=state.step + done, left=steps - 1 - done)
    places = place(jnp.arange(steps))
    load = lambda places: (places, stepper.problem.load(places.number))
    if stepper.reuses:
        _, batch = jax.tree.map(lambda leaf: leaf[0], load(jax.tree.map(lambda leaf: leaf[:1], places)))
        state = stepper.evaluated(state, batch)
    can_stop = stepper.can_stop(state)

    def step(state: RunState, x: tuple[Place, PyTree], mixed: bool = False) -> tuple[RunState, Histories]:
        # A batch of Hessian products shares a linearization of the gradient, which keeps what it must anyway.
        method = params.method
        go_on = partial(stepper.advance, mixed and (method.takes_products_in_turn or not method.uses_hessian))
        idle = lambda state, *x: stepper.skip(state)
        return cond_anywhere(state.running, go_on, like(go_on, idle), state, *x) if can_stop else go_on(state, *x)

    run = partial(_until_it_ends, scan, stepper.skip, place) if can_stop else scan
    if not params.track_sensitivity:
        return run(step, _settled(step, state, places, load), places, load)
    pushed, carry = with_tangent(step), (state, first_tangent(state))
    (state, _), histories = run(pushed, _settled(pushed, carry, places, load), places, load)
    return state, histories


def _settled(step: Step, carry: PyTree, places: Place, load: Load) -> PyTree:
    if not is_placed((carry, places)):
        return carry
    return settled(lambda carry, x: step(carry, x)[0], carry, first_input(places, load))


def _until_it_ends(
    scan: Scan,
    skip: Callable[[RunState], tuple[RunState, Histories]],
    place: Callable[[Int[Array, " 1"]], Place],
    step: Step,
    carry: PyTree,
    places: Place,
    load: Load,
) -> tuple[PyTree, Histories]:
    """A scan that makes no more steps than it must where nothing is differentiated."""
    steps = places.left.size
    # Computed anew and not read from `places`: a loop that reads no long array can become one small kernel.
    at = lambda i: jax.tree.map(lambda leaf: leaf[0], load(place(i[None])))
    again, step = step, closure_convert(step, carry, at(jnp.array(0)))

    def end_early(carry: PyTree) -> tuple[PyTree, Histories]:
        def advance(reached: tuple[Array, PyTree, Histories]) -> tuple[Array, PyTree, Histories]:
            i, carry, histories = reached
            carry, new = step(_known_to_run(carry), at(i))
            return i + 1, carry, jax.tree.map(lambda all, one: all.at[i].set(one), histories, new)

        def unfinished(reached: tuple[Array, PyTree, Histories]) -> Bool[Array, ""]:
            i, carry, _ = reached
            return (i < steps) & anywhere(_state(carry).running)

        shapes = jax.eval_shape(lambda carry: step(carry, at(jnp.array(0)))[1], carry)
        histories = jax.tree.map(lambda one: jnp.zeros((steps, *one.shape), one.dtype), shapes)
        first = settled(advance, (jnp.array(0), carry, histories))
        made, carry, histories = lax.while_loop(unfinished, advance, first)
        idle = skip(_state(carry))[1]
        if histories.growth is not None:
            idle = idle._replace(growth=jnp.full_like(idle.loss, jnp.nan))
        was_made = lambda one: (jnp.arange(steps) < made).reshape(steps, *(1,) * one.ndim)
        return carry, jax.tree.map(lambda all, one: jnp.where(was_made(one), all, one[None]), histories, idle)

    def either(carry: PyTree, x: PyTree, mixed: bool = False) -> tuple[PyTree, Histories]:
        return again(carry, x, mixed=True) if mixed else step(carry, x)

    whole = lambda carry: scan(either, carry, places, load)
    return with_derivative_of(whole, end_early, carry)


def _known_to_run(carry: PyTree) -> PyTree:
    """The carry where some run of the batch goes on: without a batch it does, and no branch is compiled for another."""
    state = replace(_state(carry), running=of_each(_state(carry).running))
    return state if isinstance(carry, RunState) else (state, *carry[1:])


def _state(carry: PyTree) -> RunState:
    return carry if isinstance(carry, RunState) else carry[0]
