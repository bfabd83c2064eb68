"""Gradients of functions to one number: reverse mode, or forward mode where there is no way back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._mode import Mode, check_mode
from .argument import at_argument, with_aux
from .directions import along_each, unflat
from .point import Function, check_floats, check_scalar, scalar_valued, tangent


def grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, *, mode: Mode = "reverse") -> Function:
    r"""Gradient $\nabla f(x)$ of a function to one number.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) and perhaps more arguments, to a `D` or a
            number.
        argnums: which positional argument, or arguments, to differentiate with respect to.
        has_aux: whether `f` returns a pair whose second part is passed through.
        mode: "reverse" costs a few evaluations of `f`, whatever the number of coordinates. "forward" costs about one
            for each coordinate, in the memory of 32, and goes through loops of unknown length (`jax.lax.while_loop`).

    Returns:
        A function with the arguments of `f` that gives the gradient, of the structure and types of `x`; with `has_aux`
        the pair (gradient, auxiliary output). It can be differentiated again in any mode that `f` and `mode` allow.

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats.
        ValueError: if `f(x)` is not one number, if `argnums` names no argument, or if `mode` is unknown.
    """
    check_mode("grad: mode", mode)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        g, x = at_argument("grad", f, argnums, has_aux, args, kwargs)
        _, result, aux = value_gradient("grad", g, x, mode)
        return with_aux(result, aux, has_aux)

    return gradient


def value_and_grad(
    f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, *, mode: Mode = "reverse"
) -> Function:
    r"""Value $f(x)$ and gradient $\nabla f(x)$ from one evaluation of `f`.

    Args:
        f: as in `grad`.
        argnums: as in `grad`.
        has_aux: as in `grad`.
        mode: as in `grad`.

    Returns:
        A function that gives the pair (value, gradient); with `has_aux` ((value, auxiliary output), gradient), as JAX
        does.

    Raises:
        TypeError: as `grad`.
        ValueError: as `grad`.
    """
    check_mode("value_and_grad: mode", mode)

    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        g, x = at_argument("value_and_grad", f, argnums, has_aux, args, kwargs)
        value, result, aux = value_gradient("value_and_grad", g, x, mode)
        return with_aux(value, aux, has_aux), result

    return value_and_gradient


def gradv(f: Function) -> Function:
    r"""Directional derivative $\nabla f(x) \cdot v$ of a function to one number, in one forward pass.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.

    Returns:
        A function of `x` and a direction `v` of the same shape, that gives a number.

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats.
        ValueError: if `f(x)` is not one number, or if `v` does not have the shape of `x`.
    """
    return lambda x, v: _value_gradv("gradv", f, x, v)[1]


def value_and_gradv(f: Function) -> Function:
    r"""Value $f(x)$ and directional derivative $\nabla f(x) \cdot v$ from one evaluation of `f`.

    Args:
        f: as in `gradv`.

    Returns:
        A function of `x` and a direction `v` that gives the pair of them.

    Raises:
        TypeError: as `gradv`.
        ValueError: as `gradv`.
    """
    return lambda x, v: _value_gradv("value_and_gradv", f, x, v)


def value_gradient(operator: str, f: Function, x: PyTree, mode: Mode) -> tuple[Any, PyTree, Any]:
    """(value, gradient, auxiliary output) of an `f` that gives the pair of value and auxiliary output."""

    def checked(x: PyTree) -> tuple[Any, Any]:
        value, aux = f(x)
        check_scalar(operator, "f(x)", value)
        return jax.tree.map(jnp.asarray, value), aux

    if mode == "reverse":
        with explain_while_loop(operator):
            value, pull, aux = jax.vjp(checked, x, has_aux=True)
            (gradient,) = pull(jax.tree.map(jnp.ones_like, value))
        return value, gradient, aux

    def push(direction: PyTree) -> tuple[Any, Any]:
        value, derivative, aux = jax.jvp(checked, (x,), (direction,), has_aux=True)
        return (value, aux), jax.tree.leaves(derivative)[0]

    (value, aux), derivatives = along_each(push, x)
    return value, unflat(derivatives, x), aux


@contextmanager
def explain_while_loop(operator: str) -> Iterator[None]:
    """Adds to JAX's refusal to go backwards through a loop of unknown length what to do about it."""
    try:
        yield
    except ValueError as error:
        if "lax.while_loop" in str(error):
            error.add_note(f'{operator}: forward mode goes through such loops: pass mode="forward".')
        raise


def _value_gradv(operator: str, f: Function, x: PyTree, v: PyTree) -> tuple[Any, Any]:
    check_floats(operator, "x", x)
    return jax.jvp(scalar_valued(operator, f), (x,), (tangent(operator, "v", v, "x", x),))
