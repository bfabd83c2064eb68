"""The one loop that drives every method.

A run is one scan over its steps, and the loop knows nothing of how the scan is differentiated. A step evaluates the
objective on a batch and adds an update to the weights; once it meets a value that is not finite the weights stay where
they are. Only a run that may stop early pays for a branch in each step.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from hype_ad.internal.tree import squared_norm, where
from jax import lax
from jaxtyping import Array, Float, PyTree

from .._adjoint.base import Scan
from .._config.params import Params
from .._objective import Objective
from .judge import Judge
from .problem import Problem
from .sensitivity import first_tangent, with_tangent
from .state import Place, RunState
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
    steps = judge.checks.steps

    def advance(state: RunState, place: Place, batch: PyTree) -> tuple[RunState, Histories]:
        objective = Objective(lambda w: problem.batch_objective(w, batch), params.derivative)
        epoch = place.number // problem.steps_per_epoch
        value, residual, update, constrained, memory, rate = propose_step(
            objective, state.w, state.memory, params, place.number, epoch
        )
        value = problem.constraint.penalized(value, state.w)
        running = state.running & jnp.isfinite(value)
        status = Status.where(state.running & ~running, Status.DIVERGED, state.status)
        if params.tolerance is not None:
            converged = running & (squared_norm(residual) <= params.tolerance**2)
            running, status = running & ~converged, Status.where(converged, Status.CONVERGED, status)
        # A mask on the update alone, not on the weights, is fused into the addition.
        if constrained is None:
            w = jax.tree.map(lambda w, u: w + jnp.where(running, u, 0).astype(w.dtype), state.w, update)
        else:
            w = where(running, constrained, state.w)
        report(place, state.w, value)
        judgement, valid, stop = judge(state, place, value, w, running)
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
            running=running & ~stop,
            status=Status.where(running & stop, Status.EARLY_STOPPED, status),
            judgement=judgement,
        ), histories

    def skip(state: RunState, place: Place, batch: PyTree) -> tuple[RunState, Histories]:
        nan = jnp.full_like(state.judgement.best_loss, jnp.nan)
        valid = None if problem.validate is None else nan
        rate = nan if params.method.takes_rate else None
        return state, Histories(loss=nan, rate=rate, valid=valid, w=state.w if params.keep_w_history else None)

    can_stop = params.tolerance is not None or state.judgement.stopping is not None

    def step(state: RunState, x: tuple[Place, PyTree]) -> tuple[RunState, Histories]:
        return lax.cond(state.running, advance, skip, state, *x) if can_stop else advance(state, *x)

    done = jnp.arange(steps)
    places = Place(number=state.step + done, left=steps - 1 - done)
    load = lambda places: (places, problem.load(places.number))
    if not params.track_sensitivity:
        return scan(step, state, places, load)
    (state, _), histories = scan(with_tangent(step), (state, first_tangent(state)), places, load)
    return state, histories
