"""What a step of a run does: it evaluates, moves the weights, judges them, and says whether and how the run ends.

Once a step meets a value that is not finite the weights stay where they are. Where the objective is the same for all
steps, a run with a line search ends when no search decreases it any more, and a step begins with what the search of the
step before has evaluated.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from hype_ad.internal.settled import varying
from hype_ad.internal.tree import at_least_single, is_within, where
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree

from .._config.constraint.base import NoConstraint
from .._config.learning_rate.line import AbstractLineSearch
from .._config.params import Params
from .._objective import Objective
from .judge import Judge
from .problem import Problem
from .state import Evaluation, Place, RunState, forgotten
from .status import Status
from .step import Point, Proposal, evaluate, propose_step


class Histories(NamedTuple):
    """What happened at each step; NaN where none was made."""

    loss: Float[Array, "..."]
    rate: Float[Array, "..."] | None
    valid: Float[Array, "..."] | None
    w: PyTree
    growth: Float[Array, "..."] | None = None


class Stepper(NamedTuple):
    """What makes the steps of a run, one at a time."""

    problem: Problem
    params: Params
    judge: Judge
    report: Callable[[Place, PyTree, Float[Array, ""]], None]

    @property
    def searches(self) -> bool:
        """Whether line searches go over one objective, so that a run ends where they find no decrease."""
        return isinstance(self.params.learning_rate, AbstractLineSearch) and self.problem.is_fixed

    @property
    def reuses(self) -> bool:
        """Whether a step begins with what the search of the step before has evaluated."""
        params, is_free = self.params, isinstance(self.params.constraint, NoConstraint)
        # A linearization for the Hessian evaluates the objective anew, and a tangent is pushed through the whole step.
        return self.searches and is_free and not (params.method.uses_hessian or params.track_sensitivity)

    def can_stop(self, state: RunState) -> bool:
        """Whether a run may end before its last step, other than by a value that is not finite."""
        return self.searches or self.params.tolerance is not None or state.judgement.stopping is not None

    def evaluated(self, state: RunState, batch: PyTree) -> RunState:
        """The first state of a run that reuses, with the objective and its gradient there: no search has found them."""
        return replace(state, evaluation=Evaluation(*self._objective(state, batch).value_and_grad(state.w)))

    def advance(self, mixed: bool, state: RunState, place: Place, batch: PyTree) -> tuple[RunState, Histories]:
        """Make a step; of a run that has ended it leaves the weights where they are. `mixed` as of an `Objective`."""
        problem, params = self.problem, self.params
        epoch = lax.div(place.number, problem.steps_per_epoch)
        objective = self._objective(state, batch, mixed)
        point = evaluate(objective, state, params.method.uses_hessian)
        _check_same_on_devices(point.value, state.w)
        value = problem.constraint.penalized(point.value, state.w)
        running, status = self._still_running(state, value, point)
        proposal = propose_step(objective, point, state, params, running, place.number, epoch)
        lost = None if proposal.lost is None else proposal.lost & running
        memory, found, evaluation = proposal.memory, proposal.found, None
        search = params.learning_rate
        if self.searches and isinstance(search, AbstractLineSearch) and found is not None:
            failed = running & ~found.improved
            stuck = failed & (search.is_first(state.memory.learning_rate) | (not jax.tree.leaves(memory.method)))
            # Where a direction found with the help of the past leads nowhere, the method starts anew.
            memory = forgotten(failed, state.w, params, memory)
            running, status = running & ~stuck, Status.where(stuck, Status.NO_DECREASE, status)
            if self.reuses:
                evaluation = Evaluation(found.value, found.gradient)
        if lost is not None:
            status = Status.where(lost, Status.NO_DIRECTION, status)
        w = _moved(state.w, proposal, running)
        model_state = where(running, point.model_state, state.model_state)
        self.report(place, state.w, value)
        judgement, valid, stop = self.judge(state, place, value, w, model_state, running)
        rate = None if proposal.rate is None else jnp.where(running, proposal.rate, jnp.nan).astype(value.dtype)
        return RunState(
            w=w,
            memory=memory,
            step=state.step + running.astype(state.step.dtype),
            key=state.key,
            running=running & ~stop if lost is None else running & ~stop & ~lost,
            status=Status.where(running & stop, Status.EARLY_STOPPED, status),
            judgement=judgement,
            model_state=model_state,
            evaluation=evaluation,
        ), self._histories(state, jnp.where(state.running, value, jnp.nan), rate, valid)

    def _still_running(self, state: RunState, value: Float[Array, ""], point: Point) -> tuple[Bool[Array, ""], Status]:
        """Whether a run goes on from a point, and its status: it has diverged there, or converged."""
        running = state.running & jnp.isfinite(value)
        status = Status.where(state.running & ~running, Status.DIVERGED, state.status)
        if self.params.tolerance is None:
            return running, status
        constraint = self.params.constraint
        is_free = isinstance(constraint, NoConstraint)
        residual = point.gradient if is_free else constraint.residual(state.w, point.gradient)
        converged = running & is_within(self.params.tolerance, at_least_single(residual))
        return running & ~converged, Status.where(converged, Status.CONVERGED, status)

    def skip(self, state: RunState) -> tuple[RunState, Histories]:
        """Make no step."""
        nan = jnp.full_like(state.judgement.best_loss, jnp.nan)
        rate, valid = nan if self.params.method.takes_rate else None, None if self.problem.validate is None else nan
        return state, self._histories(state, nan, rate, valid)

    def _objective(self, state: RunState, batch: PyTree, mixed: bool = False) -> Objective:
        function = lambda w: self.problem.batch_objective(w, state.w, state.model_state, batch)
        return Objective(function, self.params.derivative, mixed)

    def _histories(self, state: RunState, loss: Array, rate: Array | None, valid: Array | None) -> Histories:
        return Histories(loss, rate, valid, state.w if self.params.keep_w_history else None)


def _check_same_on_devices(value: Float[Array, ""], w: PyTree) -> None:
    """Raises a ValueError where devices have the same weights and different losses, whose sum JAX would minimize."""
    axes = tuple(varying(value) - varying(w))
    if axes:
        names = axes[0] if len(axes) == 1 else axes
        raise ValueError(
            f"The objective must be the same on all devices of the axis {names!r} of a jax.shard_map, as the weights "
            f"are: return jax.lax.pmean(loss, {names!r}) for one run on all data, or start from "
            f"jax.lax.pcast(w, {names!r}, to='varying') for a run of its own on each device."
        )


def _moved(w: PyTree, proposal: Proposal, running: Bool[Array, ""]) -> PyTree:
    """The weights after a step, if it is made."""
    if proposal.constrained is not None:
        return where(running, proposal.constrained, w)
    # A mask on the update alone, not on the weights, is fused into the addition.
    return jax.tree.map(lambda w, u: w + jnp.where(running, u, 0).astype(w.dtype), w, proposal.update)
