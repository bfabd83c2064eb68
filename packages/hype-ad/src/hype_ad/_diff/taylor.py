"""Taylor mode: the power series of a univariate function, pushed forward through its jaxpr equation by equation.

The program is read as JAX writes it down (a jaxpr). What does not depend on the variable is computed as it is. Linear
operations act on each coefficient, bilinear ones on pairs of them, quotients and integer powers have recurrences
(`power_series.py`). For all others JAX's own rule of differentiation is enough: where y = f(x), the rule gives y' as a
program of x and x', and the series of y is the integral of that program's. When the rule asks for f(x) again, or for
another operation on the same values that is under way already, it gets that very series: so sine and cosine find each
other, and a function costs about as much as a few products, the square of the order.

Nothing is without a rule, then, and kinks and ties are as in forward mode. Only solves, and loops inside of rules,
whose own rules contain a larger one of their kind, cost twice as much with each order, which is what everything costs
in nested forward mode. Other loops carry all coefficients around (`series_loops.py`), and what a program repeats often
is made a loop (`repeats.py`).
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from jaxtyping import Array, Float

from . import power_series as series
from . import series_loops
from .power_series import Coefficient, Series, Value, start_of
from .programs import (
    BILINEAR,
    CALLS,
    LINEAR,
    Apply,
    as_function,
    called,
    constants_of,
    dtype_of,
    is_float,
    needed,
    replaced,
)
from .repeats import Repeat, pieces


def derivatives(program: ClosedJaxpr, x: Float[Array, ""], order: int) -> list[list[Array]]:
    """All derivatives up to `order` of each output of a program of one number; index 0 is the value."""
    outputs = _completed(order, program, [series.variable(x)])
    return [[_derivative(out, k) for k in range(order + 1)] for out in outputs]


def _completed(order: int, program: ClosedJaxpr, arguments: Sequence[Value]) -> list[Value]:
    """The outputs of a program, with all coefficients up to `order` known."""
    run = _Run(program, arguments, {}, order)
    run.advance(order)
    return run.outputs


class _Run:
    """A jaxpr evaluated on given arguments: the series of all that it computes, in that order.

    Where an `order` is given, all coefficients of the arguments up to it can be had before others are computed: they
    can go through loops together.
    """

    def __init__(
        self,
        program: ClosedJaxpr,
        arguments: Sequence[Value],
        known: dict[Hashable, tuple],
        order: int | None = None,
    ):
        self._order = order
        self._series: list[Series] = []
        self._known = known  # operations on values, with their outputs; also the values, which must outlive their id
        self.outputs = self._run(program, arguments)

    def advance(self, k: int) -> None:
        """Computes all up to coefficient k, in order; the last alone would recurse as deep as the program is long."""
        for value in self._series:
            value[k]

    def _run(self, program: ClosedJaxpr, arguments: Sequence[Value]) -> list[Value]:
        jaxpr = program.jaxpr
        values: dict[Var, Value] = dict(
            zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *arguments], strict=True)
        )
        read = lambda atom: np.asarray(atom.val, dtype_of(atom)) if isinstance(atom, Literal) else values[atom]

        def evaluate(equations: Iterable[JaxprEqn | Repeat]) -> None:
            for piece in equations:
                if isinstance(piece, Repeat):
                    consts, start = ([values[var] for var in own] for own in (piece.consts, piece.start))
                    if not any(isinstance(value, Series) for value in [*consts, *start]):
                        evaluate(piece.equations)
                        continue
                    variables, outputs = piece.end, self._repeat(piece, consts, start)
                else:
                    variables = piece.outvars
                    outputs = self._step(jaxpr, piece, [read(atom) for atom in piece.invars])
                self._series.extend(out for out in outputs if isinstance(out, Series))
                values.update(zip(variables, outputs, strict=True))

        equations = needed(jaxpr)
        evaluate(equations if self._order is None else pieces(jaxpr, equations, self._order))
        return [read(atom) for atom in jaxpr.outvars]

    def _repeat(self, piece: Repeat, consts: Sequence[Value], start: Sequence[Value]) -> Sequence[Value]:
        order = self._order or 0
        self.advance(order)
        return series_loops.repeat(partial(_completed, order), order, piece.body, consts, start, piece.length)

    def _step(self, jaxpr: Jaxpr, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[Value]:
        name = equation.primitive.name
        apply = as_function(jaxpr, equation)
        changing = {i for i, value in enumerate(inputs) if isinstance(value, Series)}
        if not changing or name in _CONSTANT or not any(map(is_float, equation.outvars)):
            return apply(*map(start_of, inputs))
        if name in CALLS:
            return self._run(called(equation), inputs)
        if name in series_loops.EQUATIONS and self._order is not None:
            self.advance(self._order)
            return series_loops.of_equation(partial(_completed, self._order), self._order, equation, inputs)
        operation, constants = _operation(equation, lambda: _rule(equation, apply, changing, inputs))
        key = (*operation, *map(_identity, inputs))
        if key not in self._known:
            starts = apply(*map(start_of, inputs))
            self._known[key] = self._computed(equation, apply, changing, inputs, starts), inputs, constants
        return self._known[key][0]

    def _computed(
        self, equation: JaxprEqn, apply: Apply, changing: set[int], inputs: Sequence[Value], starts: Sequence[Array]
    ) -> Sequence[Value]:
        name = equation.primitive.name
        of_one = name in BILINEAR and len(changing) == 1
        linear = sorted(changing) if of_one else range(len(inputs))[LINEAR.get(name, slice(0))]
        if name in _SIGN:
            return [series.total(_series(inputs[0]), _series(inputs[1]), starts[0], _SIGN[name])]
        if name == "mul" and any(isinstance(value, np.ndarray) and not value.any() for value in inputs):
            # a rule that was told that one of its arguments does not change: half of what softplus computes
            return [series.constant(starts[0])]
        if changing.issubset(linear):

            def on_coefficients(*coefficients: Array) -> Sequence[Array]:
                return apply(*replaced(map(start_of, inputs), linear, coefficients))

            return series.linear([_series(inputs[i]) for i in linear], starts, on_coefficients)
        if name == "mul" and inputs[0] is inputs[1]:
            return [series.square(_series(inputs[0]), starts[0])]
        if name in BILINEAR:
            multiply = lax.mul if name == "mul" else lambda a, b: apply(a, b)[0]
            return [series.product(_series(inputs[0]), _series(inputs[1]), starts[0], multiply)]
        if name == "div":
            return [series.quotient(_series(inputs[0]), _series(inputs[1]), starts[0])]
        exponent = _exponent(equation, inputs)
        if exponent is not None:
            return [series.power(_series(inputs[0]), exponent)]
        return self._by_derivative(equation, apply, changing, inputs, starts)

    def _by_derivative(
        self, equation: JaxprEqn, apply: Apply, changing: set[int], inputs: Sequence[Value], starts: Sequence[Array]
    ) -> Sequence[Value]:
        """The integral of y', which JAX's rule gives as a program of x and x'."""
        run: list[_Run] = []  # not before a coefficient is asked for: rules can go on for ever

        def slope(place: int, k: int) -> Coefficient:
            if not run:
                slopes = [self._derivative(inputs[i]) for i in sorted(changing)]
                run.append(_Run(_rule(equation, apply, changing, inputs), [*inputs, *slopes], self._known))
            run[0].advance(k)
            return _series(run[0].outputs[place])[k]

        outputs: list[Value] = list(starts)
        for place, i in enumerate(_floats(equation)):
            outputs[i] = series.integral(starts[i], lambda k, place=place: slope(place, k))
        return outputs

    def _derivative(self, value: Value) -> Series:
        key = ("derivative", _identity(value))
        if key not in self._known:
            self._known[key] = series.derivative(_series(value)), value
        return self._known[key][0]


