"""From a problem to a result: what `minimize` and `train` have in common."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.tree import float_dtype
from jaxtyping import PRNGKeyArray, PyTree

from .._adjoint.base import Scan
from .._config.early_stopping import NoEarly
from .._config.params import Params
from .._objective import Objective
from .._progress.report import is_loud, reporter
from .judge import Checks, Judge
from .loop import run_loop
from .problem import Problem
from .result import Result
from .same_problem import judged_by, with_worth
from .sensitivity import summary
from .state import RunState, constrained, initial_state, resumed
from .status import Status
from .stepper import Histories, Stepper


def solve(
    problem: Problem,
    w: PyTree,
    model_state: PyTree,
    static: PyTree,
    params: Params,
    key: PRNGKeyArray | None,
    state: RunState | None,
    steps: int,
) -> Result:
    """Make `steps` steps on a problem from `w`, or on from `state`, and gather what comes of it.

    The weights are `w`, those that are trained, and `static`, all other leaves; `model_state` is the state of the model
    or `None`, and `key` what the problem draws from.
    """
    dtype = np.promote_types(float_dtype(w), problem.kind.dtype)
    if problem.kind.several:
        params = _without_a_best(params)
    elif params.learning_rate.searches and problem.is_fixed and problem.validate is None:
        params = replace(params, return_best=False)  # no step of a search is worse than the one before
    problem = problem.with_losses_in(dtype)
    fresh = initial_state(w, model_state, params, key, dtype)
    begins = state is None
    first = fresh if state is None else judged_by(problem, resumed(state, fresh), fresh)
    checks = Checks(steps, problem.steps_per_epoch, params.validation_interval)
    loud = is_loud(problem, first, params)

    def run(scan: Scan, state: RunState, params: Params) -> tuple[PyTree, tuple[PyTree, RunState, Histories, Status]]:
        if begins:
            state = constrained(state, params.constraint)
        report = reporter(state, params, steps, problem.steps_per_epoch, loud)
        judge = Judge(problem, params, checks)
        after, histories = run_loop(Stepper(problem, params, judge, report.step), state, steps, scan)
        best, model_state, status = judge.last_point(after)
        report.end(histories.loss, histories.valid, after.step - state.step, status)
        return best, (model_state, replace(after, evaluation=None), histories, status)

    gradient = Objective(lambda w: (problem.objective(w, first.model_state), None), params.derivative).grad
    best, (model_state, after, histories, status), stationarity = params.adjoint.solve(run, first, params, gradient)
    loss = problem.total(best, model_state) if params.evaluate else jnp.array(jnp.nan, dtype)
    valid_loss = None
    if problem.validate is not None:
        valid_loss = problem.validate(best, model_state) if params.evaluate else jnp.array(jnp.nan, dtype)
    if params.evaluate:
        status = Status.where(after.running & ~jnp.isfinite(loss), Status.DIVERGED, status)
    valid = histories.valid
    return Result(
        w=eqx.combine(best, static),
        loss=loss,
        valid_loss=valid_loss,
        loss_history=histories.loss,
        learning_rate_history=histories.rate,
        valid_history=None if valid is None else valid[checks.taken],
        valid_steps=None if valid is None else jnp.arange(1, steps + 1)[checks.taken],
        w_history=None if histories.w is None else eqx.combine(histories.w, static),
        status=status,
        steps=after.step,
        state=with_worth(problem, params, after, jax.lax.stop_gradient(loss)),
        stationarity=stationarity,
        model_state=model_state,
        sensitivity=None if histories.growth is None else summary(histories.growth),
    )


def _without_a_best(params: Params) -> Params:
    """The settings of a run with several losses, whose sum says nothing of which weights are good: the last result."""
    refused = {
        "early_stopping": not isinstance(params.early_stopping, NoEarly),
        "learning_rate": params.learning_rate.searches,
        "adjoint": params.adjoint.needs_minimum,
    }
    for name, is_refused in refused.items():
        if is_refused:
            raise ValueError(
                f"`{name}` must not be {type(getattr(params, name)).__name__} with several losses: where each part of "
                "the weights comes to rest their sum has no minimum. Take a rate such as 0.1, and Checkpointed()."
            )
    return replace(params, return_best=False)
