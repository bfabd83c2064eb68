"""Hessians, forward over reverse: the JVPs of the gradient along all unit directions at once."""

from typing import Any

import jax
from jaxtyping import PyTree

from ..internal import tree
from ..internal.mode import Mode, check_mode
from .argnums import Argnums, at_argument, with_aux
from .blocks import Blocks
from .forms import Function, giving, without_value
from .gradient import value_gradient


def hessian(f: Function, argnums: Argnums = 0, has_aux: bool = False, *, mode: Mode = "reverse") -> Function:
    r"""Hessian $H_{ij} = \partial^2 f / \partial x_i \partial x_j$ of a function to one number.

    Examples:
        >>> from hype_ad import DV, hessian
        >>> hessian(lambda v: v[0] ** 2 * v[1])(DV([1.0, 2.0]))
        DM(2 x 2)
        [[4. 2.]
         [2. 0.]]

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) and perhaps more arguments, to a `D` or a
            number.
        argnums: which positional argument, or arguments, to differentiate with respect to.
        has_aux: whether `f` returns a pair whose second part is passed through.
        mode: how the inner gradient is taken, see `grad`; the outer derivative is always taken forward.

    Returns:
        A function with the arguments of `f` that gives the Hessian, of shape (shape of x) + (shape of x): a `DM` for a
        `DV`. Of pytrees: the structure of `x`, in which each part is replaced by an `x` of blocks. With `has_aux` the
        pair (Hessian, auxiliary output).

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, or if `argnums` is not made of integers.
        ValueError: if f(x) is not one number, if `argnums` names no argument, or if `mode` is unknown.
    """
    return without_value(value_and_hessian(f, argnums, has_aux, mode=mode), has_aux)


@giving(hessian, "value", "Hessian")
def value_and_hessian(f: Function, argnums: Argnums = 0, has_aux: bool = False, *, mode: Mode = "reverse") -> Function:
    derivatives = _value_grad_hessian(f, argnums, has_aux, mode)
    return lambda *args, **kwargs: derivatives(*args, **kwargs)[::2]


def grad_hessian(f: Function, *, mode: Mode = "reverse") -> Function:
    r"""Gradient $\nabla f(x)$ and Hessian $H(x)$ from one evaluation of `f`: what a Newton step needs.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.
        mode: as in `hessian`.

    Returns:
        A function of `x` that gives the pair (gradient, Hessian).

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if f(x) is not one number, or if `mode` is unknown.
    """
    return without_value(value_and_grad_hessian(f, mode=mode))


@giving(grad_hessian, "value", "gradient", "Hessian")
def value_and_grad_hessian(f: Function, *, mode: Mode = "reverse") -> Function:
    return _value_grad_hessian(f, 0, False, mode)


def _value_grad_hessian(f: Function, argnums: Argnums, has_aux: bool, mode: Mode) -> Function:
    check_mode("mode", mode)

    def derivatives(*args: Any, **kwargs: Any) -> tuple[Any, PyTree, PyTree]:
        g, x = at_argument(f, argnums, has_aux, args, kwargs)

        def gradient(x: PyTree) -> tuple[PyTree, Any]:
            value, result, aux = value_gradient(g, x, mode)
            return result, (value, aux)

        push = lambda direction: jax.jvp(gradient, (x,), (direction,), has_aux=True)
        result, columns, (value, aux) = jax.vmap(push, out_axes=(None, -1, None))(tree.basis(x))
        return with_aux(value, aux, has_aux), result, Blocks.from_columns(result, x, columns).arranged()

    return derivatives
