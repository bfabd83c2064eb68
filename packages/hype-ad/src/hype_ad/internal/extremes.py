"""Largest and smallest entries that are NaN where an entry is.

XLA's reductions on CPUs pass over NaN in arrays of more than some 4,000 entries (with JAX 0.10 and 0.12): the maximum
of many NaN is minus infinity, and that of 50,000 entries one of which is NaN is the largest of the others.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array


def largest(x: Array, axis: Any = None, *, keepdims: bool = False, initial: Any = None) -> Array:
    """The largest entry, or `initial` if that is larger."""
    return _with_nan(jnp.max, x, axis, keepdims, initial)


def smallest(x: Array, axis: Any = None, *, keepdims: bool = False, initial: Any = None) -> Array:
    """The smallest entry, or `initial` if that is smaller."""
    return _with_nan(jnp.min, x, axis, keepdims, initial)


def _with_nan(reduce: Callable[..., Array], x: Array, axis: Any, keepdims: bool, initial: Any) -> Array:
    found = reduce(x, axis, keepdims=keepdims, initial=initial)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return found
    return jnp.where(jnp.any(jnp.isnan(x), axis, keepdims=keepdims), jnp.asarray(jnp.nan, x.dtype), found)
