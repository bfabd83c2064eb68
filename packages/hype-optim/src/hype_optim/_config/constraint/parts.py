"""What sets and penalties share: a part of the weights changed, and what a caller's function gave, checked."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.tree import same_shapes
from jaxtyping import PyTree

from ..regularization import Choice


def replaced(where: Choice | None, w: PyTree, change: Callable[[PyTree], PyTree]) -> PyTree:
    """The weights with a part of them changed."""
    if where is not None and not jax.tree.leaves(eqx.filter(where(w), eqx.is_inexact_array)):
        raise ValueError("`where` of the constraint must give at least one leaf of floats that change, got none.")
    return change(w) if where is None else eqx.tree_at(where, w, change(where(w)))


def spread(prefix: PyTree, w: PyTree) -> PyTree:
    """For each leaf of the weights what a prefix of their structure has for it."""
    return jax.tree.map(lambda leaf, part: jax.tree.map(lambda _: leaf, part), prefix, w)


def checked(name: str, new: PyTree, w: PyTree) -> PyTree:
    """What a caller's function made of the weights, in their dtypes."""
    if not same_shapes(new, w):
        raise ValueError(f"`{name}` of the constraint must give weights like those it is given, {w}, got {new}.")
    return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), new, w)
