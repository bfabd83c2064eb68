"""What can be decided from values, where a transformation has not hidden them."""

import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Shaped


def known(array: Shaped[Array, "..."] | np.ndarray) -> np.ndarray | None:
    """The values of an array, or nothing if it is traced."""
    return None if isinstance(array, Tracer) else np.asarray(array)
