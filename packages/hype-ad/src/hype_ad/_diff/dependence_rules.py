"""How a dependence passes through one linear operation: its entries are moved, added, or all mixed up.

An operation that only moves entries is run on their numbers. One that adds them is a product with a boolean matrix. Of
an operation without a rule, each output depends on all inputs.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, cast

import jax
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn

from .dependence_windows import convolution, window_sums
from .moves import MOVES
from .pattern import Pattern, of_entries, stacked, without_entries
from .programs import shape_of, size_of

Value: TypeAlias = Callable[[], np.ndarray] | None
"""Gives the value of an input that is known."""

Patterns: TypeAlias = Sequence[Pattern | None]

# Entries of a dependence: with more of them a sparse derivative is none. 80 MB.
_LARGEST = 2**24
_NOTHING = -1


class TooDense(Exception):
    """A dependence has more entries than are worth following."""


class NeedsReverse(Exception):
    """A function has no derivative in forward mode."""


def check_size(count: int) -> None:
    """Raises `TooDense` for more entries than are worth following."""
    if count > _LARGEST:
        raise TooDense


def height(pattern: Pattern) -> int:
    """Number of rows."""
    return len(pattern.indptr) - 1


def width(pattern: Pattern) -> int:
    """Number of columns."""
    return cast(tuple[int, int], pattern.shape)[1]


def own_columns(sizes: Sequence[int], moving: Sequence[bool]) -> list[Pattern | None]:
    """Inputs whose entries depend each on a column of its own, where they depend on anything."""
    bounds = np.cumsum([0, *sizes])
    of_input = lambda first, size: of_entries(np.arange(size), first + np.arange(size), (size, int(bounds[-1])))
    return [of_input(*pair) if moves else None for *pair, moves in zip(bounds[:-1], sizes, moving, strict=True)]


def filled(patterns: Patterns, sizes: Iterable[int], columns: int) -> list[Pattern]:
    """Dependences of variables of these sizes, without entries where there is none."""
    return [without_entries(size, columns) if p is None else p for size, p in zip(sizes, patterns, strict=True)]


def united(patterns: Iterable[Pattern | None]) -> Pattern | None:
    """The union of dependences of variables of one shape."""
    result = None
    for pattern in patterns:
        if pattern is not None:
            result = pattern if result is None else result + pattern
    return result


def mixed(patterns: Patterns, size: int) -> Pattern | None:
    """Outputs each of which depends on all that any input depends on."""
    inputs = [pattern for pattern in patterns if pattern is not None]
    if not inputs or not size:
        return None
    union = united(_summed(pattern, np.zeros(height(pattern), int), 1) for pattern in inputs)
    return None if union is None else _picked(union, np.zeros(size, int))


def _picked(pattern: Pattern, rows: np.ndarray) -> Pattern:
    """The dependence of entries each of which is one of others, or nothing."""
    rows = rows.reshape(-1)
    absent = rows < 0
    counts = np.diff(pattern.indptr)
    if not len(counts):
        return without_entries(len(rows), width(pattern))
    check_size(int(np.where(absent, 0, counts[rows]).sum()))
    if absent.any():
        pattern = stacked([pattern, without_entries(1, width(pattern))], width(pattern))
        rows = np.where(absent, len(counts), rows)
    return pattern[rows]


def _summed(pattern: Pattern, places: np.ndarray, size: int) -> Pattern:
    """The dependence of sums, of which the entry `i` goes into the one at `places[i]`, or nowhere."""
    places = places.reshape(-1)
    there = places >= 0
    return of_entries(places[there], np.flatnonzero(there), (size, len(places))) @ pattern


def _numbered(equation: JaxprEqn, patterns: Patterns) -> tuple[list[np.ndarray], Pattern]:
    """For each input the numbers of its entries, and the dependence of all by these numbers."""
    numbers, present, first = [], [], 0
    for atom, pattern in zip(equation.invars, patterns, strict=True):
        if pattern is None:
            numbers.append(np.full(shape_of(atom), _NOTHING))
        else:
            numbers.append(np.arange(first, first + height(pattern)).reshape(shape_of(atom)))
            present.append(pattern)
            first += height(pattern)
    return numbers, stacked(present, width(present[0]))


def _without(pattern: Pattern | None, atom: Any, axes: Sequence[int]) -> tuple[np.ndarray, Pattern | None]:
    """The union along some axes of a variable, and the number in it for each entry."""
    shape = shape_of(atom)
    kept = [1 if axis in axes else length for axis, length in enumerate(shape)]
    groups = np.broadcast_to(np.arange(math.prod(kept)).reshape(kept), shape)
    return groups, None if pattern is None else _summed(pattern, groups, math.prod(kept))


def _moves(run: Callable[..., Any]) -> Callable[..., list[Pattern | None]]:
    """The rule of an operation that only moves entries, from what moves an array, given the operation's parameters."""

    def rule(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
        numbers, pattern = _numbered(equation, patterns)
        moved = run(equation.params, *numbers)
        return [_picked(pattern, part) for part in (moved if equation.primitive.multiple_results else [moved])]

    return rule


def _pad(params: dict[str, Any], x: np.ndarray, filling: np.ndarray) -> np.ndarray:
    for axis, (low, high, interior) in enumerate(params["padding_config"]):
        length = x.shape[axis]
        places = low + np.arange(length) * (interior + 1)
        total = low + high + length + interior * max(length - 1, 0)
        there = (places >= 0) & (places < total)
        wide = np.full((*x.shape[:axis], total, *x.shape[axis + 1 :]), filling)
        wide[(slice(None),) * axis + (places[there],)] = x.compress(there, axis)
        x = wide
    return x


def _split(params: dict[str, Any], x: np.ndarray) -> list[np.ndarray]:
    return np.split(x, np.cumsum(params["sizes"])[:-1], params["axis"])


def _unstack(params: dict[str, Any], x: np.ndarray) -> list[np.ndarray]:
    return [np.take(x, i, params["axis"]) for i in range(x.shape[params["axis"]])]


def _entrywise(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    """Inputs of one shape, but for axes of length 1 and numbers."""
    return [united(_spread(equation, place, pattern) for place, pattern in enumerate(patterns))]


def _spread(equation: JaxprEqn, place: int, pattern: Pattern | None) -> Pattern | None:
    """The dependence of an input that is broadcast to the shape of the output."""
    own, out = shape_of(equation.invars[place]), shape_of(equation.outvars[0])
    if pattern is None or own == out:
        return pattern
    return _picked(pattern, np.broadcast_to(np.arange(height(pattern)).reshape(own), out))


def _product(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    (pattern,) = _entrywise(equation, patterns, values)
    if equation.primitive.name == "mul":
        for value in values:
            if pattern is not None and value is not None:
                there = np.broadcast_to(value() != 0, shape_of(equation.outvars[0])).reshape(-1)
                pattern = pattern if there.all() else _picked(pattern, np.where(there, np.arange(len(there)), _NOTHING))
    return [pattern]


def _select(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    if values[0] is None:
        return _entrywise(equation, [None, *patterns[1:]], values)
    which = np.broadcast_to(values[0](), shape_of(equation.outvars[0])).astype(int)
    numbers, pattern = _numbered(equation, [None, *patterns[1:]])
    return [_picked(pattern, np.choose(which, numbers[1:]) if len(numbers) < 32 else _chosen(which, numbers[1:]))]


def _chosen(which: np.ndarray, cases: Sequence[np.ndarray]) -> np.ndarray:
    return np.take_along_axis(np.stack(cases), which[None], axis=0)[0]


def _gather(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    numbers: Any = np.arange(size_of(equation.invars[0])).reshape(shape_of(equation.invars[0]))
    pattern, params, start = patterns[0], equation.params, shape_of(equation.invars[1])
    if pattern is None:
        return [None]
    if values[1] is None:  # somewhere along the axes that are indexed
        numbers, pattern = _without(pattern, equation.invars[0], params["dimension_numbers"].start_index_map)
        starts = np.zeros(start, int)
    else:
        starts = values[1]()
    names = ("dimension_numbers", "slice_sizes", "unique_indices", "indices_are_sorted", "mode")
    kept = {name: params[name] for name in names}
    with jax.ensure_compile_time_eval():
        places = np.asarray(lax.gather(numbers, starts, fill_value=_NOTHING, **kept))
    assert pattern is not None
    return [_picked(pattern, places)]


def _scatter(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    operand, _, updates = patterns
    if equation.primitive.name == "scatter-mul":
        return [operand if updates is None else mixed(patterns, size_of(equation.outvars[0]))]
    if values[1] is None:
        return [united([operand, mixed([updates], size_of(equation.outvars[0]))])]
    params, numbers = equation.params, np.arange(size_of(equation.invars[0])).reshape(shape_of(equation.invars[0]))
    dims = params["dimension_numbers"]
    collapsed = (*dims.inserted_window_dims, *dims.operand_batching_dims)
    window = iter(shape_of(equation.invars[2])[axis] for axis in dims.update_window_dims)
    sizes = [1 if axis in collapsed else next(window) for axis in range(numbers.ndim)]
    taken = lax.GatherDimensionNumbers(
        offset_dims=dims.update_window_dims,
        collapsed_slice_dims=dims.inserted_window_dims,
        start_index_map=dims.scatter_dims_to_operand_dims,
        operand_batching_dims=dims.operand_batching_dims,
        start_indices_batching_dims=dims.scatter_indices_batching_dims,
    )
    # where each update goes is where a gather would take it from
    with jax.ensure_compile_time_eval():
        places = lax.gather(numbers, values[1](), taken, sizes, mode=params["mode"], fill_value=_NOTHING)
    places = np.asarray(places)
    added = None if updates is None else _summed(updates, places, numbers.size)
    if equation.primitive.name == "scatter" and operand is not None:  # what is written over is gone
        kept = numbers.reshape(-1).copy()
        kept[places[places >= 0]] = _NOTHING
        operand = _picked(operand, kept)
    return [united([operand, added])]


def _dynamic_slice(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    sizes, shape = equation.params["slice_sizes"], shape_of(equation.invars[0])
    starts = values[1 : 1 + len(shape)]
    unknown = [axis for axis, value in enumerate(starts) if value is None and sizes[axis] < shape[axis]]
    numbers, pattern = _without(patterns[0], equation.invars[0], unknown)
    if pattern is None:
        return [None]
    return [_picked(pattern, numbers[_window(starts, sizes, shape)])]


def _dynamic_update_slice(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    shape, sizes, starts = shape_of(equation.invars[0]), shape_of(equation.invars[1]), values[2 : 2 + len(patterns)]
    if any(value is None and a < b for value, a, b in zip(starts, sizes, shape, strict=True)):
        return [united([patterns[0], mixed(patterns[1:2], size_of(equation.outvars[0]))])]
    numbers, pattern = _numbered(equation, [*patterns[:2], *[None] * len(starts)])
    numbers[0][_window(starts, sizes, shape)] = numbers[1]
    return [_picked(pattern, numbers[0])]


def _window(starts: Sequence[Value], sizes: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """A slice from where it starts, or from 0; moved inside as JAX does."""
    firsts = [0 if value is None else int(value()) for value in starts]
    inside = [min(max(first, 0), whole - size) for first, size, whole in zip(firsts, sizes, shape, strict=True)]
    return tuple(slice(first, first + size) for first, size in zip(inside, sizes, strict=True))


def _reduce_sum(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    return [_without(patterns[0], equation.invars[0], equation.params["axes"])[1]]


def _cumsum(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    (pattern,), shape, axis = patterns, shape_of(equation.invars[0]), equation.params["axis"]
    assert pattern is not None
    numbers = np.moveaxis(np.arange(height(pattern)).reshape(shape), axis, 0)
    length = shape[axis]
    check_size(numbers.size * length // 2)
    later, earlier = np.tril_indices(length)
    out, term = (earlier, later) if equation.params["reverse"] else (later, earlier)
    rows, columns = numbers[out].reshape(-1), numbers[term].reshape(-1)
    return [of_entries(rows, columns, (numbers.size, numbers.size)) @ pattern]


def _along_last(axes: Callable[[dict[str, Any]], int]) -> Callable[..., list[Pattern | None]]:
    """Each output depends on all along the last axes of the inputs, at the same place along those before."""

    def rule(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
        out, count = shape_of(equation.outvars[0]), axes(equation.params)
        batch = math.prod(out[: len(out) - count])
        unions = [
            _without(p, atom, range(len(shape_of(atom)) - count, len(shape_of(atom))))[1]
            for atom, p in zip(equation.invars, patterns, strict=True)
        ]
        union = united(unions)
        each = math.prod(out[len(out) - count :])
        return [None if union is None else _picked(union, np.repeat(np.arange(batch), each))]

    return rule


def _dot(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    pairs = zip((0, 1), patterns, reversed(values), strict=True)
    return [united(_dot_of(equation, side, pattern, other) for side, pattern, other in pairs if pattern is not None)]


def _dot_of(equation: JaxprEqn, side: int, pattern: Pattern, value: Value) -> Pattern:
    """Through the product with another array; where that is known, without its zeros."""
    contracting, batch = equation.params["dimension_numbers"]
    own, other = (shape_of(equation.invars[i]) for i in (side, 1 - side))
    free = lambda shape, i: [axis for axis in range(len(shape)) if axis not in (*contracting[i], *batch[i])]
    lengths = lambda shape, axes: math.prod(shape[axis] for axis in axes)
    b, k = lengths(own, batch[side]), lengths(own, contracting[side])
    m, n = lengths(own, free(own, side)), lengths(other, free(other, 1 - side))
    numbers = np.arange(height(pattern)).reshape(own)
    numbers = numbers.transpose(*batch[side], *free(own, side), *contracting[side]).reshape(b * m, k)
    if value is not None and b * m * k * n <= _LARGEST:
        known = value().transpose(*batch[1 - side], *contracting[1 - side], *free(other, 1 - side)).reshape(b, k, n)
        batches, terms, places = np.nonzero(known)
        rows = (batches[:, None] * m + np.arange(m)) * n + places[:, None]
        columns = numbers[batches[:, None] * m + np.arange(m), terms[:, None]]
        shape = b * m * n, height(pattern)
        result = of_entries(rows.reshape(-1), columns.reshape(-1), shape) @ pattern
    else:
        groups = np.empty(height(pattern), int)
        groups[numbers] = np.arange(b * m)[:, None]
        result = _picked(_summed(pattern, groups, b * m), np.repeat(np.arange(b * m), n))
    order = np.arange(b * m * n).reshape(b, m, n)
    return _picked(result, order if side == 0 else order.swapaxes(1, 2))


def _windows(equation: JaxprEqn, patterns: Patterns, values: Sequence[Value]) -> list[Pattern | None]:
    if equation.primitive.name == "conv_general_dilated":
        if patterns[1] is not None:  # a kernel, that all positions of a channel share
            return [mixed(patterns, size_of(equation.outvars[0]))]
        terms = convolution(equation)
    else:
        terms = window_sums(equation)
    assert patterns[0] is not None
    check_size(terms.nnz)
    return [terms @ patterns[0]]


RULES: dict[str, Callable[[JaxprEqn, Patterns, Sequence[Value]], list[Pattern | None]]] = {
    **dict.fromkeys(("add", "add_any", "sub", "neg", "copy", "copy_p", "convert_element_type", "div"), _entrywise),
    **dict.fromkeys(("real", "imag", "conj", "complex", "reduce_precision", "stop_gradient"), _entrywise),
    **{name: _moves(move) for name, move in MOVES.items()},
    "concatenate": _moves(lambda params, *xs: np.concatenate(xs, params["dimension"])),
    "conv_general_dilated": _windows,
    "cumsum": _cumsum,
    "dot_general": _dot,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "fft": _along_last(lambda params: len(params["fft_lengths"])),
    "gather": _gather,
    "mul": _product,
    "pad": _moves(_pad),
    "reduce_sum": _reduce_sum,
    "reduce_window_sum": _windows,
    "scatter": _scatter,
    "scatter-add": _scatter,
    "scatter-mul": _scatter,
    "scatter-sub": _scatter,
    "select_n": _select,
    "split": _moves(_split),
    "stack": _moves(lambda params, *xs: np.stack(xs, params["axis"])),
    "triangular_solve": _along_last(lambda params: 2),
    "unstack": _moves(_unstack),
}
