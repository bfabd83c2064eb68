"""The diagonal of a Hessian and its trace, in memory that does not hold the Hessian.

Along each axis the second derivative is taken by forward mode on forward mode. Per direction that moves as many
tangents through `f` as forward over reverse does, but nothing is kept for a way back, and loops of unknown length are
no obstacle.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .directions import along_each, unflat
from .point import Function, check_floats, labeled, parts, scalar_valued


def hessian_diag(f: Function) -> Function:
    r"""Diagonal of the Hessian, $\partial^2 f / \partial x_i^2$, exact, without the Hessian.

    Costs about three evaluations of `f` for each coordinate, in the memory of 32 such; `hutchinson_hessian_diag`
    estimates it at the cost of a few products.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.

    Returns:
        A function of `x` that gives a pytree of the structure, shapes and types of `x`.

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats.
        ValueError: if `f(x)` is not one number.
    """
    return lambda x: _value_hessian_diag("hessian_diag", f, x)[1]


def value_and_hessian_diag(f: Function) -> Function:
    r"""Value $f(x)$ and diagonal of the Hessian from one evaluation of `f`.

    Args:
        f: as in `hessian_diag`.

    Returns:
        A function of `x` that gives the pair of them.

    Raises:
        TypeError: as `hessian_diag`.
        ValueError: as `hessian_diag`.
    """
    return lambda x: _value_hessian_diag("value_and_hessian_diag", f, x)


def laplacian(f: Function) -> Function:
    r"""Laplacian $\sum_i \partial^2 f / \partial x_i^2$ of a function to one number, exact, without the Hessian.

    Costs about three evaluations of `f` for each coordinate, in the memory of 32 such; `hutchinson_laplacian` estimates
    it at the cost of a few evaluations.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.

    Returns:
        A function of `x` that gives a number, a `D` if `x` or `f(x)` is a tensor.

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats.
        ValueError: if `f(x)` is not one number.
    """
    return lambda x: _value_laplacian("laplacian", f, x)[1]


def value_and_laplacian(f: Function) -> Function:
    r"""Value $f(x)$ and Laplacian from one evaluation of `f`.

    Args:
        f: as in `laplacian`.

    Returns:
        A function of `x` that gives the pair of them.

    Raises:
        TypeError: as `laplacian`.
        ValueError: as `laplacian`.
    """
    return lambda x: _value_laplacian("value_and_laplacian", f, x)


def second_derivative(operator: str, f: Function, x: PyTree) -> Callable[[PyTree], tuple[Any, Any]]:
    r"""$v \mapsto (f(x), v^\top H(x) v)$."""
    checked = scalar_valued(operator, f)

    def along(direction: PyTree) -> tuple[Any, Any]:
        def first(x: PyTree) -> tuple[Any, Any]:
            value, derivative = jax.jvp(checked, (x,), (direction,))
            return derivative, value

        _, second, value = jax.jvp(first, (x,), (direction,), has_aux=True)
        return value, jax.tree.leaves(second)[0]

    return along


def _value_hessian_diag(operator: str, f: Function, x: PyTree) -> tuple[Any, PyTree]:
    check_floats(operator, "x", x)
    value, seconds = along_each(second_derivative(operator, f, x), x)
    return value, unflat(seconds, x)


def _value_laplacian(operator: str, f: Function, x: PyTree) -> tuple[Any, Any]:
    check_floats(operator, "x", x)
    value, seconds = along_each(second_derivative(operator, f, x), x)
    return value, labeled(jnp.sum(seconds), value, *parts(x)[0])
