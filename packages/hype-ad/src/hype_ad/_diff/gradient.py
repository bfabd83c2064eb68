"""Gradients and directional derivatives of functions to one number; in forward mode too, for `lax.while_loop`."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._documentation import like
from ..internal import tree
from ..internal.mode import Mode, check_mode, explain_mode
from .argnums import Argnums, at_argument, with_aux
from .checks import check_floats, scalar_value, tangent
from .directions import along_each
from .forms import Function, giving, without_value


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False, *, mode: Mode = "reverse") -> Function:
    r"""Gradient $\nabla f(x)$ of a function to one number.

    Examples:
        >>> from hype_ad import DV, grad
        >>> grad(lambda v: (v**2).sum())(DV([1.0, 2.0]))
        DV([2. 4.])

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) and perhaps more arguments, to a `D` or a
            number.
        argnums: which positional argument, or arguments, to differentiate with respect to.
        has_aux: whether `f` returns a pair whose second part is passed through.
        mode: "reverse" costs a few evaluations of `f`, whatever the number of coordinates. "forward" costs about one
            for each coordinate, taken 32 at a time, and goes through loops of unknown length (`jax.lax.while_loop`).

    Returns:
        A function with the arguments of `f` that gives the gradient, of the structure and types of `x`; with `has_aux`
        the pair (gradient, auxiliary output). It can be differentiated again in any mode that `f` and `mode` allow.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, or if `argnums` is not made of integers.
        ValueError: if f(x) is not one number, if `argnums` names no argument, or if `mode` is unknown.
    """
    return without_value(value_and_grad(f, argnums, has_aux, mode=mode), has_aux)


@like(grad)
def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False, *, mode: Mode = "reverse") -> Function:
    r"""Value $f(x)$ and gradient $\nabla f(x)$ from one evaluation of `f`.

    Examples:
        >>> from hype_ad import DV, value_and_grad
        >>> value_and_grad(lambda v: (v**2).sum())(DV([1.0, 2.0]))
        (D(5.0), DV([2. 4.]))

    Returns:
        A function that gives the pair (value, gradient); with `has_aux` ((value, auxiliary output), gradient), as JAX
        does.
    """
    check_mode("mode", mode)

    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, PyTree]:
        g, x = at_argument(f, argnums, has_aux, args, kwargs)
        value, gradient, aux = value_gradient(g, x, mode)
        return with_aux(value, aux, has_aux), gradient

    return value_and_gradient


def gradv(f: Function) -> Function:
    r"""Directional derivative $\nabla f(x) \cdot v$ of a function to one number, in one forward pass.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.

    Returns:
        A function of `x` and a direction `v` of the same shape, that gives a number.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if f(x) is not one number, or if `v` does not have the shape of `x`.
    """
    return without_value(value_and_gradv(f))


@giving(gradv, "value", "directional derivative")
def value_and_gradv(f: Function) -> Function:
    def value_and_derivative(x: PyTree, v: PyTree) -> tuple[Any, Any]:
        check_floats("x", x)
        return jax.jvp(lambda x: scalar_value(f(x)), (x,), (tangent("v", v, "x", x),))

    return value_and_derivative


def value_gradient(f: Function, x: PyTree, mode: Mode) -> tuple[Any, PyTree, Any]:
    """(value, gradient, auxiliary output) of an `f` that gives the pair of value and auxiliary output."""

    def checked(x: PyTree) -> tuple[Any, Any]:
        value, aux = f(x)
        return scalar_value(value), aux

    if mode == "reverse":
        with explain_mode():
            value, pull, aux = jax.vjp(checked, x, has_aux=True)
            (gradient,) = pull(jax.tree.map(jnp.ones_like, value))
        return value, gradient, aux

    def push(direction: PyTree) -> tuple[Any, Any]:
        value, derivative, aux = jax.jvp(checked, (x,), (direction,), has_aux=True)
        return (value, aux), jax.tree.leaves(derivative)[0]

    with explain_mode():
        (value, aux), derivatives = along_each(push, x)
    return value, tree.unravel(derivatives, x), aux