_SIGN = {"add": 1, "add_any": 1, "sub": -1}
_CONSTANT = {"ceil", "floor", "round", "sign", "stop_gradient"}


def _series(value: Value) -> Series:
    return value if isinstance(value, Series) else series.constant(jnp.asarray(value))


def _derivative(value: Value, k: int) -> Array:
    c = series.scaled(_series(value)[k], math.factorial(k))
    return jnp.zeros_like(start_of(value)) if c is None else c


def _exponent(equation: JaxprEqn, inputs: Sequence[Value]) -> int | None:
    """The exponent of a power to a whole number, also one written 2.0, else None: at 0 JAX's rule ends in 0 * inf."""
    name = equation.primitive.name
    if name in ("integer_pow", "square"):
        return equation.params.get("y", 2)
    if name == "pow" and isinstance(inputs[1], np.ndarray) and not inputs[1].ndim and float(inputs[1]).is_integer():
        return int(inputs[1])
    return None


def _identity(value: Value) -> Hashable:
    """A key that tells values apart; literals are made anew each time that they are read."""
    return (str(value.item()), value.dtype) if isinstance(value, np.ndarray) and value.ndim == 0 else id(value)


def _operation(equation: JaxprEqn, rule: Callable[[], ClosedJaxpr]) -> tuple[tuple[Hashable, ...], Any]:
    """A key that tells operations apart, and the values that must outlive their id in it."""
    params = tuple(sorted(equation.params.items()))
    if equation.primitive.name == "custom_jvp_call":
        # Made anew wherever it is called, also by its own rule: it is the same if it computes the same by the same
        # rule.
        programs = equation.params["call_jaxpr"], rule()
        constants = [const for program in programs for const in constants_of(program)]
        return (*map(str, programs), *map(id, constants)), constants
    try:
        hash(params)
    except TypeError:
        return (object(),), None
    return (equation.primitive, params), None


def _floats(equation: JaxprEqn) -> list[int]:
    return [i for i, out in enumerate(equation.outvars) if is_float(out)]


def _rule(equation: JaxprEqn, apply: Apply, changing: set[int], inputs: Sequence[Value]) -> ClosedJaxpr:
    """JAX's JVP rule of an equation, as a jaxpr from all inputs and the tangents of those that change."""
    places = sorted(changing)

    def slopes(inputs: list[Array], slopes: list[Array]) -> list[Any]:
        def moved(*changed: Array) -> list[Any]:
            outputs = apply(*replaced(inputs, places, changed))
            return [outputs[i] for i in _floats(equation)]

        return jax.jvp(moved, tuple(inputs[i] for i in places), tuple(slopes))[1]

    starts = [jnp.asarray(start_of(value)) for value in inputs]
    return jax.make_jaxpr(slopes)(starts, [starts[i] for i in places])
