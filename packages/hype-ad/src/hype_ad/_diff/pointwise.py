"""Functions that act on each entry by itself, and their first and second derivatives."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun
from jaxtyping import Array

from .programs import CALLS, Apply, called, shape_of

SMOOTH = {
    *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "bessel_i0e", "bessel_i1e", "cbrt", "cos", "cosh"),
    *("digamma", "div", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "integer_pow", "lgamma", "log", "log1p"),
    *("logistic", "mul", "pow", "rsqrt", "sin", "sinh", "sqrt", "square", "tan", "tanh"),
}
STRAIGHT = {
    *("abs", "add", "add_any", "clamp", "convert_element_type", "copy", "copy_p", "max", "min", "neg"),
    *("reduce_precision", "select_n", "sub"),
}
"""Those whose second derivatives vanish: with corners perhaps, but straight between them."""

CONSTANT = {
    *("and", "ceil", "eq", "floor", "ge", "gt", "is_finite", "le", "lt", "ne", "not", "or", "round", "sign"),
    *("stop_gradient", "xor"),
}


def is_pointwise(equation: JaxprEqn, function: Apply, values: Sequence[Array]) -> bool:
    """Whether an equation with a rule of its own acts on each entry by itself, as the rule says.

    The rule is asked as what it computes is what the derivative is.
    """
    if len(equation.outvars) != 1:
        return False
    name, shape = equation.primitive.name, shape_of(equation.outvars[0])
    if name != "custom_jvp_call" or any(value.shape not in ((), shape) for value in values):
        return False
    rule = jax.make_jaxpr(lambda *u: jax.jvp(lambda *u: function(*u)[0], u, u))(*values)
    return _is_pointwise(rule.jaxpr, shape)


def _is_pointwise(jaxpr: Jaxpr, shape: tuple[int, ...]) -> bool:
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if any(shape_of(atom) not in ((), shape) for atom in (*equation.invars, *equation.outvars)):
            return False
        if name in CALLS:
            if not _is_pointwise(called(equation).jaxpr, shape):
                return False
        elif name == "custom_jvp_call":
            if not _is_pointwise(equation.params["call_jaxpr"].jaxpr, shape):
                return False
        elif name not in SMOOTH | STRAIGHT | CONSTANT and not (
            name == "broadcast_in_dim" and shape_of(equation.invars[0]) == ()
        ):
            return False
    return True


def partials(
    function: Callable[..., Array], values: tuple[Array, ...]
) -> tuple[list[Array], dict[tuple[int, int], Array]]:
    """The first derivatives of a pointwise function in each input, and the second ones that are not zero throughout."""

    def first(i: int) -> Callable[..., Array]:
        return lambda *u: jax.jvp(lambda v: function(*u[:i], v, *u[i + 1 :]), (u[i],), (jnp.ones_like(u[i]),))[1]

    def second(i: int, j: int) -> Callable[..., Array]:
        return lambda *u: jax.jvp(lambda v: first(i)(*u[:j], v, *u[j + 1 :]), (u[j],), (jnp.ones_like(u[j]),))[1]

    pairs = [(i, j) for j in range(len(values)) for i in range(j + 1)]
    programs = {pair: jax.make_jaxpr(second(*pair))(*values) for pair in pairs}
    seconds = {p: jaxpr_as_fun(program)(*values)[0] for p, program in programs.items() if not _is_zero(program)}
    return [first(i)(*values) for i in range(len(values))], seconds


def _is_zero(program: ClosedJaxpr) -> bool:
    (out,) = program.jaxpr.outvars
    if isinstance(out, Literal):
        return not out.val
    (source,) = [equation for equation in program.jaxpr.eqns if out in equation.outvars] or [None]
    if source is None or source.primitive.name != "broadcast_in_dim":
        return False
    return isinstance(source.invars[0], Literal) and not source.invars[0].val
