"""Choosing among points by trainings at seeds that nothing was learned from, fewer points at more seeds each round."""

import math
import zlib
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from hype_ad.internal.checks import as_array
from jaxtyping import PyTree

from . import trainings
from .loop import Plan, timed
from .state import TuneState

CAUTION = 2.0  # how many standard deviations between seeds count like the mean


class Round(NamedTuple):
    """A round of a choice: at how many new seeds the points are judged, and how many of them are left after it."""

    seeds: int
    kept: int


def seeds_for(state: TuneState, use: str, number: int) -> trainings.Keys:
    """Seeds that no step draws, different ones for each use."""
    aside = jax.random.fold_in(state.key, 2**32 - 1)  # no tuning has so many steps
    return jax.random.split(jax.random.fold_in(aside, zlib.crc32(use.encode())), number)


class Judged(NamedTuple):
    """Points along a leading axis, at seeds along the second.

    Attributes:
        values: infinite where a training failed.
        growth: how perturbations grew, in logarithms, if that is known.
        state: the state of the tuning, with the cost.
    """

    values: np.ndarray
    growth: np.ndarray | None
    state: TuneState


def judged(plan: Plan, state: TuneState, points: PyTree, use: str, number: int) -> Judged:
    """The trainings with points along a leading axis, each at a number of seeds."""
    count = jax.tree.leaves(points)[0].shape[0]
    keys = seeds_for(state, use, number)
    # The last batch is filled up with trainings that nobody asked for: one of another size would be compiled anew.
    total = count * number
    batches = (np.arange(-(-total // plan.batch) * plan.batch) % total).reshape(-1, plan.batch)
    with timed(state, batches.size) as box:
        run = partial(trainings.evaluate, plan.objective, plan.rest, devices=plan.devices)
        found = [run(at(points, batch // number), keys[batch % number]) for batch in batches]
        join = lambda *parts: np.concatenate(parts, dtype=float)[:total].reshape(count, number)
        values, growth = jax.tree.map(join, *found)
    return Judged(np.where(np.isfinite(values), values, np.inf), growth, box[0])


def best(plan: Plan, state: TuneState, points: PyTree, use: str, rounds: list[Round]) -> tuple[np.ndarray, Judged]:
    """The indices of the points that are left after all rounds, the best one first, and what was seen of them.

    The best is the one at which fewest trainings failed, and of these the one with the lowest mean and standard
    deviations together: where trainings are about to fail, at a seed of many that a few do not show, they differ more
    from seed to seed.
    """
    left = np.arange(jax.tree.leaves(points)[0].shape[0])
    seen, growth = np.zeros((len(left), 0)), None
    for number, a_round in enumerate(rounds):
        found = judged(plan, state, at(points, left), f"{use} {number}", a_round.seeds)
        state = found.state
        seen = np.concatenate([seen, found.values], axis=1)
        order = sorted(range(len(left)), key=lambda i: _rank(seen[i]))[: a_round.kept]
        left, seen = left[order], seen[order]
        growth = None if found.growth is None else found.growth[order]
    return left, Judged(seen, growth, state)


def is_better(values: np.ndarray, others: np.ndarray) -> bool:
    """Whether fewer trainings failed; or as many, and the mean is lower by more than the standard error of that.

    At the edge of failure the mean of a few seeds can be lower by chance, and then some of them are far higher.
    """
    failed, others_failed = (int(np.sum(~np.isfinite(x))) for x in (values, others))
    if failed != others_failed:
        return failed < others_failed
    both = np.isfinite(values) & np.isfinite(others)
    gains = others[both] - values[both]
    error = gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    return len(gains) > 0 and bool(gains.mean() > error)


def _rank(values: np.ndarray) -> tuple[int, float]:
    """What of points is compared: how many trainings failed, and the mean and standard deviations of the others."""
    finite = values[np.isfinite(values)]
    return len(values) - len(finite), float(finite.mean() + CAUTION * finite.std()) if len(finite) else math.inf


def at(points: PyTree, indices: np.ndarray) -> PyTree:
    """Some of the points: they are few numbers, and JAX would compile a program for each number of points."""
    return jax.tree.map(lambda leaf: as_array(np.asarray(leaf)[indices]), points)
