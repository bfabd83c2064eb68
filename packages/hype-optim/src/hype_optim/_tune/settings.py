"""Settings to tune: a pytree of any kind, of which the ranges move and all else stays."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from .._hyperparameter.converters import as_arrays
from .._hyperparameter.ranges import AbstractRange, is_range, value_of


def split(start: PyTree) -> tuple[PyTree, PyTree]:
    """The arrays of the ranges, in their unconstrained coordinates, and all else; a TypeError where nothing moves."""
    start = as_arrays(start)
    moves = jax.tree.map(lambda part: _raw_of(part) if is_range(part) else False, start, is_leaf=is_range)
    point, rest = eqx.partition(start, moves)
    if not jax.tree.leaves(point):
        raise TypeError(
            "`start` must hold at least one range to tune, such as positive(0.1), unit_interval(0.9), interval(3., 1., "
            f"5.) or unbounded(0.), got {start}."
        )
    return point, rest


def values(point: PyTree, rest: PyTree) -> PyTree:
    """The settings with ranges replaced by their values."""
    return jax.tree.map(value_of, eqx.combine(point, rest), is_leaf=is_range)


def named_ranges(settings: PyTree) -> dict[str, AbstractRange]:
    """The ranges, by the paths to them."""
    paths = jax.tree_util.tree_leaves_with_path(settings, is_leaf=is_range)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator=".") or "setting"
    return {name(path): part for path, part in paths if is_range(part)}


def tied(point: PyTree) -> list[Any]:
    """For each array of the ranges, the entry of the settings that it stands in: those of one entry are tied."""
    return [path[0] for path, _ in jax.tree_util.tree_leaves_with_path(point)]


def _raw_of(part: AbstractRange) -> PyTree:
    return eqx.tree_at(lambda part: part.raw, jax.tree.map(lambda _: False, part), True)
