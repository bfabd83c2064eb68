"""Checks of numbers that several settings have in common."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hype_ad.internal.checks import check_entries, float_array
from jaxtyping import Array, ArrayLike, Float

_is_positive = lambda entries: entries > 0


def positive(name: str, x: ArrayLike) -> Float[Array, "..."]:
    """`x` as a float array whose entries are positive and finite.

    Raises:
        ValueError: if some entry is not, and is known.
        TypeError: if `x` is not made of real numbers.
    """
    array = float_array(name, x)
    check_entries(name, x, _is_positive, "positive and finite")
    return array


def number(
    name: str, x: ArrayLike, accept: Callable[[np.ndarray], Any] = _is_positive, accepted: str = "positive and finite"
) -> Float[Array, ""]:
    """`x` as a float array without axes, if `accept` is true of it; it raises as `positive` does, and for axes."""
    array = float_array(name, x, "one real number")
    if array.ndim != 0:
        raise ValueError(f"`{name}` must be one number, got an array of shape {array.shape}.")
    check_entries(name, x, accept, accepted)
    return array
