"""How a tensor prints, also when its leaf is a tracer, a shape or nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def show(name: str, leaf: Any) -> str:
    """Text such as `D(1.5)`, `DV([1. 2.])`, `DM(2 x 2) [[1. 2.] ...`, and `DV(float64[3])` while traced."""
    if isinstance(leaf, Tracer | jax.ShapeDtypeStruct):
        return f"{name}({leaf.dtype}[{','.join(map(str, leaf.shape))}])"
    if not isinstance(leaf, jax.Array) or leaf.is_deleted():
        return f"{name}({leaf!r})"
    dtype = "" if leaf.dtype == jnp.result_type(float) else f", {leaf.dtype}"
    # NumPy's own text of small floats such as bfloat16 is the type's name: let it print float32.
    values = np.asarray(leaf, dtype=np.result_type(leaf.dtype, np.float16) if leaf.dtype.kind == "f" else np.float32)
    if leaf.ndim < 2:
        return f"{name}({values}{dtype})"
    return f"{name}({' x '.join(map(str, leaf.shape))}{dtype})\n{values}"
