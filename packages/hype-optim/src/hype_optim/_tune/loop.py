"""The loop of a tuning: one compiled step after another, until the steps, the time or the patience of the user end.

It is a Python loop, unlike those of `minimize` and `train`, because a step is whole trainings: between two of them
there is time to look at the clock, to write a file, and to be interrupted.
"""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.compiling import compile_seconds
from hype_ad.internal.progress import stream
from jaxtyping import PyTree
from tqdm import tqdm

from .._file.save import save
from . import trainings
from .gradient import AbstractGradient, ExactGradient, SmoothedGradient
from .search import QUARTERS
from .state import TuneState
from .trainings import Objective

SAVE_EVERY = 10.0  # seconds
LOST = 3  # so many gradients in a row that are not finite where values are, and they are smoothed

Log = Callable[[int, PyTree, float], None]


class Plan(NamedTuple):
    """How to tune: what `tune` was given, and does not change."""

    objective: Objective
    rest: PyTree
    gradient: AbstractGradient | None  # `None` to begin exactly, and to smooth where that has no meaning
    rate: float
    seeds: int
    batch: int
    max_seconds: float
    path: str | os.PathLike[str] | None
    log: Log | None
    silent: bool
    devices: trainings.Devices = None  # that batches are spread over

    def gradient_of(self, state: TuneState) -> AbstractGradient:
        """How the gradient of the next step is found."""
        if self.gradient is not None:
            return self.gradient
        return SmoothedGradient() if int(state.smooths) <= int(state.step) else ExactGradient()


@contextmanager
def timed(state: TuneState, trainings: int | float) -> Iterator[list[TuneState]]:
    """Adds to the cost of a state what is computed inside; the list's first entry is the state after it."""
    box = [state]
    began, compiled = time.perf_counter(), compile_seconds()
    yield box
    compiling = compile_seconds() - compiled
    state = box[0]
    box[0] = replace(
        state,
        trainings=state.trainings + trainings,
        seconds=state.seconds + max(0.0, time.perf_counter() - began - compiling),
        compiling=state.compiling + compiling,
    )


def make_steps(plan: Plan, state: TuneState) -> TuneState:
    """Make the steps that are left of the schedule, or as many as there is time for."""
    steps = state.values.shape[0]
    spent = float(state.seconds + state.compiling)
    began = saved = time.perf_counter()
    bar = tqdm(total=steps, initial=int(state.step), unit="step", file=stream(), disable=plan.silent)
    try:
        while not state.is_done:
            elapsed = spent + time.perf_counter() - began
            if elapsed >= plan.max_seconds:
                break
            progress = max(int(state.step) / steps, elapsed / plan.max_seconds)
            state = _step(plan, state, progress)
            if int(state.lost) == LOST and plan.gradient is None and int(state.smooths) > int(state.step):
                state = smoothed(state, f"The gradients of {LOST} steps in a row were not finite where the values were")
            _tell(plan, state, bar)
            if plan.path is not None and time.perf_counter() - saved > SAVE_EVERY:
                save(plan.path, state)
                saved = time.perf_counter()
    except KeyboardInterrupt:
        tqdm.write(f"Interrupted after step {int(state.step)} of {steps}: what there is is judged.", file=stream())
    finally:
        bar.close()
        if plan.path is not None:
            save(plan.path, state)
    return state


def smoothed(state: TuneState, why: str) -> TuneState:
    """The state with smoothed gradients from now on, said in a warning."""
    warnings.warn(
        f"{why}: gradients through these trainings have no meaning, and are smoothed from step {int(state.step)} on. "
        "Pass gradient=SmoothedGradient(...) or ExactGradient() to choose.",
        stacklevel=4,
    )
    return replace(state, smooths=state.step)


def _step(plan: Plan, state: TuneState, progress: float) -> TuneState:
    """The state after a step."""
    number, gradient = int(state.step), plan.gradient_of(state)
    rate = jnp.asarray(plan.rate * (1 + math.cos(math.pi * progress)) / 2)
    quarter = jnp.asarray(min(int(QUARTERS * progress), QUARTERS - 1))
    keys = jax.random.split(jax.random.fold_in(state.key, number), plan.seeds)
    cost = gradient.cost * plan.seeds * state.values.shape[1]
    with timed(state, cost) as box:
        searches, found, lost = jax.block_until_ready(
            trainings.step(plan.objective, plan.rest, state.searches, gradient, keys, rate, quarter, plan.devices)
        )
        values = state.values.at[number].set(found.astype(state.values.dtype))
        in_a_row = jnp.where(jnp.all(lost), state.lost + 1, 0)
        box[0] = replace(state, searches=searches, step=state.step + 1, values=values, lost=in_a_row)
    return box[0]


def _tell(plan: Plan, state: TuneState, bar: Any) -> None:
    found = np.asarray(state.values)[int(state.step) - 1]
    lowest = float(np.min(np.where(np.isfinite(found), found, np.inf)))
    bar.set_postfix_str(f"value={lowest:.6g}", refresh=False)
    bar.update(1)
    if plan.log is not None:
        which = int(np.argmin(np.where(np.isfinite(found), found, np.inf)))
        point = jax.tree.map(lambda leaf: leaf[which], state.searches.point)
        plan.log(int(state.step) - 1, eqx.combine(point, plan.rest), lowest)
