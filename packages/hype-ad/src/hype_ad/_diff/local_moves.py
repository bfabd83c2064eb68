"""Where the coordinates of a `LocalJacobian` go when the entries of an array are put at other positions."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn

from .jets import Value
from .local_jacobian import ABSENT, Index
from .moves import MOVES


def moved(equation: JaxprEqn, index: Index | None, inputs: Sequence[Value]) -> Index | None:
    """The table of the result of an operation on its first input; None if there was none, or if it is not known."""
    if index is None:
        return None
    name = equation.primitive.name
    if name in _BY_PLACES:
        return _BY_PLACES[name](equation, index, inputs)
    # A number of its own for each entry goes where the entry goes.
    numbers = np.arange(math.prod(index.shape[1:])).reshape(index.shape[1:])
    return index.reshape(len(index), numbers.size)[:, MOVES[name](equation.params, numbers)]


def _sliced_from(equation: JaxprEqn, index: Index, inputs: Sequence[Value]) -> Index | None:
    starts = [start for start in inputs[1:] if isinstance(start, np.ndarray)]
    if len(starts) < len(inputs) - 1:
        return None
    places: list[Any] = [slice(None)]
    for start, length, whole in zip(starts, equation.params["slice_sizes"], index.shape[1:], strict=True):
        first = min(max(int(start), 0), whole - length)
        places.append(slice(first, first + length))
    return index[tuple(places)]


def _gathered(equation: JaxprEqn, index: Index, inputs: Sequence[Value]) -> Index | None:
    starts = inputs[1]
    if not isinstance(starts, np.ndarray):
        return None
    params = {**equation.params, "fill_value": None if equation.params["fill_value"] is None else ABSENT}
    names = ("dimension_numbers", "slice_sizes", "unique_indices", "indices_are_sorted", "mode", "fill_value")
    with jax.ensure_compile_time_eval():
        tables = [lax.gather(table, starts, **{name: params[name] for name in names}) for table in index]
        return np.maximum(np.stack(list(map(np.asarray, tables))), ABSENT)


_BY_PLACES: dict[str, Callable[[JaxprEqn, Index, Sequence[Value]], Index | None]] = {
    "dynamic_slice": _sliced_from,
    "gather": _gathered,
}
NAMES = {*MOVES, *_BY_PLACES}
"""The operations whose results `moved` knows of."""
