"""Where the coordinates of a `LocalJacobian` go when the entries of an array are put at other positions."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn

from .jets import Value
from .local_jacobian import ABSENT, Index
from .programs import shape_of


def moved(equation: JaxprEqn, index: Index | None, inputs: Sequence[Value]) -> Index | None:
    """The table of the result of an operation on its first input; None if there was none, or if it is not known."""
    if index is None:
        return None
    return MOVES[equation.primitive.name](equation, index, inputs)


def _reshaped(equation: JaxprEqn, index: Index, inputs: Sequence[Value]) -> Index:
    order = equation.params["dimensions"]  # in which the axes are read, as for `reduce_prod`
    if order is not None:
        index = index.transpose(0, *(axis + 1 for axis in order))
    return index.reshape(len(index), *shape_of(equation.outvars[0]))


def _squeezed(equation: JaxprEqn, index: Index, inputs: Sequence[Value]) -> Index:
    return index.reshape(len(index), *shape_of(equation.outvars[0]))


def _transposed(equation: JaxprEqn, index: Index, inputs: Sequence[Value]) -> Index:
    return index.transpose(0, *(axis + 1 for axis in equation.params["permutation"]))


def _broadcast(equation: JaxprEqn, index: Index, inputs: Sequence[Value]) -> Index:
    shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
    wide = [1] * len(shape)
    for axis, length in zip(axes, index.shape[1:], strict=True):
        wide[axis] = length
    return np.broadcast_to(index.reshape(len(index), *wide), (len(index), *shape))


def _sliced(equation: JaxprEqn, index: Index, inputs: Sequence[Value]) -> Index:
    starts, limits = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or [1] * len(starts)
    return index[(slice(None), *map(slice, starts, limits, strides))]


def _reversed(equation: JaxprEqn, index: Index, inputs: Sequence[Value]) -> Index:
    return np.flip(index, tuple(axis + 1 for axis in equation.params["dimensions"]))


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


MOVES: dict[str, Callable[[JaxprEqn, Index, Sequence[Value]], Index | None]] = {
    "broadcast_in_dim": _broadcast,
    "dynamic_slice": _sliced_from,
    "gather": _gathered,
    "reshape": _reshaped,
    "rev": _reversed,
    "slice": _sliced,
    "squeeze": _squeezed,
    "transpose": _transposed,
}
