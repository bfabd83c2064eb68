"""Splitting: which rows of a data set go to which part, consecutive, shuffled or stratified by class."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import integer
from jaxtyping import Array, Int, PRNGKeyArray

from .rows import take

Rows: TypeAlias = Int[Array, " part"] | Int[np.ndarray, " part"]


def part_sizes(sizes: int | float | Sequence[int | float] | np.ndarray, rows: int) -> list[int]:
    """The row counts of parts: counts or fractions that add up to all, or one of either for itself and the rest."""
    single = isinstance(sizes, int | float | np.number)
    if not single and (isinstance(sizes, str) or not isinstance(sizes, Sequence | np.ndarray)):
        raise TypeError(f"`sizes` must be a count, a fraction, or a sequence of either, got {sizes!r}.")
    given = [sizes] if single else list(sizes)
    if given and all(isinstance(size, float | np.floating) for size in given):
        fractions = [float(size) for size in given]
        counts = _from_fractions([*fractions, 1 - fractions[0]] if single else fractions, rows)
    else:
        counts = [integer("sizes", size, 1) for size in given]
        counts += [rows - counts[0]] if single else []
    if sum(counts) != rows or not counts or min(counts) < 1:
        raise ValueError(
            f"`sizes` = {sizes} would give parts of {counts} rows; "
            f"each part must have a row, and together they must be the data's {rows}."
        )
    return counts


def _from_fractions(fractions: list[float], rows: int) -> list[int]:
    if not abs(sum(fractions) - 1) < 1e-6:
        raise ValueError(
            f"`sizes` must be fractions that add up to 1, got {fractions}, which add up to {sum(fractions)}."
        )
    boundaries = np.round(np.cumsum([0.0, *fractions]) * rows).astype(int)
    return np.diff(boundaries).tolist()


def plain_parts(counts: list[int], key: PRNGKeyArray | None) -> list[Rows]:
    """Consecutive rows for each part, of a random order if there is a key."""
    order = np.arange(sum(counts)) if key is None else jax.random.permutation(key, sum(counts))
    bounds = np.cumsum([0, *counts]).tolist()
    return [order[start:end] for start, end in pairwise(bounds)]


def stratified_parts(counts: list[int], labels: np.ndarray, key: PRNGKeyArray | None) -> list[Rows]:
    """Rows for each part such that each class is as frequent in it as its size allows.

    The numbers are decided by largest remainders, part after part, from what is left of each class: every part has of
    every class its quota rounded up or down. The key may be traced, as only which rows are taken depends on it.
    """
    _, class_of_row, left = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = np.argsort(class_of_row, kind="stable") if key is None else _shuffle_within(class_of_row, key)
    parts, start = [], np.cumsum(left) - left
    for count in counts:
        taken = _apportion(count, left)
        parts.append(np.concatenate([np.arange(s, s + n) for s, n in zip(start, taken, strict=True)]))
        start, left = start + taken, left - taken
    if key is None:
        return [np.sort(by_class[part]) for part in parts]
    return [jax.random.permutation(jax.random.fold_in(key, i), take(by_class, part)) for i, part in enumerate(parts)]


def _shuffle_within(class_of_row: np.ndarray, key: PRNGKeyArray) -> Int[Array, " rows"]:
    """All rows, class by class, in a random order within each class."""
    return jnp.lexsort((jax.random.uniform(key, class_of_row.shape), jnp.asarray(class_of_row)))


def _apportion(count: int, left: np.ndarray) -> np.ndarray:
    """Integers that add up to `count`, proportional to `left` and at most that."""
    quotas = count * left / left.sum()
    taken = np.floor(quotas).astype(int)
    largest_first = np.argsort(taken - quotas, kind="stable")
    taken[largest_first[: count - taken.sum()]] += 1
    return taken
