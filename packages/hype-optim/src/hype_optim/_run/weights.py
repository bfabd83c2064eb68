"""What weights a run can start from: any pytree with real floats in it, all of them finite."""

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


def check_weights(name: str, w: PyTree) -> None:
    """Check that there are float leaves, none of them complex, and that those with known values are finite.

    Statistics that Flax keeps in a module are refused: nothing else tells them from its weights.
    """
    for path, node in jax.tree_util.tree_leaves_with_path(w, is_leaf=_is_flax_state):
        if _is_flax_state(node):
            raise TypeError(
                f"`{name}` must hold weights alone, got a {type(node).__name__} at {jax.tree_util.keystr(path)}, which "
                "would be trained like one. Split it off: `graph, weights, rest = nnx.split(model, nnx.Param, ...)`, "
                "and take jax.tree_util.Partial(lambda weights, x: nnx.merge(graph, weights, rest)(x), weights)."
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
