"""Choosing among points by trainings at seeds that nothing was learned from, fewer points at more seeds each round."""

import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from . import trainings
from .loop import Plan, timed
from .settings import tied
from .state import TuneState

CAUTION = 2.0  # how many standard deviations between seeds count like the mean
SHAKEN = 0.15  # how far points are moved at each seed that they are chosen at, about, in unconstrained coordinates


class Round(NamedTuple):
    """A round of a choice: at how many new seeds the points are judged, and how many of them are left after it."""

    seeds: int
    kept: int


def seeds_for(state: TuneState, use: str, number: int) -> PRNGKeyArray:
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


def judged(plan: Plan, state: TuneState, points: PyTree, use: str, number: int, shake: bool = False) -> Judged:
    """The trainings with points along a leading axis, each at a number of seeds, where all are moved a little or not."""
    count = jax.tree.leaves(points)[0].shape[0]
    keys = seeds_for(state, use, number)
    moves = shift(state.start, seeds_for(state, f"{use} moves", 1)[0], number, SHAKEN if shake else 0.0)
    # The last batch is filled up with trainings that nobody asked for: one of another size would be compiled anew.
    total = count * number
    batches = (np.arange(-(-total // plan.batch) * plan.batch) % total).reshape(-1, plan.batch)
    with timed(state, batches.size) as box:
        found = [
            trainings.evaluate(
                plan.objective,
                plan.rest,
                jax.tree.map(jnp.add, at(points, batch // number), at(moves, batch % number)),
                keys[batch % number],
            )
            for batch in batches
        ]
        join = lambda *parts: np.concatenate(parts, dtype=float)[:total].reshape(count, number)
        values, growth = jax.tree.map(join, *found)
    return Judged(np.where(np.isfinite(values), values, np.inf), growth, box[0])


def best(plan: Plan, state: TuneState, points: PyTree, use: str, rounds: list[Round]) -> tuple[np.ndarray, TuneState]:
    """The indices of the points that are left after all rounds, the best one first.

    That is the one with the lowest mean and standard deviations together: where trainings are about to fail, at a seed
    of many that a few do not show, they differ more from seed to seed.
    """
    left = np.arange(jax.tree.leaves(points)[0].shape[0])
    seen = np.zeros((len(left), 0))
    for number, a_round in enumerate(rounds):
        found = judged(plan, state, at(points, left), f"{use} {number}", a_round.seeds, shake=True)
        state = found.state
        seen = np.concatenate([seen, found.values], axis=1)
        finite = np.isfinite(seen).all(axis=1)
        risk = np.where(
            finite, np.mean(seen, axis=1) + CAUTION * np.std(np.where(finite[:, None], seen, 0), axis=1), np.inf
        )
        order = np.argsort(risk, kind="stable")[: a_round.kept]
        left, seen = left[order], seen[order]
    return left, state


def shift(point: PyTree, key: PRNGKeyArray, number: int, width: float) -> PyTree:
    """Random moves along a leading axis, of tied settings together."""
    groups = list(dict.fromkeys(tied(point)))
    drawn = dict(zip(groups, width * jax.random.normal(key, (len(groups), number)), strict=True))
    leaves, structure = jax.tree.flatten(point)
    moves = [
        drawn[group].astype(leaf.dtype).reshape(number, *(1,) * leaf.ndim)
        for leaf, group in zip(leaves, tied(point), strict=True)
    ]
    return jax.tree.unflatten(structure, moves)


def at(points: PyTree, indices: np.ndarray) -> PyTree:
    """Some of the points."""
    return jax.tree.map(lambda leaf: leaf[jnp.asarray(indices)], points)
