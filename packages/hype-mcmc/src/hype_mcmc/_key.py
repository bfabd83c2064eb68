"""Keys, new (`jax.random.key`) and old (`jax.random.PRNGKey`)."""

from jaxtyping import Array, Key, UInt32

ChainKeys = Key[Array, " chains"] | UInt32[Array, "chains 2"] | UInt32[Array, "chains 4"]
"""One key for each chain."""
