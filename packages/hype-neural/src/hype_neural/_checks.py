"""What this package checks beyond `hype_ad.internal.checks`: the floats of an initializer, and dtypes of weights."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import check_entries, float_array
from hype_optim import AbstractRange
from jax.typing import ArrayLike
from jaxtyping import Array, Float

Scale: TypeAlias = Float[Array, ""] | AbstractRange
"""A float of an initializer: a scalar array, or a range such as `hype_optim.positive(0.1)`."""

ScaleLike: TypeAlias = ArrayLike | AbstractRange
"""What a `Scale` can be made of: a number will do for an array."""


def finite(
    name: str, accept: Callable[[np.ndarray], Any] = np.isfinite, accepted: str = "a finite number"
) -> Callable[[ScaleLike], Scale]:
    """A converter of one number to a scalar array; ranges and traced values pass.

    Args:
        name: of the argument, for messages.
        accept: whether a number that is known and finite is within the range.
        accepted: the range in words.

    Returns:
        A function that raises a `TypeError` on what is not one real number, and a `ValueError` on one out of the range.
    """

    def convert(value: ScaleLike) -> Scale:
        if isinstance(value, AbstractRange):
            return value
        array = float_array(name, value, accepted)
        if array.shape != ():
            raise TypeError(f"`{name}` must be {accepted}, got an array of shape {array.shape}.")
        check_entries(name, value, accept, accepted)
        return array

    return convert


def non_negative(name: str) -> Callable[[ScaleLike], Scale]:
    """A converter of one number of at least 0."""
    return finite(name, lambda x: x >= 0, "a number of at least 0")


def float_type(name: str, dtype: Any) -> np.dtype:
    """The dtype of a layer's weights; JAX's default float dtype for `None`.

    Raises:
        TypeError: if `dtype` is not one of real floats.
    """
    if dtype is None:
        return jnp.result_type(float)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"`{name}` must be a dtype of real floats, got {dtype!r}.")
    return jnp.dtype(dtype)
