"""What a run tells while it goes on: what it is, a progress bar, how it ended, and calls of a function of the user's.

A callback out of a compiled loop costs a fifth of a millisecond, so there are about twenty a run, however long it is.
One compiled program may run many times, and in several threads at once, so each run begins by taking a number, which
its reports carry. All is silent in a derivative, and in a batch of runs.
"""

import itertools
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.tree import size
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree
from tqdm import tqdm

from .._config.clipping import NoClip
from .._config.momentum import NoMomentum
from .._config.params import Params
from .._run.problem import Problem
from .._run.status import Status
from .._transform.differentiated import is_undifferentiated
from .describe import describe, reach

REPORTS = 20
_MOST_RUNS = 100  # that are remembered: one that raises an error has no end


class Reporter(NamedTuple):
    """What a loop calls.

    Attributes:
        step: called with a place, weights and a value at each step.
        end: called with the losses of all steps and of all checks, the number of steps made and the status.
    """

    step: Callable[..., None]
    end: Callable[..., None]


def is_loud(problem: Problem, state: PyTree, params: Params) -> Bool[Array, ""]:
    """Whether a run from `state` reports: not while it is being differentiated.

    Looked at outside of the run, because `Implicit` and `Truncated` stop gradients at the run's inputs, so that inside
    of it no tangent is to be seen.
    """
    if params.silent and params.logging_function is None:
        return jnp.array(False)
    functions = [f for f in (problem.objective, problem.validate) if f is not None]
    return is_undifferentiated(([eqx.filter_closure_convert(f, state.w) for f in functions], state, params))


