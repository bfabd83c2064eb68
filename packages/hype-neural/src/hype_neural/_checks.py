"""Checks of what a caller passes to a layer or an initializer."""

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import AbstractRange
from jax.core import Tracer
from jaxtyping import Array, Float

Scale: TypeAlias = Float[Array, ""] | AbstractRange
"""A float of an initializer: a scalar array, or a range such as `hype_optim.positive(0.1)`."""


def positive_size(name: str, value: Any) -> int:
    """Check for an integer of at least 1.

    Raises:
        TypeError: if `value` is not an integer.
        ValueError: if it is below 1.
    """
    if isinstance(value, bool | Tracer):
        raise TypeError(f"`{name}` must be an integer known before compiling, got {value!r}.")
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, got {value!r}.") from None
    if value < 1:
        raise ValueError(f"`{name}` must be at least 1, got {value}.")
    return value


def scale(
    name: str, value: Any, accept: Callable[[np.ndarray], Any] = np.isfinite, accepted: str = "a finite number"
) -> Scale:
    """Turn a number into a scalar array and check it; a traced one and a range pass.

    Raises:
        TypeError: if `value` is not one real number.
        ValueError: if it is known and `accept` is false for it.
    """
    if isinstance(value, AbstractRange):
        return value
    if isinstance(value, bool | str) or not isinstance(value, int | float | np.number | np.ndarray | jax.Array):
        raise TypeError(f"`{name}` must be {accepted}, got {value!r}.")
    array = jnp.asarray(value)
    if array.shape != () or jnp.iscomplexobj(array):
        raise TypeError(f"`{name}` must be {accepted}, got {array.dtype} of shape {array.shape}.")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    if not isinstance(array, Tracer) and not (np.isfinite(array) and accept(np.asarray(array))):
        raise ValueError(f"`{name}` must be {accepted}, got {array}.")
    return array


def non_negative_scale(name: str, value: Any) -> Scale:
    """Check for a number of at least 0."""
    return scale(name, value, lambda x: x >= 0, "a number of at least 0")


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
