"""Random numbers in the shape of a position.

Each is one draw of the raveled size, so that a vector and a dict of its pieces get the same numbers.
"""

import math

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from ._custom_types import Position


def standard_normal(key: PRNGKeyArray, like: Position) -> Position:
    """Independent standard normal numbers."""
    flat, unravel = ravel_pytree(like)
    return unravel(jax.random.normal(key, flat.shape, flat.dtype))


def uniform(key: PRNGKeyArray, like: Position) -> Position:
    """Independent numbers, uniform from -1 to 1."""
    flat, unravel = ravel_pytree(like)
    return unravel(jax.random.uniform(key, flat.shape, flat.dtype, -1.0, 1.0))


def normal_and_uniform(key: PRNGKeyArray, like: Position) -> tuple[Position, Float[Array, ""]]:
    """Standard normal numbers, and one number uniform in (0, 1).

    From one draw of uniform numbers: where a gradient is cheap, hashing keys is what a transition spends its time on.
    """
    flat, unravel = ravel_pytree(like)
    lowest = np.nextafter(np.array(-1.0, flat.dtype), np.array(0.0, flat.dtype))
    numbers = jax.random.uniform(key, (flat.size + 1,), flat.dtype, lowest, 1.0)
    return unravel(math.sqrt(2) * jax.lax.erf_inv(numbers[:-1])), 0.5 + 0.5 * numbers[-1]
