from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from ._loop import RunState, Task, checks, initial_state, last_point, run_loop
from ._params import Params
from ._point import as_point
from ._range import resolve
from ._result import Result
from ._status import Status
from ._tree import float_dtype


def minimize(
    f: Callable[[PyTree], Float[Array, ""]], w0: PyTree, params: Params | None = None, *, state: RunState | None = None
) -> Result:
    r"""Find a point where a function of one pytree is small.

    The result is differentiable with respect to `w0`, every float of `params` and every array that `f` holds, in
    reverse and forward mode and to any order, in memory as `params.adjoint` says. It works under `jit` and `vmap` and
    inside `f` of another `minimize`.

    Args:
        f: maps a point to a scalar. If it is a pytree, such as `jax.tree_util.Partial(f, x)` or an Equinox module,
            its arrays are arguments of the compiled program, and new ones do not recompile; what a plain function
            closes over is baked in.
        w0: where to start: a `DV`, an array, a dict, a `Params`, an Equinox model, ... Leaves that are not floats are
            left alone.
        params: how to optimize. Its loss, regularization and batch are `train`'s and are not used here; an epoch is
            one step.
        state: the `state` of an earlier result, to go on where that run stopped, for another `params.epochs`, or to
            the end of its schedule; of `w0` only the structure is used then.

    Returns:
        A `Result` whose `w` is of the kind of `w0`.

    Raises:
        TypeError: if `w0` has no float leaf, or complex ones, or if `f` does not return a real scalar.
        ValueError: if `w0` has entries that are known not to be finite, or if a schedule has no step left.
    """
    params = Params() if params is None else params
    w0 = as_point("w0", w0)
    steps = steps_to_make(params, 1, state)
    return _minimize(f, w0, params, state, steps)


@eqx.filter_jit
def _minimize(f: Callable, w0: PyTree, params: Params, state: RunState | None, steps: int) -> Result:
    w, rest = eqx.partition(w0, eqx.is_inexact_array)

    def objective(w: PyTree, batch: tuple[()]) -> Float[Array, ""]:
        return as_scalar("f", f(eqx.combine(w, rest)))

    task = Task(objective, load=lambda numbers: (), steps_per_epoch=1, validate=None)
    return run(task, w, rest, params, None, state, steps, lambda w: objective(w, ()))


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
    first = initial_state(w, params, key) if state is None else _awake(state)
    state, histories = run_loop(task, first, params, steps)
    best, status = last_point(task, state, params)
    loss = objective(best)
    return Result(
        w=eqx.combine(best, rest),
        loss=loss,
        valid_loss=None if task.validate is None else task.validate(best),
        loss_history=histories.loss,
        valid_history=None if histories.valid is None else histories.valid[checks(task, params, steps)],
        w_history=None if histories.w is None else eqx.combine(histories.w, rest),
        status=Status.where(state.running & ~jnp.isfinite(loss), Status.DIVERGED, status),
        steps=state.step,
        state=state,
    )


def _awake(state: RunState) -> RunState:
    """The state of a run that is to go on; one that diverged cannot."""
    diverged = jnp.asarray(state.status == Status.DIVERGED)
    return eqx.tree_at(lambda s: s.running, state, ~diverged)


def as_scalar(name: str, value: Any) -> Float[Array, ""]:
    """A real scalar as an array."""
    array = jnp.asarray(value)
    if array.ndim != 0 or not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"`{name}` must return a real scalar, got shape {array.shape} and dtype {array.dtype}; "
            "take a sum or a mean of it."
        )
    return array
