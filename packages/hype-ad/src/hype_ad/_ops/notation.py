"""Tensors as text that Mathematica and MATLAB read."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._documentation import like
from .._types.to_array import TensorLike, to_array


def to_mathematica(x: TensorLike, *, decimals: int | None = None) -> str:
    """Writes `x` as Mathematica reads it: `{1.0, 2.0}`, `{{1.0, 2.0}, {3.0, 4.0}}`.

    Args:
        x: a number, a vector or a matrix of known values.
        decimals: digits after the point; as many as tell the number from its neighbors if not given.
    """

    def number(digits: str) -> str:
        mantissa, _, exponent = digits.partition("e")
        return f"{mantissa}*^{int(exponent)}" if exponent else digits

    def nested(values: Any) -> str:
        if values.ndim:
            return "{" + ", ".join(nested(value) for value in values) + "}"
        return _text(values, decimals, number, infinity="Infinity", nan="Indeterminate")

    return nested(np.asarray(to_array(x)))


@like(to_mathematica)
def to_matlab(x: TensorLike, *, decimals: int | None = None) -> str:
    """Writes `x` as MATLAB reads it: `[1.0 2.0]`, `[1.0 2.0; 3.0 4.0]`."""

    def number(value: Any) -> str:
        return _text(value, decimals, str, infinity="Inf", nan="NaN")

    values = np.asarray(to_array(x))
    if not values.ndim:
        return number(values)
    return "[" + "; ".join(" ".join(map(number, row)) for row in np.atleast_2d(values)) + "]"


def _text(value: Any, decimals: int | None, number: Callable[[str], str], *, infinity: str, nan: str) -> str:
    if np.isnan(value):
        return nan
    if np.isinf(value):
        return infinity if value > 0 else f"-{infinity}"
    # The text of a NumPy scalar is the shortest that its own type reads back.
    return number(str(value) if decimals is None else f"{float(value):.{decimals}f}")
