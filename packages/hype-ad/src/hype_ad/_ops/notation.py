"""Numbers in the notation of other systems."""

import math
from collections.abc import Callable
from typing import Any

from .._types.to_array import TensorLike, to_array


def to_mathematica(x: TensorLike, *, decimals: int | None = None) -> str:
    """Writes `x` as Mathematica reads it: `{1.0, 2.0}`, `{{1.0, 2.0}, {3.0, 4.0}}`.

    Args:
        x: a number, a vector or a matrix of known values.
        decimals: digits after the point; all that the numbers have if not given.
    """

    def number(value: float) -> str:
        if math.isnan(value):
            return "Indeterminate"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return _digits(value, decimals).replace("e", "*^").replace("^+", "^")

    def nested(values: Any) -> str:
        return "{" + ", ".join(map(nested, values)) + "}" if isinstance(values, list) else number(values)

    return nested(to_array(x).tolist())


def to_matlab(x: TensorLike, *, decimals: int | None = None) -> str:
    """Writes `x` as MATLAB reads it: `[1.0 2.0]`, `[1.0 2.0; 3.0 4.0]`.

    Args:
        x: a number, a vector or a matrix of known values.
        decimals: digits after the point; all that the numbers have if not given.
    """

    def number(value: float) -> str:
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Inf" if value > 0 else "-Inf"
        return _digits(value, decimals)

    values = to_array(x).tolist()
    if not isinstance(values, list):
        return number(values)
    rows = values if values and isinstance(values[0], list) else [values]
    return "[" + "; ".join(_joined(row, number) for row in rows) + "]"


def _joined(row: list[float], number: Callable[[float], str]) -> str:
    return " ".join(map(number, row))


def _digits(value: float, decimals: int | None) -> str:
    return repr(value) if decimals is None else f"{value:.{decimals}f}"
