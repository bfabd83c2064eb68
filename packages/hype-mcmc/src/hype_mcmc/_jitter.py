"""The numbers in (0, 1) that pick the lengths of trajectories."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_GOLDEN = 2654435769  # the golden ratio's fraction of 2**32


def jitter_at(t: Int[Array, ""], dtype: jnp.dtype) -> Float[Array, ""]:
    """The number for transition `t`: multiples of the golden ratio, which fill (0, 1) more evenly than random numbers.

    It is the same for all chains and depends on nothing that they do, so every transition still leaves the density
    as it is, chains take equally many steps, and a chain alone takes the steps that it takes among others. In
    integers, so that it is exact for long runs. Hoffman, Radul and Sountsov (2021) use a Halton sequence for the
    same purpose.
    """
    bits = (t.astype(jnp.uint32) + 1) * jnp.uint32(_GOLDEN)
    return ((bits >> 9).astype(dtype) + 0.5) / 2**23
