"""Parts of a program that are there many times in a row, as Python loops leave them, found to be compiled once."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from .programs import dtype_of

# XLA on CPUs (JAX 0.10) compiles the series of shorter programs without a loop in less than some seconds, and into
# faster code; it takes minutes, or gives code that is ten times slower, beyond so many repeats times squared orders.
LEAST_PRODUCTS = 1500
# The length of a part, in operations.
LONGEST = 64


class Repeat(NamedTuple):
    """The same operations several times in a row, each time on what they gave the time before."""

    equations: list[JaxprEqn]
    body: ClosedJaxpr
    length: int
    consts: list[Var]
    start: list[Var]
    end: list[Var]


def pieces(jaxpr: Jaxpr, equations: list[JaxprEqn], order: int) -> Iterator[JaxprEqn | Repeat]:
    """The equations of a program in their order, with what repeats often taken together.

    The first time and the last stay as they are: before the first, fewer values may change, and of the last all values
    can be used.
    """
    position = 0
    least = max(4, -(-LEAST_PRODUCTS // max(order, 1) ** 2))
    for repeat, first in _repeats(jaxpr, equations, least):
        yield from equations[position:first]
        yield repeat
        position = first + len(repeat.equations)
    yield from equations[position:]


def _repeats(jaxpr: Jaxpr, equations: list[JaxprEqn], least: int) -> list[tuple[Repeat, int]]:
    """Repeats that do not overlap, with the number of their first equation; short parts first."""
    found: list[tuple[Repeat, int]] = []
    taken = np.zeros(len(equations), bool)
    numbers: dict[Any, int] = {}
    kinds = np.array([numbers.setdefault(_kind(equation), len(numbers)) for equation in equations])
    for size in range(1, min(LONGEST, len(equations) // least) + 1):
        same = np.flatnonzero(np.diff(kinds[:-size] == kinds[size:], prepend=False, append=False))
        for first, last in same.reshape(-1, 2):
            blocks = [equations[i : i + size] for i in range(first, last + 1, size)]
            if len(blocks) >= least and not taken[first : last + size].any():
                after = [*equations[first + size * len(blocks) :], jaxpr]
                if repeat := _repeat(jaxpr, blocks, after, least):
                    begin = int(first) + size
                    found.append((repeat, begin))
                    taken[begin : begin + len(repeat.equations)] = True
    return sorted(found, key=lambda pair: pair[1])


def _kind(equation: JaxprEqn) -> Any:
    """A key that equations share that do the same, if to other variables."""
    literal = lambda atom: (str(atom.val), dtype_of(atom)) if isinstance(atom, Literal) else None
    params = tuple(sorted(equation.params.items()))
    try:
        hash(params)
    except TypeError:
        return object()
    if equation.effects:
        return object()
    shapes = tuple(atom.aval.strip_weak_type() for atom in (*equation.invars, *equation.outvars))
    return equation.primitive, params, shapes, tuple(map(literal, equation.invars))


def _repeat(jaxpr: Jaxpr, blocks: list[list[JaxprEqn]], after: Sequence[Any], least: int) -> Repeat | None:
    """The blocks as a repeat, if each takes its inputs from the one before alone, or from outside of all."""
    places = [{out: (i, j) for i, e in enumerate(b) for j, out in enumerate(e.outvars)} for b in blocks]

    def inputs(k: int) -> list[Any]:
        of = lambda atom: places[k].get(atom) or ("before", places[k - 1].get(atom, atom))
        return [of(atom) for e in blocks[k] for atom in e.invars if not isinstance(atom, Literal)]

    wanted = inputs(1)
    count = next((k for k in range(2, len(blocks)) if inputs(k) != wanted), len(blocks))
    if count < least:
        return None
    inner = blocks[1 : count - 1]
    own = {out for block in inner for e in block for out in e.outvars}
    rest = [e for block in blocks[count:] for e in block] + list(after)
    if any(not isinstance(a, Literal) and a in own for e in rest for a in (e.outvars if e is jaxpr else e.invars)):
        return None
    before = list(dict.fromkeys(source for kind, source in wanted if kind == "before"))
    carries = [source for source in before if isinstance(source, tuple)]
    consts = [source for source in before if not isinstance(source, tuple)]
    of_block = lambda k: [blocks[k][i].outvars[j] for i, j in carries]
    body = jaxpr.replace(constvars=[], invars=[*consts, *of_block(0)], outvars=of_block(1), eqns=blocks[1])
    flat = [e for block in inner for e in block]
    return Repeat(flat, ClosedJaxpr(body, []), len(inner), consts, of_block(0), of_block(count - 2))
