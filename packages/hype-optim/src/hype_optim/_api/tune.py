"""`tune`: hyperparameters tuned by their gradients, and judged at seeds that the tuning has not seen."""

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.captured import watched
from hype_ad.internal.checks import boolean, check_key, function, instance, integer, known, static_number
from jaxtyping import PRNGKeyArray, PyTree

from .._hyperparameter.converters import optional
from .._transform.spread import device_mesh
from .._tune.choose import Round, at, best, is_better, judged, seeds_for
from .._tune.gradient import AbstractGradient, ExactGradient
from .._tune.loop import Log, Plan, make_steps, smoothed
from .._tune.search import CANDIDATES, CAUTIOUS, candidates
from .._tune.settings import named_ranges, split
from .._tune.state import TuneState, again, begin, check_state, read
from .._tune.sweep import Sweep
from .._tune.trainings import Objective
from .._tune.tuned import Tuned

FIRST = 8  # at how many seeds the start is tried before the first step
CHAOS = 10.0  # perturbations of a training that have grown by more than this, in logarithms, have no small effects


def tune(
    objective: Objective,
    start: PyTree,
    *,
    key: PRNGKeyArray | None = None,
    steps: int = 50,
    rate: float | int = 0.2,
    seeds: int = 1,
    judges: int = 8,
    batch: int = 8,
    gradient: AbstractGradient | None = None,
    sweep: Sweep | None = None,
    starts: int = 1,
    max_trainings: float | int | None = None,
    max_seconds: float | int | None = None,
    state: TuneState | None = None,
    path: str | os.PathLike[str] | None = None,
    logging_function: Log | None = None,
    silent: bool = False,
    devices: Sequence[Any] | None = None,
) -> Tuned:
    r"""Tune hyperparameters by the gradients of whole trainings.

    A search makes steps of Adam in the unconstrained coordinates of the ranges, each at a new training seed and with a
    rate that falls to 0 along a cosine. A step that leads to a value or a gradient that is not finite, or to a jump of
    the value, is taken back, and counted. In the end the start, the best point and the means over each quarter of the
    steps are judged at held-out seeds, and the best one is judged once more beside the start, at others. Where it is
    not better there, the mean over the first quarter is taken, if that is.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_optim import Params, minimize, positive, tune
        >>> def loss(rate, key):
        ...     w0 = jax.random.normal(key, (2,))
        ...     return minimize(lambda w: jnp.sum(w**2), w0, Params(epochs=5, learning_rate=rate, silent=True)).loss
        >>> tuned = tune(loss, positive(0.01), steps=20, key=jax.random.key(0), silent=True)
        >>> print(f"{float(tuned.start_value):.2f}, tuned: {float(tuned.value):.2f}")
        2.24, tuned: 0.06

    Args:
        objective: maps settings and a key to a scalar to minimize, such as the validation loss of a training that
            draws its weights and batches from the key; or to a `Result`, whose validation loss is minimized, or the
            loss if it has none. It is given the settings with ranges replaced by their values, and is compiled a
            constant number of times.
        start: the settings to start from: a dict, a `Params`, a model, a `Dataset` or any other pytree. Its ranges,
            such as `positive(0.1)`, `interval(3., 1., 5.)` or `unbounded(x)`, are tuned; all else stays as it is.
        key: what all seeds are drawn from.
        steps: how many steps a search makes.
        rate: how far the first steps of a search move each unconstrained coordinate, about; above 0.
        seeds: at how many seeds, in one batch, a step's gradient is taken.
        judges: at how many held-out seeds the chosen settings are judged, at least 2.
        batch: how many plain trainings are run at once, in the sweep and in judging; fewer need less memory.
        gradient: `ExactGradient()` or `SmoothedGradient(...)`; not given, exact ones are taken as long as they have a
            meaning: until a tracked growth rate says that trainings are chaotic, or three gradients in a row are not
            finite where the values are.
        sweep: trainings at points about the start before the first step, such as `Sweep(16)`; the searches begin at the
            best. Not given, they begin at the start.
        starts: how many searches are made at once, in one batch, from the best points of the sweep.
        max_trainings: a limit of the whole cost, in plain trainings, with an exact gradient counted as four; it is
            kept by making fewer steps.
        max_seconds: a limit of the time of the steps, compiling included; the judging comes on top.
        state: the `state` of an earlier result, to go on: for another `steps`, or, if it was interrupted, to the end of
            its schedule. `sweep` and `starts` are then those of the earlier call.
        path: a file for the state, which is written every ten seconds. If it is there, the tuning goes on from it.
        logging_function: called after each step as `logging_function(step, settings, value)`, of the search with the
            lowest value; an exception in it ends the tuning.
        silent: whether to show no progress.
        devices: what batches of trainings are spread over, such as `jax.devices()`: those of the sweep and of judging
            (so `batch` is best a multiple of their number), and in a step the `starts`, or the `seeds` of a single one.
            A training is the same whatever they are, but for rounding. With devices of several processes each of them
            has to make the call, and each has the result.

    Returns:
        What came of it: settings of the kind of `start`, their value at held-out seeds and that of the start, the
        history and the cost. Ctrl-C ends the steps and gives the result so far. Nothing of it has a derivative.

    Raises:
        FileNotFoundError: if `path` is in no folder that exists.
        TypeError: if an argument is not of its kind, if `start` has no range, if `objective` does not return a real
            scalar or a `Result`, or if something is traced: `tune` itself cannot be compiled or differentiated.
        ValueError: if a number is out of its range, if `devices` are none or of several processes beside `max_seconds`,
            if `start` has a range that is not finite, if the objective is not
            finite at the start (without a sweep) or at any point of the sweep, if `max_trainings` leaves no step, if
            there are more `starts` than points of the sweep, if `state` is that of other settings, or if the file is
            that of another tuning.
    """
    function("objective", objective, "a function of settings and a key")
    point, rest = split(start)
    _check_known(start, key)
    plan = Plan(
        objective=watched(objective),
        rest=rest,
        gradient=_gradient(gradient),
        rate=static_number("rate", rate, above=0.0),
        seeds=integer("seeds", seeds, 1),
        batch=integer("batch", batch, 1),
        max_seconds=math.inf if max_seconds is None else static_number("max_seconds", max_seconds, above=0.0),
        path=path,
        log=_log(logging_function),
        silent=boolean("silent", silent),
        devices=None if devices is None else tuple(device_mesh(devices).devices.flat),
    )
    if max_seconds is not None and devices is not None and device_mesh(devices).is_multi_process:
        raise ValueError("`max_seconds` must be left out with devices of several processes, whose clocks differ.")
    key, judges, starts = check_key("key", key), integer("judges", judges, 2), integer("starts", starts, 1)
    if sweep is not None:
        instance("sweep", sweep, Sweep, "a sweep such as Sweep(16)")
    most = 1 if sweep is None else sweep.kept
    if path is not None and not Path(path).absolute().parent.is_dir():
        raise FileNotFoundError(f"`path` must be in a folder that exists, got {os.fspath(path)!r}.")
    if starts > most:
        raise ValueError(f"`starts` must be at most {most}, the number of points that the sweep keeps, got {starts}.")
    rounds = [Round(max(2, judges // 2), 3), Round(judges, 2)]
    steps = _affordable(integer("steps", steps, 1), max_trainings, plan, sweep, starts, rounds)

    fresh = begin(jax.tree.map(lambda leaf: jnp.stack([leaf] * starts), point), point, key, steps)
    if state is not None:
        state = again(check_state(state, fresh), key, steps)
    elif path is not None:
        state = read(path, fresh)
    if state is None:
        state = _first(plan, fresh, sweep, starts)
    state = make_steps(plan, state)
    return _conclude(plan, state, rounds, judges)


_gradient = optional(lambda given: instance("gradient", given, AbstractGradient, "ExactGradient() or another gradient"))
_log = optional(partial(function, "logging_function", accepted="a function of a step, settings and a value"))


def _check_known(*given: Any) -> None:
    if not all(map(known, jax.tree.leaves(given))):
        raise TypeError("`tune` must be called outside of `jit`, `grad` and `vmap`, but `start` or `key` is traced.")


def _affordable(
    steps: int, max_trainings: float | int | None, plan: Plan, sweep: Sweep | None, starts: int, rounds: list[Round]
) -> int:
    """How many steps there can be for the cost."""
    if max_trainings is None:
        return steps
    gradient = ExactGradient() if plan.gradient is None else plan.gradient
    of_a_step = gradient.cost * plan.seeds * starts
    first = [FIRST] if sweep is None else [sweep.points, 2 * sweep.kept]
    chosen = [starts * CANDIDATES * rounds[0].seeds, rounds[0].kept * rounds[1].seeds]
    last = (rounds[-1].kept + 1) * rounds[-1].seeds
    plain = sum(-(-number // plan.batch) * plan.batch for number in (*first, *chosen, last))
    left = int((static_number("max_trainings", max_trainings, above=0.0) - plain) // of_a_step)
    if left < 1:
        raise ValueError(
            f"`max_trainings` must be at least {plain + of_a_step:g}, of which {plain} are for the sweep and for "
            f"judging points, in batches of {plan.batch}, and {of_a_step:g} for a step; got {max_trainings:g}. Fewer "
            "`judges`, `starts` or points of the sweep, and smaller batches, need less."
        )
    return min(steps, left)


def _first(plan: Plan, state: TuneState, sweep: Sweep | None, starts: int) -> TuneState:
    """The state before the first step: at the best points of the sweep, if there is one."""
    if sweep is None:
        found = judged(plan, state, state.searches.point, "first", FIRST)
    else:
        points = sweep.draw(state.start, seeds_for(state, "sweep", 1)[0])
        left, found = best(plan, state, points, "sweep", [Round(1, sweep.kept), Round(2, starts)])
        searches = begin(at(points, left), state.start, state.key, state.values.shape[0]).searches
        found = found._replace(state=replace(found.state, searches=searches))
    if not np.isfinite(found.values).any():
        where = "at `start`; a `sweep` may help" if sweep is None else "at any point of the sweep that was best"
        raise ValueError(f"`objective` must be finite at some seed, got no finite value {where}.")
    if plan.gradient is None and found.growth is not None and not np.median(found.growth) <= CHAOS:
        grown = np.median(found.growth)
        return smoothed(found.state, f"Perturbations of a training grow by {grown:.3g} in logarithms")
    return found.state


def _conclude(plan: Plan, state: TuneState, rounds: list[Round], judges: int) -> Tuned:
    """The best candidate of all searches, judged beside the start."""
    points = candidates(state.searches)
    order, chosen = best(plan, state, points, "choice", rounds)
    # What was chosen for low values can be at the edge of failure, and what comes second is then there as well.
    cautious = order[0] - order[0] % CANDIDATES + CAUTIOUS
    order = order if order[0] == cautious else np.array([order[0], cautious])
    start = state.start
    with_start = lambda chosen, first: np.concatenate([chosen, np.asarray(first)[None]])
    judged_points = jax.tree.map(with_start, at(points, order), start)
    found, growth, after = judged(plan, chosen.state, judged_points, "held out", judges)
    better = [place for place in range(len(order)) if is_better(found[place], found[-1])]
    place = better[0] if better else len(order)
    tuned, found = at(judged_points, np.asarray(place)), found[[place, -1]]
    search = at(state.searches, np.asarray(order[place if better else 0] // CANDIDATES))
    if not better:
        warnings.warn(
            "`tune` found no settings that are better than the start at held-out seeds, and returns the start. More "
            "`steps`, another `rate` or a `sweep` may help.",
            stacklevel=3,
        )
    means = found.mean(axis=1)
    errors = np.where(np.isfinite(means), np.where(np.isfinite(found), found, 0).std(axis=1, ddof=1), np.nan)
    mean_square = lambda total: jnp.sqrt(total / jnp.maximum(search.successes, 1).astype(total.dtype))
    influence = map(mean_square, jax.tree.leaves(search.influence))
    first = eqx.combine(start, plan.rest)
    return Tuned(
        settings=eqx.combine(tuned, plan.rest),
        start=first,
        value=jnp.asarray(means[0]),
        value_error=jnp.asarray(errors[0] / math.sqrt(judges)),
        start_value=jnp.asarray(means[1]),
        start_error=jnp.asarray(errors[1] / math.sqrt(judges)),
        history=state.values,
        returns=state.searches.returns,
        sensitivities=dict(zip(named_ranges(first), influence, strict=True)),
        growth=None if growth is None else jnp.asarray(np.median(growth[place])),
        smooths=state.smooths,
        trainings=after.trainings,
        seconds=after.seconds,
        compiling=after.compiling,
        state=state,
    )
