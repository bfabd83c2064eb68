"""Traced programs (jaxprs) inside of one another: those of loops, branches and calls."""

from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn


def inner_programs(equation: JaxprEqn) -> list[Jaxpr | ClosedJaxpr]:
    """The programs among the parameters of an equation."""
    return list(filter(_is_program, jax.tree.leaves(equation.params, is_leaf=_is_program)))


def opened(program: Jaxpr | ClosedJaxpr) -> Jaxpr:
    """A program without its constants."""
    return program.jaxpr if isinstance(program, ClosedJaxpr) else program


def all_equations(program: Jaxpr | ClosedJaxpr) -> Iterator[JaxprEqn]:
    """The equations of a program, and of those inside of it."""
    for equation in opened(program).eqns:
        yield equation
        for inner in inner_programs(equation):
            yield from all_equations(inner)


def _is_program(x: Any) -> bool:
    return isinstance(x, ClosedJaxpr | Jaxpr)
