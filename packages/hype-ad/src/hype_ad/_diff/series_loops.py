"""Power series of loops and branches: the coefficients of all that a body takes and gives go through it together.

`run` evaluates a program on values that may be series, and gives its outputs with all coefficients up to `order`.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, JaxprEqn, jaxpr_as_fun

from .power_series import Series, Value, start_of
from .programs import scan_counts

Run: TypeAlias = Callable[[ClosedJaxpr, Sequence[Value]], list[Value]]
Places: TypeAlias = tuple[int, ...]
"""The coefficients of a value, beside the first, that may be other than zero: none where it does not change."""


def of_equation(run: Run, order: int, equation: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
    """A loop or a branch, one of `EQUATIONS`."""
    return EQUATIONS[equation.primitive.name](run, order, equation, inputs)


def repeat(
    run: Run, order: int, body: ClosedJaxpr, consts: Sequence[Value], start: Sequence[Value], length: int
) -> list[Value]:
    """The values in `start` after `body` has been applied to them so many times."""
    return _scanned(run, order, body, consts, start, [], length=length)


def _scan(run: Run, order: int, equation: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
    constants, carries = scan_counts(equation)
    settings = {name: equation.params[name] for name in ("length", "reverse", "unroll")}
    last = constants + carries
    parts = inputs[:constants], inputs[constants:last], inputs[last:]
    return _scanned(run, order, equation.params["jaxpr"], *parts, **settings)


def _scanned(
    run: Run,
    order: int,
    body: ClosedJaxpr,
    consts: Sequence[Value],
    start: Sequence[Value],
    rows: Sequence[Value],
    **settings: Any,
) -> list[Value]:
    of_rows = _places(rows, order)
    of_outputs: list[Places] = []
    xs = _packed(rows, of_rows)

    def step(of_carry: list[Places], carry: Any, row: Any) -> tuple[Any, Any]:
        outputs = run(body, [*consts, *_unpacked(carry, of_carry), *_unpacked(row, of_rows)])
        of_outputs[:] = _places(outputs, order)
        return _packed(outputs[: len(start)], of_carry), _packed(outputs[len(start) :], of_outputs[len(start) :])

    def after(of_carry: list[Places]) -> list[Places]:
        row = jax.tree.map(lambda part: jax.ShapeDtypeStruct(part.shape[1:], part.dtype), xs)
        jax.eval_shape(lambda carry, row: step(of_carry, carry, row), _packed(start, of_carry), row)
        return of_outputs[: len(start)]

    of_carry = _settled(_places(start, order), after)
    carry, ys = lax.scan(lambda *pair: step(of_carry, *pair), _packed(start, of_carry), xs, **settings)
    return [*_unpacked(carry, of_carry), *_unpacked(ys, of_outputs[len(start) :])]


def _while(run: Run, order: int, equation: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
    params = equation.params
    first, last = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    start = inputs[last:]
    goes_on = lambda carry: jaxpr_as_fun(params["cond_jaxpr"])(
        *map(start_of, inputs[:first]), *[parts[0] for parts in carry]
    )[0]
    body = lambda carry, places: run(params["body_jaxpr"], [*inputs[first:last], *_unpacked(carry, places)])

    def after(places: list[Places]) -> list[Places]:
        return _traced_places(lambda carry: body(carry, places), order, _packed(start, places))

    places = _settled(_places(start, order), after)
    carry = lax.while_loop(goes_on, lambda carry: _packed(body(carry, places), places), _packed(start, places))
    return _unpacked(carry, places)


def _cond(run: Run, order: int, equation: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
    index, *operands = inputs
    of_operands = _places(operands, order)
    packed = _packed(operands, of_operands)
    branches = [
        lambda packed, branch=branch: run(branch, _unpacked(packed, of_operands))
        for branch in equation.params["branches"]
    ]
    places = [_union(*own) for own in zip(*[_traced_places(b, order, packed) for b in branches], strict=True)]
    chosen = [lambda packed, branch=branch: _packed(branch(packed), places) for branch in branches]
    return _unpacked(lax.switch(index, chosen, packed), places)


EQUATIONS = {"cond": _cond, "scan": _scan, "while": _while}


def _places(values: Sequence[Value], order: int) -> list[Places]:
    changing = lambda value, k: isinstance(value, Series) and value[k] is not None
    return [tuple(k for k in range(1, order + 1) if changing(value, k)) for value in values]


def _traced_places(function: Callable[[Any], list[Value]], order: int, packed: Any) -> list[Places]:
    found: list[Places] = []

    def traced(packed: Any) -> None:
        found[:] = _places(function(packed), order)

    jax.eval_shape(traced, packed)
    return found


def _settled(places: list[Places], after: Callable[[list[Places]], list[Places]]) -> list[Places]:
    """Those that a carry has all the way, where after a step it has those of `after`."""
    while (grown := [_union(*own) for own in zip(places, after(places), strict=True)]) != places:
        places = grown
    return places


def _union(*places: Places) -> Places:
    return tuple(sorted(set().union(*places)))


def _packed(values: Sequence[Value], places: Sequence[Places]) -> list[list[Any]]:
    def coefficients(value: Value, own: Places) -> list[Any]:
        start = jnp.asarray(start_of(value))
        later = [value[k] if isinstance(value, Series) else None for k in own]
        return [start, *(jnp.zeros_like(start) if c is None else c for c in later)]

    return [coefficients(value, own) for value, own in zip(values, places, strict=True)]


def _unpacked(packed: Sequence[Sequence[Any]], places: Sequence[Places]) -> list[Value]:
    def value(parts: Sequence[Any], own: Places) -> Value:
        later = dict(zip(own, parts[1:], strict=True))
        return Series(parts[0], later.get) if later else parts[0]

    return [value(parts, own) for parts, own in zip(packed, places, strict=True)]
