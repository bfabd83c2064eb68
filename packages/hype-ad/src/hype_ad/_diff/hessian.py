"""Hessians, forward over reverse: the gradient, pushed along every direction at the same time."""

from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import PyTree

from .._mode import Mode, check_mode
from .argument import at_argument, with_aux
from .blocks import Blocks
from .directions import basis
from .gradient import value_gradient
from .point import Function


def hessian(
    f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, *, mode: Mode = "reverse"
) -> Function:
    r"""Hessian $H_{ij} = \partial^2 f / \partial x_i \partial x_j$ of a function to one number.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) and perhaps more arguments, to a `D` or a
            number.
        argnums: which positional argument, or arguments, to differentiate with respect to.
        has_aux: whether `f` returns a pair whose second part is passed through.
        mode: how the inner gradient is taken, see `grad`; the outer derivative is always taken forward.

    Returns:
        A function with the arguments of `f` that gives the Hessian, of shape (shape of x) + (shape of x): a `DM` of a
        `DV`. Of
        pytrees: the structure of `x`, in which each part is replaced by an `x` of blocks. With `has_aux` the pair
            (Hessian,
        auxiliary output).

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats.
        ValueError: if `f(x)` is not one number, if `argnums` names no argument, or if `mode` is unknown.
    """
    check_mode("hessian: mode", mode)

    def derivative(*args: Any, **kwargs: Any) -> Any:
        g, x = at_argument("hessian", f, argnums, has_aux, args, kwargs)
        _, _, matrix, aux = _value_grad_hessian("hessian", g, x, mode)
        return with_aux(matrix, aux, has_aux)

    return derivative


def value_and_hessian(
    f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, *, mode: Mode = "reverse"
) -> Function:
    r"""Value $f(x)$ and Hessian $H(x)$ from one evaluation of `f`.

    Args:
        f: as in `hessian`.
        argnums: as in `hessian`.
        has_aux: as in `hessian`.
        mode: as in `hessian`.

    Returns:
        A function that gives the pair (value, Hessian); with `has_aux` ((value, auxiliary output), Hessian).

    Raises:
        TypeError: as `hessian`.
        ValueError: as `hessian`.
    """
    check_mode("value_and_hessian: mode", mode)

    def derivative(*args: Any, **kwargs: Any) -> Any:
        g, x = at_argument("value_and_hessian", f, argnums, has_aux, args, kwargs)
        value, _, matrix, aux = _value_grad_hessian("value_and_hessian", g, x, mode)
        return with_aux(value, aux, has_aux), matrix

    return derivative


def grad_hessian(f: Function, *, mode: Mode = "reverse") -> Function:
    r"""Gradient $\nabla f(x)$ and Hessian $H(x)$ from one evaluation of `f`: what a Newton step needs.

    Args:
        f: as in `hessian`.
        mode: as in `hessian`.

    Returns:
        A function of `x` that gives the pair (gradient, Hessian).

    Raises:
        TypeError: as `hessian`.
        ValueError: as `hessian`.
    """
    check_mode("grad_hessian: mode", mode)

    def derivative(*args: Any, **kwargs: Any) -> Any:
        g, x = at_argument("grad_hessian", f, 0, False, args, kwargs)
        return _value_grad_hessian("grad_hessian", g, x, mode)[1:3]

    return derivative


def value_and_grad_hessian(f: Function, *, mode: Mode = "reverse") -> Function:
    r"""Value $f(x)$, gradient $\nabla f(x)$ and Hessian $H(x)$ from one evaluation of `f`.

    Args:
        f: as in `hessian`.
        mode: as in `hessian`.

    Returns:
        A function of `x` that gives the triple (value, gradient, Hessian).

    Raises:
        TypeError: as `hessian`.
        ValueError: as `hessian`.
    """
    check_mode("value_and_grad_hessian: mode", mode)

    def derivative(*args: Any, **kwargs: Any) -> Any:
        g, x = at_argument("value_and_grad_hessian", f, 0, False, args, kwargs)
        return _value_grad_hessian("value_and_grad_hessian", g, x, mode)[:3]

    return derivative


def _value_grad_hessian(operator: str, f: Function, x: PyTree, mode: Mode) -> tuple[Any, PyTree, PyTree, Any]:
    def gradient(x: PyTree) -> tuple[PyTree, Any]:
        value, result, aux = value_gradient(operator, f, x, mode)
        return result, (value, aux)

    push = lambda direction: jax.jvp(gradient, (x,), (direction,), has_aux=True)
    result, columns, (value, aux) = jax.vmap(push, out_axes=(None, -1, None))(basis(x))
    return value, result, Blocks.from_columns(result, x, columns).arranged(), aux
