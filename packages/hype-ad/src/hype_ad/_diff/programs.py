"""Traced programs (jaxprs) read equation by equation: what an interpreter of them needs to know."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun
from jaxtyping import Array

from ..internal.programs import all_equations, inner_programs

Apply = Callable[..., Sequence[Array]]

CALLS = {"checkpoint", "closed_call", "jit", "pjit", "remat2"}
"""Equations whose program may be run in their place."""

LINEAR = {
    **dict.fromkeys(("broadcast_in_dim", "convert_element_type", "copy", "cumsum", "div"), slice(0, 1)),
    **dict.fromkeys(("dynamic_slice", "gather", "neg", "reduce_sum", "reshape", "rev"), slice(0, 1)),
    **dict.fromkeys(("slice", "split", "squeeze", "transpose", "unstack"), slice(0, 1)),
    **dict.fromkeys(("add", "add_any", "dynamic_update_slice", "pad", "sub"), slice(0, 2)),
    **dict.fromkeys(("concatenate", "stack"), slice(None)),
    "scatter-add": slice(0, 3, 2),
    "select_n": slice(1, None),
}
"""Which inputs an operation is linear in, all together."""

BILINEAR = {"conv_general_dilated", "dot_general", "mul"}


def dtype_of(atom: Any) -> np.dtype:
    """The dtype of a variable or a literal."""
    return atom.aval.dtype


def shape_of(atom: Any) -> tuple[int, ...]:
    """The shape of a variable or a literal."""
    return atom.aval.shape


def size_of(atom: Any) -> int:
    """The number of entries of a variable or a literal."""
    return math.prod(shape_of(atom))


def is_float(atom: Any) -> bool:
    """Whether a variable is of floats, real or complex."""
    return jnp.issubdtype(dtype_of(atom), jnp.inexact)


def replaced(values: Any, places: Sequence[int], new: Sequence[Any]) -> list[Any]:
    """A list with others at some places."""
    result = list(values)
    for place, value in zip(places, new, strict=True):
        result[place] = value
    return result


def as_function(jaxpr: Jaxpr, equation: JaxprEqn) -> Apply:
    """An equation as a function of all of its inputs, of which some may be literals or the same."""
    inputs: list[Any] = [Var(atom.aval) for atom in equation.invars]
    single = jaxpr.replace(
        constvars=[],
        invars=inputs,
        outvars=equation.outvars,
        eqns=[equation.replace(invars=inputs)],
        effects=equation.effects,
    )
    return jaxpr_as_fun(ClosedJaxpr(single, []))


def closed(program: Jaxpr | ClosedJaxpr) -> ClosedJaxpr:
    """A program with its constants, of which one that is not closed has none."""
    return program if isinstance(program, ClosedJaxpr) else ClosedJaxpr(program, [])


def called(equation: JaxprEqn) -> ClosedJaxpr:
    """The program of an equation that calls one."""
    return closed(equation.params["jaxpr"])


def scan_counts(equation: JaxprEqn) -> tuple[int, int]:
    """The numbers of constants and of carries of a scan: its body gets and gives them as they are outside.

    The names of the parameters that say so have changed with JAX 0.12.
    """
    body = called(equation).jaxpr
    whole = lambda outer, inner: sum(len(shape_of(a)) == len(shape_of(b)) for a, b in zip(outer, inner, strict=True))
    carries = whole(equation.outvars, body.outvars)
    return whole(equation.invars, body.invars) - carries, carries


def needed(jaxpr: Jaxpr) -> list[JaxprEqn]:
    """The equations left by dead code elimination: a rule may compute more than its caller asks for."""
    wanted = {atom for atom in jaxpr.outvars if not isinstance(atom, Literal)}
    kept = []
    for equation in reversed(jaxpr.eqns):
        if equation.effects or any(out in wanted for out in equation.outvars):
            wanted.update(atom for atom in equation.invars if not isinstance(atom, Literal))
            kept.append(equation)
    return kept[::-1]


def constants_of(program: ClosedJaxpr) -> list[Any]:
    """The arrays that a program, or one that it calls, holds; a printed program does not show them."""
    inside = [inner for equation in all_equations(program) for inner in inner_programs(equation)]
    return [const for each in (program, *inside) if isinstance(each, ClosedJaxpr) for const in each.consts]
