"""What a jaxpr tells without being run: which inputs have influence, and how many operations there are."""

from math import prod
from typing import Any

from hype_ad.internal.programs import inner_programs, opened
from jax.extend import core
from jax.interpreters import partial_eval


def influential(closed: Any) -> list[bool]:
    """Which inputs of a jaxpr its outputs depend on, by whatever path that carries numbers."""
    return partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))[1]


def operations(closed: Any) -> tuple[float, bool]:
    """About how many additions and multiplications a jaxpr makes, and whether that is all of them.

    Loops of known length count as often as they run, of branches the longest. A `while_loop` counts as often as it may
    run at most, if its condition says so, or else once, and then there are more. (XLA's own count takes every loop for
    one turn.)
    """
    used, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _count(used)


def _count(jaxpr: Any) -> tuple[float, bool]:
    total, whole = 0.0, True
    for equation in jaxpr.eqns:
        name, inner = equation.primitive.name, [_count(opened(sub)) for sub in inner_programs(equation)]
        counts = [count for count, _ in inner]
        whole &= name != "while" and all(known for _, known in inner)
        if name == "while":
            total += _most_turns(equation) * sum(counts)
        elif name == "scan":
            total += equation.params["length"] * sum(counts)
        elif name == "cond":
            total += max(counts)
        elif inner:
            total += sum(counts)
        else:
            total += _one(equation, name)
    return total, whole


def results(program: Any) -> int:
    """About how many bytes all results in a jaxpr take, those of every turn of a loop of known length."""
    total = 0
    for equation in opened(program).eqns:
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += turns * sum(map(results, inner_programs(equation)))
        total += sum(_bytes(variable.aval) for variable in equation.outvars)
    return total


def _bytes(aval: Any) -> int:
    return prod(getattr(aval, "shape", ())) * getattr(getattr(aval, "dtype", None), "itemsize", 0)


def _most_turns(loop: Any) -> int:
    """The number that a counter is compared with in the condition of a loop, as in `(i < 40) & ...`."""
    for equation in loop.params["cond_jaxpr"].jaxpr.eqns:
        if equation.primitive.name == "lt" and isinstance(equation.invars[1], core.Literal):
            return int(equation.invars[1].val)
    return 1


def _one(equation: Any, name: str) -> float:
    sizes = [prod(getattr(variable.aval, "shape", ())) for variable in (*equation.outvars, *equation.invars)]
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2.0 * sizes[0] * prod(shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        out = equation.params["dimension_numbers"].rhs_spec[0]
        return 2.0 * sizes[0] * prod(kernel) / kernel[out]
    if name.startswith("reduce") or name.startswith("cum"):
        return float(max(sizes))
    if name in _FREE:
        return 0.0
    return float(sizes[0])


_FREE = {"broadcast_in_dim", "reshape", "squeeze", "convert_element_type", "stop_gradient", "copy", "iota", "slice"}
