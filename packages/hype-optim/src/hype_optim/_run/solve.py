"""From a task to a result: what `minimize` and `train` share around the loop."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, PyTree

from ._loop import Histories, RunState, Task, checks, initial_state, last_point, run_loop
from ._objective import Objective
from ._params import Params
from ._range import resolve
from ._report import audible, reporter
from ._result import Result
from ._sensitivity import summary
from ._status import Status
from ._tree import float_dtype, where


def check_state(state: RunState | None, w0: PyTree, params: Params, key: PyTree) -> None:
    """Check that a run of this kind can go on from `state`.

    Raises:
        ValueError: if it is the state of a run with other weights or another method, rate, momentum or early stopping.
    """

    def fresh(w0: PyTree, params: Params) -> RunState:
        w = eqx.filter(w0, eqx.is_inexact_array)
        return initial_state(w, resolve(params, float_dtype(w)), key)

    if state is None:
        return
    expected = eqx.filter_eval_shape(fresh, w0, params)
    shapes = lambda tree: [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in jax.tree.leaves(tree)]
    same = jax.tree.structure(state) == jax.tree.structure(expected)
    if not same or shapes(state) != shapes(expected):
        raise ValueError(
            "`state` is that of a run with weights of other shapes, or with another method, learning rate, momentum or "
            "early stopping, so this run cannot go on from it."
        )


def steps_to_make(params: Params, steps_per_epoch: int, state: RunState | None) -> int:
    """The number of steps of a run, by its epochs or by its learning rate."""
    epochs, steps = params.learning_rate.epochs, params.learning_rate.steps
    scheduled = steps if epochs is None else epochs * steps_per_epoch
    if scheduled is None:
        return params.epochs * steps_per_epoch
    if state is None:
        return scheduled
    if isinstance(state.step, Tracer):
        raise ValueError("To go on with a schedule, `state` must be known: resume outside of `jit`, `grad` and `vmap`.")
    left = scheduled - int(state.step)
    if left <= 0:
        raise ValueError(
            f"`state` is at step {int(state.step)}, the end of its schedule of {scheduled} steps: nothing is left."
        )
    return left


def run(
    task: Task,
    w: PyTree,
    rest: PyTree,
    params: Params,
    key: PyTree,
    state: RunState | None,
    steps: int,
    objective: Callable[[PyTree], Float[Array, ""]],
) -> Result:
    """Run a task from float leaves `w`, or on from `state`, and gather what it results in."""
    params = resolve(params, float_dtype(w))
    first = initial_state(w, params, key) if state is None else _awake(state, params)

    def make_steps(
        state: RunState, params: Params, loud: Bool[Array, ""]
    ) -> tuple[PyTree, tuple[RunState, Histories, Status]]:
        report = reporter(state.w, params, steps, task.steps_per_epoch, loud)
        before = state.step
        state, histories = run_loop(task, state, params, steps, report.step)
        best, status = last_point(task, state, params)
        report.end(histories.loss, histories.valid, state.step - before, status)
        return best, (state, histories, status)

    gradient = Objective(objective, params.derivative).grad
    make = audible(make_steps, first, params)
    best, (state, histories, status), stationarity = params.adjoint.find(make, first, params, gradient)
    loss = objective(best)
    when = checks(task, params, steps)
    return Result(
        w=eqx.combine(best, rest),
        loss=loss,
        valid_loss=None if task.validate is None else task.validate(best),
        loss_history=histories.loss,
        learning_rate_history=histories.rate,
        valid_history=None if histories.valid is None else histories.valid[when],
        valid_steps=None if histories.valid is None else jnp.arange(1, steps + 1)[when],
        w_history=None if histories.w is None else eqx.combine(histories.w, rest),
        status=Status.where(state.running & ~jnp.isfinite(loss), Status.DIVERGED, status),
        steps=state.step,
        state=state,
        stationarity=stationarity,
        sensitivity=None if histories.growth is None else summary(histories.growth),
    )


def _awake(state: RunState, params: Params) -> RunState:
    """The state of a run that is to go on, and has not ended yet; one that diverged cannot.

    One that had stopped early is given its whole patience again: it would stop at its next check.
    """
    diverged = jnp.asarray(state.status == Status.DIVERGED)
    stopped = jnp.asarray(state.status == Status.EARLY_STOPPED)
    old = state.judgement.stopping
    patience = where(stopped, params.early_stopping.init(state.judgement.best_loss.dtype), old)
    return eqx.tree_at(
        lambda s: (s.running, s.status, s.judgement.stopping),
        state,
        (~diverged, Status.where(diverged, Status.DIVERGED, Status.MAX_STEPS), patience),
        is_leaf=lambda x: x is None,
    )
