"""What weights a run can start from: any pytree with real floats in it, all of them finite; and which it changes."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import is_real, known
from jaxtyping import PyTree

_FLAX_STATE = {"BatchStat", "Cache", "Intermediate"}
"""Kinds of variables of Flax's NNX whose floats are no weights."""


def _is_flax_state(node: Any) -> bool:
    return any(c.__name__ in _FLAX_STATE and c.__module__.startswith("flax.") for c in type(node).__mro__)


Part = Callable[[PyTree], PyTree] | PyTree
"""What gives a part of a pytree, or a pytree of truth values like it or like its upper part."""


def partition(name: str, w: PyTree, where: Part | None) -> tuple[PyTree, PyTree]:
    """The weights that a run changes, which are checked, and all other leaves; `name` is what the caller calls `w`."""
    if where is None:
        moving, rest = eqx.partition(w, eqx.is_inexact_array)
    else:
        mask = _mask(name, w, where)
        moving, rest = eqx.partition(w, jax.tree.map(lambda leaf, on: on and eqx.is_inexact_array(leaf), w, mask))
        if not jax.tree.leaves(moving):
            raise ValueError(f"`where` must choose at least one leaf of floats of `{name}`, got none.")
    check_weights(name, w if where is None else moving)
    return moving, rest


def _mask(name: str, w: PyTree, where: Part) -> PyTree:
    """`where` as a pytree of truth values like `w`."""
    leaves = jax.tree.leaves(where)
    if leaves and all(isinstance(leaf, bool | np.bool_) for leaf in leaves):
        try:
            return jax.tree.map(lambda on, part: jax.tree.map(lambda _: bool(on), part), where, w)
        except ValueError as error:
            raise ValueError(
                f"`where` must be a pytree of truth values of the structure of `{name}` or of its upper part: {error}"
            ) from error
    if not callable(where):
        raise TypeError(
            f"`where` must be a function from `{name}` to the parts that are changed, such as lambda w: w.layers[-1], "
            f"or a pytree of truth values, got {where!r}."
        )
    # Shapes in place of arrays, each an object of its own, so that parts are known by what they are.
    marked = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if eqx.is_array(x) else x, w)
    try:
        chosen = jax.tree.leaves(where(marked))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"`where` must give parts of `{name}` that are there, whole arrays or what holds them, got {error!r}."
        ) from error
    identities = {id(leaf) for leaf in jax.tree.leaves(marked)}
    others = [leaf for leaf in chosen if id(leaf) not in identities]
    if others:
        raise ValueError(f"`where` must give parts of `{name}` and nothing else, got {others[0]!r}.")
    identities = set(map(id, chosen))
    return jax.tree.map(lambda leaf: id(leaf) in identities, marked)


def check_weights(name: str, w: PyTree) -> None:
    """Check that there are float leaves, none of them complex, and that those with known values are finite.

    Statistics that Flax keeps in a module are refused: nothing else tells them from its weights.
    """
    for path, node in jax.tree_util.tree_leaves_with_path(w, is_leaf=_is_flax_state):
        if _is_flax_state(node) and jax.tree.leaves(node):
            raise TypeError(
                f"`{name}` must hold weights alone, got a {type(node).__name__} at {jax.tree_util.keystr(path)}, which "
                "would be trained like one. Split it off: `graph, weights, rest = nnx.split(model, nnx.Param, ...)`, "
                "and take jax.tree_util.Partial(lambda weights, x: nnx.merge(graph, weights, rest)(x), weights); or "
                "give it as `model_state`, as docs/training.md shows."
            )
    leaves = jax.tree_util.tree_leaves_with_path(w)
    floats = [(path, leaf) for path, leaf in leaves if eqx.is_inexact_array(leaf)]
    if not floats:
        kind = lambda leaf: str(jnp.result_type(leaf)) if is_real(leaf) else type(leaf).__name__
        kinds = ", ".join(sorted({kind(leaf) for _, leaf in leaves})) or "no leaves at all"
        raise TypeError(f"`{name}` must have at least one leaf of floats to optimize, got {kinds}; write 1. for 1.")
    for path, leaf in floats:
        argument = f"`{name}{jax.tree_util.keystr(path)}`"
        if jnp.iscomplexobj(leaf):
            raise TypeError(f"{argument} must be real, got {leaf.dtype}; take real and imaginary part as two arrays.")
        if known(leaf) and not np.all(np.isfinite(leaf)):
            raise ValueError(f"{argument} must be finite, got an entry that is NaN or infinite.")
