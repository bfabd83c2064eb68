"""Which inputs each output of a traced linear program depends on, as boolean matrices; conservative, never too few.

A derivative is a linear function of its direction, and JAX's rules say which. So it is their program that is read, with
the point unknown, and not that of the function: what a `custom_jvp` says is what counts. A value that does not depend
on the direction is a coefficient. Its zeros count where the program itself makes them, out of constants, and in
integers and booleans that it holds; a float that it holds may be a parameter, whose derivative needs the entry.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal

from .dependence_rules import RULES, NeedsReverse, check_size, filled, height, mixed, own_columns, united, width
from .pattern import Pattern, stacked, without_entries
from .programs import CALLS, as_function, called, closed, scan_counts, size_of

# Entries of a coefficient that is evaluated to look for zeros in it.
_LARGEST_VALUE = 2**24

_INNER = dict.fromkeys(CALLS, "jaxpr") | {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}

Values: TypeAlias = Sequence[Callable[[], Any] | None]
"""For each input a function that gives its value, or None where that is not known."""


def dependences(program: ClosedJaxpr, inputs: Sequence[Pattern | None], values: Values) -> list[Pattern | None]:
    """The dependence of each output of a program that is linear in those inputs that depend on anything.

    A dependence has a row for each entry of a variable, and columns that mean the same everywhere; None is one without
    entries.
    """
    jaxpr = program.jaxpr
    found: dict[Any, Pattern] = {}
    known: dict[Any, Callable[[], Any]] = {}
    for var, const in zip(jaxpr.constvars, program.consts, strict=True):
        if not isinstance(const, Tracer) and np.dtype(_dtype(const)).kind in "biu":
            known[var] = lambda const=const: const
    for var, pattern, value in zip(jaxpr.invars, inputs, values, strict=True):
        if pattern is not None and pattern.nnz:
            found[var] = pattern
        if value is not None:
            known[var] = value

    def value_of(atom: Any) -> Callable[[], Any] | None:
        if not isinstance(atom, Literal):
            return known.get(atom)
        return None if isinstance(atom.val, jax.Array) else lambda: atom.val

    for equation in jaxpr.eqns:
        patterns = [None if isinstance(atom, Literal) else found.get(atom) for atom in equation.invars]
        given = [value_of(atom) for atom in equation.invars]
        if all(pattern is None for pattern in patterns):
            if all(value is not None for value in given) and not equation.effects:
                known.update(_evaluated_later(program, equation, given))
            continue
        for var, pattern in zip(equation.outvars, _through(equation, patterns, given), strict=True):
            if pattern is not None and pattern.nnz and np.dtype(_dtype(var.aval)).kind in "fcV":
                check_size(pattern.nnz)
                found[var] = pattern
    return [None if isinstance(atom, Literal) else found.get(atom) for atom in jaxpr.outvars]


def _dtype(x: Any) -> Any:
    """The dtype as NumPy knows it; those of keys count as floats, since nothing is known of them."""
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        return np.asarray(x).dtype
    return dtype if isinstance(dtype, np.dtype) else np.dtype(np.float32)


def _evaluated_later(program: ClosedJaxpr, equation: JaxprEqn, given: Values) -> dict[Any, Callable[[], Any]]:
    if any(size_of(var) > _LARGEST_VALUE for var in equation.outvars):
        return {}
    results: list[Any] = []

    def evaluate(place: int) -> Any:
        if not results:
            with jax.ensure_compile_time_eval():
                arguments = [value() for value in given if value is not None]
                results.extend(as_function(program.jaxpr, equation)(*arguments))
        return results[place]

    return {var: lambda place=place: evaluate(place) for place, var in enumerate(equation.outvars)}


def _through(equation: JaxprEqn, patterns: list[Pattern | None], given: Values) -> Sequence[Pattern | None]:
    name = equation.primitive.name
    if name in _INNER and _INNER[name] in equation.params:
        return dependences(closed(equation.params[_INNER[name]]), patterns, given)
    if name == "cond":
        branches = [dependences(branch, patterns[1:], given[1:]) for branch in equation.params["branches"]]
        return [united(of_branches) for of_branches in zip(*branches, strict=True)]
    if name == "while":
        return _while(equation, patterns, given)
    if name == "scan":
        return _scan(equation, patterns, given)
    if name == "custom_linear_solve":  # what it computes is what `solve` computes
        lengths, programs = equation.params["const_lengths"], equation.params["jaxprs"]
        first, end = lengths.matvec + lengths.vecmat, sum(lengths)
        chosen = [*range(first, first + lengths.solve), *range(end, len(patterns))]
        return dependences(closed(programs.solve), [patterns[i] for i in chosen], [given[i] for i in chosen])
    if name == "custom_lin":
        raise NeedsReverse
    if name in RULES:
        return RULES[name](equation, patterns, [_numbers(value) for value in given])
    return [mixed(patterns, size_of(var)) for var in equation.outvars]


def _numbers(value: Callable[[], Any] | None) -> Callable[[], np.ndarray] | None:
    return None if value is None else lambda: np.asarray(value())


def _while(equation: JaxprEqn, patterns: list[Pattern | None], given: Values) -> list[Pattern | None]:
    conditions, constants = equation.params["cond_nconsts"], equation.params["body_nconsts"]
    fixed, known = patterns[conditions : conditions + constants], given[conditions : conditions + constants]
    carry = patterns[conditions + constants :]
    step = lambda carry: dependences(equation.params["body_jaxpr"], [*fixed, *carry], [*known, *[None] * len(carry)])
    return _repeated(step, carry)


def _repeated(
    step: Callable[[list[Pattern | None]], list[Pattern | None]], carry: list[Pattern | None]
) -> list[Pattern | None]:
    """The union over any number of steps."""
    while True:
        after = [united(pair) for pair in zip(carry, step(carry), strict=True)]
        if [_count(pattern) for pattern in after] == [_count(pattern) for pattern in carry]:
            return after
        carry = after


def _count(pattern: Pattern | None) -> int:
    return 0 if pattern is None else pattern.nnz


def _scan(equation: JaxprEqn, patterns: list[Pattern | None], given: Values) -> list[Pattern | None]:
    """Reads the body once, in terms of its own inputs, and follows the carry by products of matrices."""
    parameters = equation.params
    length, (constants, carries) = parameters["length"], scan_counts(equation)
    body = called(equation)
    sizes = [size_of(var) for var in body.jaxpr.invars]
    outs = [size_of(var) for var in body.jaxpr.outvars]
    columns = next(width(pattern) for pattern in patterns if pattern is not None)
    whole = filled(patterns, map(size_of, equation.invars), columns)
    if not length:
        empty = [without_entries(size_of(var), columns) for var in equation.outvars[carries:]]
        return [*whole[constants : constants + carries], *empty]

    # What may depend on the columns at all, in any step.
    moving = [pattern is not None for pattern in patterns]
    while True:
        inputs = own_columns(sizes, moving)
        local = dependences(body, inputs, [*given[:constants], *[None] * (len(sizes) - constants)])
        reached = [moving[constants + k] or local[k] is not None for k in range(carries)]
        if reached == moving[constants : constants + carries]:
            break
        moving[constants : constants + carries] = reached
    total = sum(sizes)
    local = filled(local, outs, total)
    body_carry, body_out = stacked(local[:carries], total), stacked(local[carries:], total)
    fixed = stacked(whole[:constants], columns)
    carry: Any = stacked(whole[constants : constants + carries], columns)
    slices = [(pattern, height(pattern) // length) for pattern in whole[constants + carries :]]
    steps: list[Any] = [None] * length
    for t in range(length - 1, -1, -1) if parameters["reverse"] else range(length):
        state = stacked([fixed, carry, *(pattern[t * n : (t + 1) * n] for pattern, n in slices)], columns)
        steps[t], carry = body_out @ state, body_carry @ state
        check_size(carry.nnz)
    check_size(sum(step.nnz for step in steps))
    finals = _parts(carry, outs[:carries])
    return [
        *finals,
        *(stacked(rows, columns) for rows in zip(*(_parts(p, outs[carries:]) for p in steps), strict=True)),
    ]


def _parts(pattern: Pattern, sizes: Sequence[int]) -> list[Pattern]:
    bounds = np.cumsum([0, *sizes])
    return [pattern[a:b] for a, b in pairwise(bounds)]
