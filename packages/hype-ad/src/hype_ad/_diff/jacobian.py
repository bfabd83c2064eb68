"""Jacobians: by rows in reverse mode if there are fewer outputs than inputs, else by columns in forward mode."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

from ..internal import tree
from ..internal.mode import Mode, check_mode, explain_mode
from .argnums import Argnums, at_argument, with_aux
from .blocks import Blocks
from .checks import float_value
from .forms import Function, giving, without_value


def jacobian(f: Function, argnums: Argnums = 0, has_aux: bool = False, *, mode: Mode | None = None) -> Function:
    r"""Jacobian $J_{ij} = \partial f_i / \partial x_j$.

    `f` is evaluated once, and linearized there. The rows of a wide Jacobian are then pulled back, the columns of a
    square or tall one pushed forward, all at the same time.

    Examples:
        >>> from hype_ad import DV, jacobian
        >>> jacobian(lambda v: v**2)(DV([1.0, 2.0]))
        DM(2 x 2)
        [[2. 0.]
         [0. 4.]]

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) and perhaps more arguments, to a pytree of
            floats.
        argnums: which positional argument, or arguments, to differentiate with respect to.
        has_aux: whether `f` returns a pair whose second part is passed through.
        mode: "reverse" or "forward" to choose oneself. "forward" keeps nothing of the evaluation but the tangents,
            where the default keeps what a reverse pass would: take it for loops of many steps. It also goes through
            loops of unknown length.

    Returns:
        A function with the arguments of `f` that gives the Jacobian, of shape (shape of f(x)) + (shape of x): `DV ->
        DV` and `DV -> array` have a `DM`, arrays an array. Of pytrees: the structure of f(x), in which each part is
        replaced by an `x` of blocks. With `has_aux` the pair (Jacobian, auxiliary output).

    Raises:
        TypeError: if `x` or f(x) is not made of real floats, or if `argnums` is not made of integers.
        ValueError: if `argnums` names no argument, or if `mode` is unknown.
    """
    return without_value(value_and_jacobian(f, argnums, has_aux, mode=mode), has_aux)


@giving(jacobian, "value", "Jacobian")
def value_and_jacobian(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, mode: Mode | None = None
) -> Function:
    return _value_and(Blocks.arranged, f, argnums, has_aux, mode)


def jacobian_t(f: Function, *, mode: Mode | None = None) -> Function:
    r"""Transposed Jacobian, $J_{ji} = \partial f_i / \partial x_j$.

    Args:
        f: as in `jacobian`.
        mode: as in `jacobian`.

    Returns:
        A function of `x` that gives the transposed Jacobian, of shape (shape of x) + (shape of f(x)); of pytrees the
        structure of `x`, in which each part is replaced by an `f(x)` of blocks.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if `mode` is unknown.
    """
    return without_value(value_and_jacobian_t(f, mode=mode))


@giving(jacobian_t, "value", "transposed Jacobian")
def value_and_jacobian_t(f: Function, *, mode: Mode | None = None) -> Function:
    return _value_and(Blocks.transposed, f, 0, False, mode)


def _value_and(
    form: Callable[[Blocks], PyTree], f: Function, argnums: Argnums, has_aux: bool, mode: Mode | None
) -> Function:
    if mode is not None:
        check_mode("mode", mode)

    def value_and_matrix(*args: Any, **kwargs: Any) -> tuple[Any, PyTree]:
        g, x = at_argument(f, argnums, has_aux, args, kwargs)
        value, blocks, aux = _value_jacobian(g, x, mode)
        return with_aux(value, aux, has_aux), form(blocks)

    return value_and_matrix


def _value_jacobian(f: Function, x: PyTree, mode: Mode | None) -> tuple[Any, Blocks, Any]:
    """(value, Jacobian, auxiliary output) of an `f` that gives the pair of value and auxiliary output."""

    def checked(x: PyTree) -> tuple[Any, Any]:
        value, aux = f(x)
        return float_value(value), aux

    if mode == "forward":
        push = lambda direction: jax.jvp(checked, (x,), (direction,), has_aux=True)
        with explain_mode():
            value, columns, aux = jax.vmap(push, out_axes=(None, -1, None))(tree.basis(x))
        return value, Blocks.from_columns(value, x, columns), aux

    value, push, aux = jax.linearize(checked, x, has_aux=True)
    if mode == "reverse" or tree.size(value) < tree.size(x):
        with explain_mode():
            (rows,) = jax.vmap(jax.linear_transpose(push, x))(tree.basis(value))
        return value, Blocks.from_rows(value, x, rows), aux
    return value, Blocks.from_columns(value, x, jax.vmap(push, out_axes=-1)(tree.basis(x))), aux
