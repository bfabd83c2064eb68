"""Jacobians: by rows in reverse mode if there are fewer outputs than inputs, else by columns in forward mode."""

from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import PyTree

from .._mode import Mode, check_mode
from .argument import at_argument, with_aux
from .blocks import Blocks
from .directions import basis, size
from .gradient import explain_while_loop
from .point import Function, float_valued


def jacobian(
    f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, *, mode: Mode | None = None
) -> Function:
    r"""Jacobian $J_{ij} = \partial f_i / \partial x_j$.

    `f` is evaluated once, and linearized there. The rows of a wide Jacobian are then pulled back, the columns of a
    square or tall one pushed forward, all at the same time.

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
        TypeError: if `x` or `f(x)` is not made of real floats.
        ValueError: if `argnums` names no argument, or if `mode` is unknown.
    """
    return _jacobian("jacobian", f, argnums, has_aux, mode, transpose=False, value_too=False)


def value_and_jacobian(
    f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, *, mode: Mode | None = None
) -> Function:
    r"""Value $f(x)$ and Jacobian $J(x)$ from one evaluation of `f`.

    Args:
        f: as in `jacobian`.
        argnums: as in `jacobian`.
        has_aux: as in `jacobian`.
        mode: as in `jacobian`.

    Returns:
        A function that gives the pair (value, Jacobian); with `has_aux` ((value, auxiliary output), Jacobian).

    Raises:
        TypeError: as `jacobian`.
        ValueError: as `jacobian`.
    """
    return _jacobian("value_and_jacobian", f, argnums, has_aux, mode, transpose=False, value_too=True)


def jacobian_t(f: Function, *, mode: Mode | None = None) -> Function:
    r"""Transposed Jacobian, $J_{ji} = \partial f_i / \partial x_j$.

    Args:
        f: as in `jacobian`.
        mode: as in `jacobian`.

    Returns:
        A function of `x` that gives the transposed Jacobian, of shape (shape of x) + (shape of f(x)); of pytrees the
        structure of `x`, in which each part is replaced by an `f(x)` of blocks.

    Raises:
        TypeError: as `jacobian`.
        ValueError: if `mode` is unknown.
    """
    return _jacobian("jacobian_t", f, 0, False, mode, transpose=True, value_too=False)


def value_and_jacobian_t(f: Function, *, mode: Mode | None = None) -> Function:
    r"""Value $f(x)$ and transposed Jacobian $J(x)^\top$ from one evaluation of `f`.

    Args:
        f: as in `jacobian`.
        mode: as in `jacobian`.

    Returns:
        A function of `x` that gives the pair (value, transposed Jacobian).

    Raises:
        TypeError: as `jacobian`.
        ValueError: if `mode` is unknown.
    """
    return _jacobian("value_and_jacobian_t", f, 0, False, mode, transpose=True, value_too=True)


def value_jacobian(operator: str, f: Function, x: PyTree, mode: Mode | None) -> tuple[Any, Blocks, Any]:
    """(value, Jacobian, auxiliary output) of an `f` that gives the pair of value and auxiliary output."""

    def checked(x: PyTree) -> tuple[Any, Any]:
        value, aux = f(x)
        return float_valued(operator, lambda: value)(), aux

    if mode == "forward":
        push = lambda direction: jax.jvp(checked, (x,), (direction,), has_aux=True)
        value, columns, aux = jax.vmap(push, out_axes=(None, -1, None))(basis(x))
        return value, Blocks.from_columns(value, x, columns), aux

    value, push, aux = jax.linearize(checked, x, has_aux=True)
    if mode == "reverse" or size(value) < size(x):
        with explain_while_loop(operator):
            (rows,) = jax.vmap(jax.linear_transpose(push, x))(basis(value))
        return value, Blocks.from_rows(value, x, rows), aux
    return value, Blocks.from_columns(value, x, jax.vmap(push, out_axes=-1)(basis(x))), aux


def _jacobian(
    operator: str,
    f: Function,
    argnums: int | Sequence[int],
    has_aux: bool,
    mode: Mode | None,
    *,
    transpose: bool,
    value_too: bool,
) -> Function:
    if mode is not None:
        check_mode(f"{operator}: mode", mode)

    def derivative(*args: Any, **kwargs: Any) -> Any:
        g, x = at_argument(operator, f, argnums, has_aux, args, kwargs)
        value, blocks, aux = value_jacobian(operator, g, x, mode)
        matrix = blocks.transposed() if transpose else blocks.arranged()
        return (with_aux(value, aux, has_aux), matrix) if value_too else with_aux(matrix, aux, has_aux)

    return derivative
