"""The one loop that drives every method.

A run is a scan over its steps, brought by the adjoint, so the loop knows nothing of how it is differentiated. A step
evaluates the objective on a batch and adds an update to the weights; once it meets a value that is not finite the
weights stay where they are. At intervals the weights are judged, by the training losses just seen or by a validation
loss, and the best are kept. Only a run that may stop early pays for a branch in each step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._objective import Objective
from ._params import Params
from ._sensitivity import first_tangent, followed
from ._status import Status
from ._step import Memory, initial_memory, propose_step
from ._tree import all_finite, float_dtype, squared_norm, where


class Task(NamedTuple):
    """What a loop optimizes.

    Attributes:
        objective: maps the weights and a batch to a scalar.
        load: maps step numbers, shape `(n,)`, to their batches, with leading axis n.
        steps_per_epoch: the number of batches in an epoch.
        validate: maps the weights to their validation loss, if there are validation data.
        examples: how many each batch of an epoch has, if they differ.
    """

    objective: Callable[[PyTree, Any], Float[Array, ""]]
    load: Callable[[Int[Array, " n"]], PyTree]
    steps_per_epoch: int
    validate: Callable[[PyTree], Float[Array, ""]] | None
    examples: Float[Array, " steps_per_epoch"] | None = None


class Place(NamedTuple):
    """Where in the run a step is: its number, and how many are left after it."""

    number: Int[Array, "..."]
    left: Int[Array, "..."]


class Judgement(eqx.Module):
    """The best weights seen, and the losses that they and the next ones are judged by."""

    best_w: PyTree
    best_loss: Float[Array, ""]
    losses: Float[Array, ""]  # the sum of the training losses, over batches or examples, since the last judgement
    stopping: PyTree


class RunState(eqx.Module):
    """All that a run needs to go on."""

    w: PyTree
    memory: Memory
    step: Int[Array, ""]
    key: PyTree
    running: Bool[Array, ""]
    status: Status
    judgement: Judgement


class Histories(NamedTuple):
    """What happened at each step."""

    loss: Float[Array, " steps"]
    rate: Float[Array, " steps"] | None
    valid: Float[Array, " checks"] | None
    w: PyTree
    growth: Float[Array, " steps"] | None = None


def initial_state(w: PyTree, params: Params, key: PyTree) -> RunState:
    """The state before the first step. `w` has float leaves only, and `params` no ranges."""
    dtype = float_dtype(w)
    return RunState(
        w=w,
        memory=initial_memory(w, params),
        step=jnp.zeros((), int),
        key=key,
        running=jnp.array(True),
        status=Status.MAX_STEPS,
        judgement=Judgement(w, jnp.array(jnp.inf, dtype), jnp.array(0, dtype), params.early_stopping.init(dtype)),
    )


def run_loop(
    task: Task, state: RunState, params: Params, steps: int, report: Callable[..., None]
) -> tuple[RunState, Histories]:
    """Make `steps` steps from `state`; the weights judged best are in `judgement.best_w` of what comes back."""
    judge = _judge(task, params, steps)

    def advance(state: RunState, place: Place, batch: PyTree) -> tuple[RunState, Histories]:
        objective = Objective(lambda w: task.objective(w, batch), params.derivative)
        value, gradient, update, memory, rate = propose_step(
            objective, state.w, state.memory, params, place.number, place.number // task.steps_per_epoch
        )
        running = state.running & jnp.isfinite(value)
        status = Status.where(state.running & ~running, Status.DIVERGED, state.status)
        if params.tolerance is not None:
            converged = running & (squared_norm(gradient) <= params.tolerance**2)
            running, status = running & ~converged, Status.where(converged, Status.CONVERGED, status)
        # A mask on the update alone, not on the weights, is fused into the addition.
        w = jax.tree.map(lambda w, u: w + jnp.where(running, u, 0).astype(w.dtype), state.w, update)
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

    def rest(state: RunState, place: Place, batch: PyTree) -> tuple[RunState, Histories]:
        nan = jnp.full_like(state.judgement.best_loss, jnp.nan)
        valid = None if task.validate is None else nan
        rate = nan if params.method.takes_rate else None
        return state, Histories(loss=nan, rate=rate, valid=valid, w=state.w if params.keep_w_history else None)

    can_stop = params.tolerance is not None or state.judgement.stopping is not None

    def step(state: RunState, x: tuple[Place, PyTree]) -> tuple[RunState, Histories]:
        return lax.cond(state.running, advance, rest, state, *x) if can_stop else advance(state, *x)

    done = jnp.arange(steps)
    places = Place(number=state.step + done, left=steps - 1 - done)
    load = lambda places: (places, task.load(places.number))
    if not params.track_sensitivity:
        return params.adjoint.scan(step, state, places, load)
    (state, _), histories = params.adjoint.scan(followed(step), (state, first_tangent(state)), places, load)
    return state, histories


def last_point(task: Task, state: RunState, params: Params) -> tuple[PyTree, Status]:
    """The weights that a run results in, and how it ended."""
    if not params.return_best:
        return state.w, state.status
    if not _judged_by_value(task):
        return where(jnp.isfinite(state.judgement.best_loss), state.judgement.best_w, state.w), state.status
    batch = jax.tree.map(lambda leaf: leaf[0], task.load(state.step[None]))
    last = lax.stop_gradient(task.objective(state.w, batch))
    best = state.judgement.best_loss
    w = where((last <= best) | jnp.isinf(best), state.w, state.judgement.best_w)
    return w, Status.where(state.running & ~jnp.isfinite(last), Status.DIVERGED, state.status)


def _judged_by_value(task: Task) -> bool:
    """Whether the value that a step computes is all there is to know of the weights before the step."""
    return task.steps_per_epoch == 1 and task.validate is None


def _judge(task: Task, params: Params, steps: int) -> Callable[..., tuple[Judgement, Any, Any]]:
    """What finds the best weights of a run of `steps` steps, and says when to give up.

    Where a step's value is not the whole objective, weights are judged at the end of an epoch, by their validation
    loss or by the mean of the epoch's training losses. Epochs are counted from the end, so that the last step ends
    one.
    """
    period = task.steps_per_epoch
    window = min(period, steps)
    by_value = _judged_by_value(task)
    never = jnp.array(False)
    counts = jnp.ones(1) if task.examples is None else task.examples
    examples = lambda numbers: jnp.take(counts, numbers % period)

    def judge(
        state: RunState, place: Place, value: Float[Array, ""], w: PyTree, running: Bool[Array, ""]
    ) -> tuple[Judgement, Float[Array, ""] | None, Bool[Array, ""]]:
        old = state.judgement
        nothing = None if task.validate is None else jnp.full_like(old.best_loss, jnp.nan)
        if not params.return_best and old.stopping is None and task.validate is None:
            return old, nothing, never
        value = lax.stop_gradient(value)
        counted = value if task.examples is None else value * examples(place.number).astype(value.dtype)
        losses = jnp.where(place.left % period == window - 1, counted, old.losses + counted)
        whole = place.left + window <= steps  # false in what is left over before the first whole epoch
        check = whole & (place.left % (period * params.validation_interval) == 0)

        def decide(old: Judgement) -> tuple[Judgement, Float[Array, ""] | None, Bool[Array, ""]]:
            training = losses / window
            if task.examples is not None:  # a batch of few examples must not decide for all
                training = losses / jnp.sum(examples(place.number - jnp.arange(window))).astype(losses.dtype)
            valid = None if task.validate is None else task.validate(w)
            judged = training if valid is None else lax.stop_gradient(valid)
            best_w, best_loss, stopping, stop = old.best_w, old.best_loss, old.stopping, never
            if params.return_best:
                better = running & (judged < best_loss) & (True if by_value else all_finite(w))
                best_w, best_loss = where(better, (state.w if by_value else w, judged), (best_w, best_loss))
            if stopping is not None:
                after, stop = params.early_stopping.check(
                    stopping, training, None if valid is None else judged, params.improvement_threshold
                )
                stopping, stop = where(check, after, stopping), check & stop
            valid = None if valid is None else jnp.where(state.running, valid, jnp.nan)
            return Judgement(best_w, best_loss, losses, stopping), valid, stop

        if by_value:
            return decide(old)
        now = check if task.validate is not None else whole & (place.left % period == 0)
        keep = Judgement(old.best_w, old.best_loss, losses, old.stopping)
        return lax.cond(now, decide, lambda _: (keep, nothing, never), old)

    return judge


def checks(task: Task, params: Params, steps: int) -> slice:
    """Which of `steps` steps are checks."""
    every = task.steps_per_epoch * params.validation_interval
    first = (steps - 1) % every
    return slice(first if first + 1 >= min(task.steps_per_epoch, steps) else first + every, None, every)
