"""Weights to start from: any pytree with floats in it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import as_float_array, is_real, known
from jaxtyping import PyTree


def as_arrays(w: PyTree) -> PyTree:
    """A pytree whose Python floats are arrays, so that they are optimized too."""
    return jax.tree.map(lambda x: as_float_array(x) if _is_float(x) else x, w)


def check_weights(name: str, w: PyTree) -> None:
    """Check for weights that can be optimized.

    Raises:
        TypeError: if it has no float leaf, or a complex one.
        ValueError: if a float leaf is known and has an entry that is not finite.
    """
    leaves = jax.tree_util.tree_leaves_with_path(w)
    floats = [(path, leaf) for path, leaf in leaves if eqx.is_inexact_array(leaf)]
    if not floats:
        kinds = ", ".join(sorted({_kind(leaf) for _, leaf in leaves})) or "no leaves at all"
        raise TypeError(f"`{name}` must have at least one leaf of floats to optimize, got {kinds}; write 1. for 1.")
    for path, leaf in floats:
        place = f"`{name}{jax.tree_util.keystr(path)}`"
        if jnp.iscomplexobj(leaf):
            raise TypeError(f"{place} is complex; optimize its real and imaginary part as two arrays of floats.")
        if known(leaf) and not np.all(np.isfinite(leaf)):
            raise ValueError(f"{place} must be finite, but has an entry that is NaN or infinite.")


def _is_float(x: Any) -> bool:
    """Whether `x` is a Python float or an array of real floats."""
    return isinstance(x, float | np.floating) or (
        isinstance(x, np.ndarray | jax.Array) and jnp.issubdtype(x.dtype, jnp.floating)
    )


def _kind(leaf: Any) -> str:
    return str(jnp.result_type(leaf)) if is_real(leaf) else type(leaf).__name__
