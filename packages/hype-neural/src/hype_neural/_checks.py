"""What this package checks beyond `hype_ad.internal.checks`: floats of initializers, dtypes of weights, defaults."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import check_entries, float_array, instance
from hype_optim import AbstractRange
from jax.typing import ArrayLike
from jaxtyping import Array, Float

T = TypeVar("T")

Scale: TypeAlias = Float[Array, ""] | AbstractRange
"""A float of an initializer: a scalar array, or a range such as `hype_optim.positive(0.1)`."""

ScaleLike: TypeAlias = ArrayLike | AbstractRange
"""What a `Scale` can be made of: a number will do for an array."""


def finite(
    name: str,
    value: ScaleLike,
    accept: Callable[[np.ndarray], Any] = np.isfinite,
    accepted: str = "a finite number",
) -> Scale:
    """One number as a scalar array, finite and as `accept` and the words for it say; or a range as it is."""
    if isinstance(value, AbstractRange):
        return value
    array = float_array(name, value, accepted)
    if array.shape != ():
        raise TypeError(f"`{name}` must be {accepted}, got an array of shape {array.shape}.")
    check_entries(name, value, accept, accepted)
    return array


def non_negative(name: str, value: ScaleLike) -> Scale:
    """One number of at least 0 as a scalar array; or a range as it is."""
    return finite(name, value, lambda x: x >= 0, "a number of at least 0")


def optional(name: str, value: T | None, default: T, kind: type[T]) -> T:
    """`value`, which must be of a kind, or the default for `None`."""
    return default if value is None else instance(name, value, kind, f"an instance of {kind.__name__}")


def float_type(name: str, dtype: Any) -> np.dtype:
    """The dtype of a layer's weights: one of real floats, JAX's default for `None`."""
    if dtype is None:
        return jnp.result_type(float)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"`{name}` must be a dtype of real floats, got {dtype!r}.")
    return jnp.dtype(dtype)
