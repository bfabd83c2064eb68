"""Positions: what is one, when two are built alike, means of many and the way from one to another."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import check_entries, float_array
from hype_ad.internal.tree import size
from jaxtyping import Array, Float, PyTree

from ._checks import positive
from ._custom_types import Position


def as_position(
    name: str, x: PyTree[Any], as_array: Callable[[str, Any], Float[Array, "..."]] = float_array
) -> Position:
    """`x` with numbers as arrays, by a function that may check them.

    A TypeError if a leaf is not made of floats, a ValueError if there is no number in it.
    """

    def as_leaf(leaf: Any) -> Float[Array, "..."]:
        if callable(leaf):
            raise TypeError(
                f"`{name}` must hold numbers alone, got the function {leaf!r}. Of a model take the arrays, by "
                "`equinox.partition(model, equinox.is_inexact_array)`, and combine them in the log density."
            )
        array = as_array(name, leaf)
        # Python's own integers are numbers like any other; an array of integers is likely a mistake.
        if not isinstance(leaf, int) and jnp.issubdtype(jnp.result_type(leaf), jnp.integer):
            raise TypeError(
                f"`{name}` must hold floats, got an array of {jnp.result_type(leaf)}: integers have no derivative. "
                "Convert it, or leave it to the log density."
            )
        return array

    position = jax.tree.map(as_leaf, x)
    if size(position) == 0:
        raise ValueError(f"`{name}` must hold at least one number, got {x!r}.")
    return position


def check_same_shape(name: str, x: PyTree, like: Position, like_name: str = "position") -> None:
    """Check that `x` is built like a position: a ValueError if its structure or the shape of a leaf differs."""
    if jax.tree.structure(x) != jax.tree.structure(like):
        raise ValueError(
            f"`{name}` must be built like the {like_name}, {jax.tree.structure(like)}, got {jax.tree.structure(x)}."
        )
    got, expected = ([jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (x, like))
    if got != expected:
        raise ValueError(f"`{name}` must have the shapes of the {like_name}, {expected}, got {got}.")


def as_gaussian(mean: PyTree[Any], scale: PyTree[Any]) -> tuple[Position, Position]:
    """The mean of a Gaussian and its standard deviations, of which one number is the same in all directions."""
    mean = as_position("mean", mean)
    jax.tree.map(lambda leaf: check_entries("mean", leaf, np.isfinite, "finite"), mean)
    scale = as_position("scale", scale, positive)
    if isinstance(scale, jax.Array) and scale.ndim == 0:
        scale = jax.tree.map(lambda m: jnp.full_like(m, scale.astype(m.dtype)), mean)
    check_same_shape("scale", scale, mean, "mean")
    return mean, scale


def leading_axis(name: str, positions: PyTree[Array]) -> int:
    """How many positions there are along the leading axis: a ValueError if arrays differ in it or have none."""
    shapes = [leaf.shape for leaf in jax.tree.leaves(positions)]
    sizes = {shape[:1] for shape in shapes}
    if len(sizes) != 1 or () in sizes:
        raise ValueError(f"{name} must share a leading axis over chains, got shapes {shapes}.")
    return shapes[0][0]


def first_of(positions: PyTree) -> PyTree:
    """The first of several positions along the leading axis."""
    return jax.tree.map(lambda x: x[0], positions)


def mean_of(positions: Position) -> Position:
    """The mean of several positions along the leading axis."""
    return jax.tree.map(lambda x: jnp.mean(x, axis=0), positions)


def interpolate(part: Float[Array, ""], start: Position, end: Position) -> Position:
    """The point at `part` of the way from `start` (0) to `end` (1)."""
    return jax.tree.map(lambda x, y: x + part.astype(x.dtype) * (y - x), start, end)
