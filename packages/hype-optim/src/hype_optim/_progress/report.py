"""What a run tells: what it is, a progress bar, how it ended, and calls of `Params.logging_function`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from hype_ad.internal import progress
from hype_ad.internal.closing import closure_convert
from hype_ad.internal.text import count, duration
from hype_ad.internal.tree import size
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._config.clipping import NoClip
from .._config.momentum import NoMomentum
from .._config.params import Params
from .._run.problem import Problem
from .._run.state import Place, RunState
from .._run.status import Status
from .describe import describe, reach


class Reporter(NamedTuple):
    """What a loop calls.

    Attributes:
        step: called with a place, weights and a value at each step.
        end: called with the losses of all steps and of all checks, the number of steps made and the status.
    """

    step: Callable[[Place, PyTree, Float[Array, ""]], None]
    end: Callable[[Float[Array, " steps"], Float[Array, " steps"] | None, Int[Array, ""], Status], None]


def is_loud(problem: Problem, state: RunState, params: Params) -> Bool[Array, ""]:
    """Whether a run from `state` reports: not in a derivative, and not in a batch.

    Looked at outside of the run, because `Implicit` and `Truncated` stop gradients at the run's inputs, so that inside
    of it no tangent is to be seen.
    """
    if params.silent and params.logging_function is None:
        return jnp.array(False)
    functions = [f for f in (problem.objective, problem.validate) if f is not None]
    closed = [closure_convert(f, state.w, state.model_state) for f in functions]
    return progress.is_plain((closed, state, params))


def reporter(state: RunState, params: Params, steps: int, steps_per_epoch: int, loud: Bool[Array, ""]) -> Reporter:
    """What tells of a run that makes `steps` steps from `state`, if it is `loud`."""
    silent = Reporter(lambda place, w, value: None, lambda losses, valid, made, status: None)
    bar = silent if params.silent else _bar(state, params, steps, steps_per_epoch, loud)
    log = params.logging_function
    if log is None:
        return bar

    def step(place: Place, w: PyTree, value: Float[Array, ""]) -> None:
        bar.step(place, w, value)
        call = lambda number, w, value: log(int(number), w, float(value))
        progress.tell(progress.due(place.left, steps) & loud, call, place.number, w, value)

    return Reporter(step, bar.end)


def _bar(state: RunState, params: Params, steps: int, steps_per_epoch: int, loud: Bool[Array, ""]) -> Reporter:
    rate = [params.learning_rate] if params.method.takes_rate else []
    choices = [params.method, *rate, params.momentum, params.gradient_clipping]
    choices = [choice for choice in choices if not isinstance(choice, NoMomentum | NoClip)]
    sizes = jax.tree.map(jnp.size, choices)
    numbers = count(size(state.w), "number")
    epochs = f", {count(round(steps / steps_per_epoch, 2), 'epoch')}" if steps_per_epoch > 1 else ""

    def title(reached: PyTree, step: Any, w: Any) -> str:
        how = ", ".join(map(describe, reached, sizes))
        onward = f", on from step {int(step):,}" if step else ""
        return f"Optimizing {numbers} by {how}: {count(steps, 'step')}{epochs}{onward}."

    values = (reach(choices), state.step, jnp.sum(jax.tree.leaves(state.w)[0]))
    bar = progress.Bar(steps, "step", loud, title, *values)

    def step(place: Place, w: PyTree, value: Float[Array, ""]) -> None:
        bar.report(place.left, "", lambda value: f"loss={value:.6g}", value)

    def end(losses: Float[Array, " steps"], valid: Array | None, made: Int[Array, ""], status: Status) -> None:
        last = losses[jnp.max(jnp.where(jnp.isnan(losses), 0, jnp.arange(steps)))]
        checked = None if valid is None else _lowest(valid)

        def summary(seconds: float, made: int, first: Any, last: Any, lowest: Any, checked: Any, status: Any) -> str:
            text = f"{count(made, 'step')} in {duration(seconds)}. "
            text += f"Loss: {first:.6g} at the first step, {last:.6g} at the last, {lowest:.6g} the lowest. "
            text += "" if checked is None else f"Validation loss: {checked:.6g} the lowest. "
            return text + str(Status[status])

        bar.end(made, summary, losses[0], last, _lowest(losses), checked, status)

    return Reporter(step, end)


def _lowest(losses: Float[Array, " steps"]) -> Float[Array, ""]:
    return jnp.min(jnp.where(jnp.isnan(losses), jnp.inf, losses))
