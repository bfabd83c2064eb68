"""The types that have a meaning here."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float, Key, PyTree, UInt32

Position = PyTree[Float[Array, "..."]]
"""A point of the space that is sampled: any pytree of float arrays."""

LogDensity = Callable[[Any], Any]
"""The logarithm of the target density, up to a constant: from a position to one number.

Of a pytree that is callable (`jax.tree_util.Partial`, an Equinox module) the arrays are passed as arguments, so that
new data of the same shapes does not recompile.
"""

ChainKeys = Key[Array, " chains"] | UInt32[Array, "chains 2"] | UInt32[Array, "chains 4"]
"""One key for each chain, new (`jax.random.key`) or old (`jax.random.PRNGKey`)."""
