"""What a run tells while it goes on: a progress bar, and calls of a function of the user's.

A callback out of a compiled loop costs a fifth of a millisecond, so there are about twenty a run, however long it is.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from tqdm import tqdm

from ._params import Params

REPORTS = 20


def reporter(steps: int, params: Params) -> Callable[..., None]:
    """A function of a place, weights and a value, to be called at each step of a run of `steps` steps."""
    listeners = [] if params.silent else [_Bar(steps)]
    log = params.logging_function

    def listen(number: Any, left: Any, w: Any, value: Any) -> None:
        for bar in listeners:
            bar.show(steps - int(left), float(value))
        if log is not None:
            log(int(number), w, float(value))

    if not listeners and log is None:
        return lambda place, w, value: None
    every = max(1, steps // REPORTS)
    tell = _silent_when_transformed(listen)

    def report(place: Any, w: Any, value: Any) -> None:
        seen = w if log is not None else ()
        due = (place.left % every == 0) | (place.left == steps - 1)
        lax.cond(due, lambda: tell(place.number, place.left, seen, value), lambda: ())

    return report


class _Bar:
    """A progress bar that begins again with each run of the compiled program that it belongs to."""

    def __init__(self, steps: int):
        self.steps = steps
        self.bar: tqdm | None = None

    def show(self, done: int, value: float) -> None:
        if self.bar is None or done <= self.bar.n:
            self.bar = tqdm(total=self.steps, unit="step")
        self.bar.set_postfix(loss=f"{value:.6g}", refresh=False)
        self.bar.update(done - self.bar.n)
        if done == self.steps:
            self.bar.close()
            self.bar = None


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
