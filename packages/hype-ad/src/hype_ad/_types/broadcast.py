"""NumPy's broadcasting of a pair, said explicitly: JAX can be told to refuse to do it silently."""

from typing import Any

import jax.numpy as jnp
import numpy as np


def aligned(left: Any, right: Any) -> tuple[Any, Any]:
    """Gives two operands equal ranks by new leading axes, as NumPy does; numbers stay numbers.

    Raises:
        ValueError: if the shapes do not broadcast.
    """
    a, b = np.shape(left), np.shape(right)
    if a == b or not a or not b:
        return left, right
    if any(m != n and m != 1 and n != 1 for m, n in zip(reversed(a), reversed(b), strict=False)):
        raise ValueError(f"the operands must have shapes that broadcast, got {a} and {b}")
    return _with_rank(left, a, len(b)), _with_rank(right, b, len(a))


def _with_rank(x: Any, shape: tuple[int, ...], rank: int) -> Any:
    missing = rank - len(shape)
    return jnp.expand_dims(x, tuple(range(missing))) if missing > 0 else x
