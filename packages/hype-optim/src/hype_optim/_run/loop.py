"""The one loop that drives every method.

A run is one scan over its steps, and the loop knows nothing of how the scan is differentiated. A step evaluates the
objective on a batch and adds an update to the weights; once it meets a value that is not finite the weights stay where
they are. Only a run that may end early pays for a branch in each step, and where nothing is differentiated it makes no
steps beyond its end. A run with a line search ends where no search decreases the objective, if this is the same for
all steps; and then a step begins with what the search of the step before has evaluated.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from hype_ad.internal.closing import closure_convert
from hype_ad.internal.settled import is_placed, like, settled, varying
from hype_ad.internal.tree import at_least_single, norm, where
from hype_ad.internal.while_loop import anywhere, cond_anywhere, of_each, with_derivative_of
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._adjoint.base import Load, Scan, Step
from .._adjoint.recomputing import first_input
from .._config.constraint.base import NoConstraint
from .._config.learning_rate.line import AbstractLineSearch
from .._config.params import Params
from .._objective import Objective
from .judge import Judge
from .problem import Problem
from .sensitivity import first_tangent, with_tangent
from .state import Evaluation, Place, RunState, initial_memory
from .status import Status
from .step import propose_step


class Histories(NamedTuple):
    """What happened at each step; NaN where none was made."""

    loss: Float[Array, "..."]
    rate: Float[Array, "..."] | None
    valid: Float[Array, "..."] | None
    w: PyTree
    growth: Float[Array, "..."] | None = None


def run_loop(
    problem: Problem,
    state: RunState,
    params: Params,
    judge: Judge,
    report: Callable[[Place, PyTree, Float[Array, ""]], None],
    scan: Scan,
) -> tuple[RunState, Histories]:
    """Make the steps of a run from `state`; the weights judged best are in `judgement.best_w` of what comes back."""
    steps, rate = judge.checks.steps, params.learning_rate
    searches = isinstance(rate, AbstractLineSearch) and problem.is_fixed
    # A linearization for the Hessian evaluates the objective anew, and a tangent is pushed through the whole step.
    is_free = isinstance(params.constraint, NoConstraint)
    reuses = searches and is_free and not (params.method.uses_hessian or params.track_sensitivity)

    def advance(mixed: bool, state: RunState, place: Place, batch: PyTree) -> tuple[RunState, Histories]:
        objective = Objective(
            lambda w: problem.batch_objective(w, state.w, state.model_state, batch), params.derivative, mixed
        )
        epoch = lax.div(place.number, problem.steps_per_epoch)
        value, residual, update, constrained, memory, model_state, rate, found, lost = propose_step(
            objective, state, params, place.number, epoch
        )
        _check_same(value, state.w)
        value = problem.constraint.penalized(value, state.w)
        running = state.running & jnp.isfinite(value)
        status = Status.where(state.running & ~running, Status.DIVERGED, state.status)
        if params.tolerance is not None:
            converged = running & (norm(at_least_single(residual)) <= params.tolerance)
            running, status = running & ~converged, Status.where(converged, Status.CONVERGED, status)
        lost = None if lost is None else lost & running
        is_fresh, evaluation = state.is_fresh, None
        if searches and found is not None:
            failed = running & ~found.improved
            stuck = failed & (state.is_fresh | (not jax.tree.leaves(memory.method)))
            running, status = running & ~stuck, Status.where(stuck, Status.NO_DECREASE, status)
            # Where a direction found with the help of the past leads nowhere, the method starts anew.
            memory, is_fresh = where(failed, initial_memory(state.w, params), memory), failed
            if reuses:
                evaluation = where(running, Evaluation(found.value, found.gradient), state.evaluation)
        if lost is not None:
            status = Status.where(lost, Status.NO_DIRECTION, status)
        # A mask on the update alone, not on the weights, is fused into the addition.
        if constrained is None:
            w = jax.tree.map(lambda w, u: w + jnp.where(running, u, 0).astype(w.dtype), state.w, update)
        else:
            w = where(running, constrained, state.w)
        model_state = where(running, model_state, state.model_state)
        report(place, state.w, value)
        judgement, valid, stop = judge(state, place, value, w, model_state, running)
        histories = Histories(
            loss=jnp.where(state.running, value, jnp.nan),
            rate=None if rate is None else jnp.where(running, rate, jnp.nan).astype(value.dtype),
            valid=valid,
            w=state.w if params.keep_w_history else None,
        )
        return RunState(
            w=w,
            memory=memory,
            step=state.step + running.astype(state.step.dtype),
            key=state.key,
            running=running & ~stop if lost is None else running & ~stop & ~lost,
            status=Status.where(running & stop, Status.EARLY_STOPPED, status),
            judgement=judgement,
            is_fresh=is_fresh,
            model_state=model_state,
            evaluation=evaluation,
        ), histories

    def skip(state: RunState) -> tuple[RunState, Histories]:
        nan = jnp.full_like(state.judgement.best_loss, jnp.nan)
        valid = None if problem.validate is None else nan
        rate = nan if params.method.takes_rate else None
        return state, Histories(loss=nan, rate=rate, valid=valid, w=state.w if params.keep_w_history else None)

    place = lambda done: Place(number=state.step + done, left=steps - 1 - done)
    places = place(jnp.arange(steps))
    load = lambda places: (places, problem.load(places.number))
    if reuses:
        _, batch = jax.tree.map(lambda leaf: leaf[0], load(jax.tree.map(lambda leaf: leaf[:1], places)))
        objective = Objective(
            lambda w: problem.batch_objective(w, state.w, state.model_state, batch), params.derivative
        )
        state = replace(state, evaluation=Evaluation(*objective.value_and_grad(state.w)))
    can_stop = searches or params.tolerance is not None or state.judgement.stopping is not None

    def step(state: RunState, x: tuple[Place, PyTree], mixed: bool = False) -> tuple[RunState, Histories]:
        # A batch of Hessian products shares a linearization of the gradient, which keeps what it must anyway.
        method = params.method
        go_on = partial(advance, mixed and (method.takes_products_in_turn or not method.uses_hessian))
        idle = lambda state, *x: skip(state)
        return cond_anywhere(state.running, go_on, like(go_on, idle), state, *x) if can_stop else go_on(state, *x)

    run = partial(_until_it_ends, scan, skip, place) if can_stop else scan
    if not params.track_sensitivity:
        return run(step, _settled(step, state, places, load), places, load)
    pushed, carry = with_tangent(step), (state, first_tangent(state))
    (state, _), histories = run(pushed, _settled(pushed, carry, places, load), places, load)
    return state, histories


def _check_same(value: Float[Array, ""], w: PyTree) -> None:
    """Raises a ValueError where devices have the same weights and different losses, whose sum JAX would minimize."""
    axes = tuple(varying(value) - varying(w))
    if axes:
        names = axes[0] if len(axes) == 1 else axes
        raise ValueError(
            f"The objective must be the same on all devices of the axis {names!r} of a jax.shard_map, as the weights "
            f"are: return jax.lax.pmean(loss, {names!r}) for one run on all data, or start from "
            f"jax.lax.pcast(w, {names!r}, to='varying') for a run of its own on each device."
        )


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
