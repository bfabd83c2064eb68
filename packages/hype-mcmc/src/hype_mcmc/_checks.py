"""Checks of numbers that several settings have in common."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hype_ad.internal.checks import check_entries, float_array
from jaxtyping import Array, ArrayLike, Float

_is_positive = lambda entries: entries > 0


def positive(name: str, x: ArrayLike) -> Float[Array, "..."]:
    """`x` as a float array, a ValueError if an entry that is known is not positive and finite."""
    array = float_array(name, x)
    check_entries(name, x, _is_positive, "positive and finite")
    return array


def number(
    name: str, x: ArrayLike, accept: Callable[[np.ndarray], Any] = _is_positive, accepted: str = "positive and finite"
) -> Float[Array, ""]:
    """`x` as a float array, a ValueError if it has axes or is known and not accepted."""
    array = float_array(name, x, "one real number")
    if array.ndim != 0:
        raise ValueError(f"`{name}` must be one number, got an array of shape {array.shape}.")
    check_entries(name, x, accept, accepted)
    return array