def reporter(w: PyTree, params: Params, steps: int, steps_per_epoch: int, loud: Bool[Array, ""]) -> Reporter:
    """What tells of a run of `steps` steps over weights such as `w`, if it is `loud`."""
    console = None if params.silent else _Console(size(w), steps, steps_per_epoch)
    log = params.logging_function
    if console is None and log is None:
        return Reporter(lambda place, w, value: None, lambda *losses_made_status: None)
    run = jnp.array(-1, jnp.int32) if console is None else _begin(console, params)

    def listen(run: Any, number: Any, left: Any, w: Any, value: Any) -> None:
        if console is not None:
            console.show(int(run), int(number), steps - int(left), float(value))
        if log is not None:
            log(int(number), w, float(value))

    every = max(1, steps // REPORTS)
    tell = _silent_when_transformed(listen)

    def step(place: Any, w: PyTree, value: Float[Array, ""]) -> None:
        seen = w if log is not None else ()
        due = (place.left % every == 0) | (place.left == steps - 1)
        lax.cond(due & loud, lambda: tell(run, place.number, place.left, seen, value), lambda: ())

    def end(losses: Float[Array, " steps"], valid: Array | None, made: Int[Array, ""], status: Status) -> None:
        if console is not None:
            last = losses[jnp.max(jnp.where(jnp.isnan(losses), 0, jnp.arange(steps)))]
            checked = None if valid is None else _lowest(valid)
            tell_end = _silent_when_transformed(console.end)
            said = (run, made, losses[0], last, _lowest(losses), checked, status)
            lax.cond(loud, lambda: tell_end(*said), lambda: ())

    return Reporter(step, end)


def _lowest(losses: Float[Array, " steps"]) -> Float[Array, ""]:
    return jnp.min(jnp.where(jnp.isnan(losses), jnp.inf, losses))


class _Run:
    """What is known of one run outside of the compiled program."""

    def __init__(self, how: str):
        self.how = how
        self.start = time.perf_counter()
        self.bar: tqdm | None = None


class _Console:
    """Lines and bars on the standard error stream for the runs of one compiled program."""

    def __init__(self, numbers: int, steps: int, steps_per_epoch: int):
        self.numbers = numbers
        self.steps = steps
        self.steps_per_epoch = steps_per_epoch
        self.runs: dict[int, _Run] = {}
        self.tickets = itertools.count()
        self.lock = threading.Lock()

    def begin(self, how: str) -> np.ndarray:
        """Give a number to a run."""
        with self.lock:
            ticket = next(self.tickets) % np.iinfo(np.int32).max
            self.runs[ticket] = _Run(how)
            for old in list(self.runs)[:-_MOST_RUNS]:
                del self.runs[old]
        return np.array(ticket, np.int32)

    def show(self, ticket: int, number: int, done: int, value: float) -> None:
        """Move the bar on; before it first appears, say what begins."""
        run = self.runs.get(ticket)
        if run is None:
            return
        if run.bar is None:
            _write(self.header(run, number))
            run.bar = tqdm(total=self.steps, unit="step", file=sys.stderr)
        run.bar.set_postfix(loss=f"{value:.6g}", refresh=False)
        run.bar.update(done - run.bar.n)

    def header(self, run: _Run, number: int) -> str:
        """What is optimized, and how."""
        epochs = round(self.steps / self.steps_per_epoch, 2)
        span = _count(self.steps, "step")
        if self.steps_per_epoch > 1:
            span += f", {_count(epochs, 'epoch')}"
        onward = f", on from step {number:,}" if number else ""
        return f"Optimizing {_count(self.numbers, 'number')} by {run.how}: {span}{onward}."

    def end(self, ticket: Any, made: Any, first: Any, last: Any, lowest: Any, checked: Any, status: Any) -> None:
        """Close the bar, and say how the run ended."""
        with self.lock:
            run = self.runs.pop(int(ticket), None)
        if run is None:
            return
        seconds = time.perf_counter() - run.start
        if run.bar is not None:
            run.bar.update(int(made) - run.bar.n)
            run.bar.close()
        losses = f"Loss: {first:.6g} at the first step, {last:.6g} at the last, {lowest:.6g} the lowest."
        if checked is not None:
            losses += f" Validation loss: {checked:.6g} the lowest."
        _write(f"{_count(int(made), 'step')} in {_duration(seconds)}. {losses} {Status[status]}")


def _write(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


def _count(number: int | float, what: str) -> str:
    return f"{number:,.10g} {what}{'s' * (number != 1)}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else tqdm.format_interval(seconds)


def _begin(console: _Console, params: Params) -> Int[Array, ""]:
    """The number of a run, drawn when it begins; -1, without a call, in a derivative and in a batch of runs."""
    rate = [params.learning_rate] if params.method.takes_rate else []
    choices = [params.method, *rate, params.momentum, params.gradient_clipping]
    choices = [choice for choice in choices if not isinstance(choice, NoMomentum | NoClip)]
    sizes = jax.tree.map(jnp.size, choices)

    def draw(reached: PyTree) -> np.ndarray:
        return console.begin(", ".join(map(describe, reached, sizes)))

    @jax.custom_batching.custom_vmap
    def call(values: PyTree) -> Array:
        return jax.pure_callback(draw, jax.ShapeDtypeStruct((), jnp.int32), values)

    @call.def_vmap
    def call_batched(axis_size: int, in_batched: Any, values: PyTree) -> tuple[Array, bool]:
        return jnp.array(-1, jnp.int32), False

    @jax.custom_jvp
    def begin(values: PyTree) -> Array:
        return call(values)

    @begin.defjvp
    def begin_not(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        return jnp.array(-1, jnp.int32), np.zeros((), jax.dtypes.float0)

    return begin(reach(choices))


def _silent_when_transformed(callback: Callable[..., None]) -> Callable[..., tuple]:
    """Call back from compiled code, but not from a derivative of it nor from a batch of copies."""

    @jax.custom_batching.custom_vmap
    def call(*args: Any) -> tuple:
        jax.debug.callback(callback, *args)
        return ()

    @call.def_vmap
    def call_batched(axis_size: int, in_batched: Any, *args: Any) -> tuple:
        return (), ()

    @jax.custom_jvp
    def tell(*args: Any) -> tuple:
        return call(*args)

    @tell.defjvp
    def tell_not(primals: tuple, tangents: tuple) -> tuple:
        return (), ()

    return tell
