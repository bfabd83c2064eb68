"""Numbers that come in by an array of more bits than JAX keeps: refused where they would become others."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike


def check_fits(name: str, given: Any, dtype: DTypeLike | None = None) -> None:
    """Raises a ValueError that names the first number of `given` that a dtype, by default JAX's for it, cannot hold.

    That is an integer out of its range, which would wrap around, and a finite float that would become infinite; digits
    that are rounded away are none. An array of JAX's passes: it is what it is.
    """
    if isinstance(given, jax.Array):
        return
    array = np.asarray(given)
    if not jnp.issubdtype(array.dtype, jnp.number):
        return
    dtype = np.dtype(jnp.result_type(array) if dtype is None else dtype)
    if dtype == array.dtype:
        return
    if jnp.issubdtype(dtype, jnp.integer):
        limits = jnp.iinfo(dtype)
        wrong = (array < int(limits.min)) | (array > int(limits.max))
    else:
        with np.errstate(over="ignore"):
            wrong = np.isfinite(array) & ~np.isfinite(array.astype(dtype))
    if np.any(wrong):
        index = tuple(map(int, np.argwhere(wrong)[0]))
        place = f" at index {index}" if index else ""
        raise ValueError(
            f"`{name}` must have numbers that {dtype} holds, got {array[index]}{place}. "
            'jax.config.update("jax_enable_x64", True) makes the default 64 bits.'
        )
