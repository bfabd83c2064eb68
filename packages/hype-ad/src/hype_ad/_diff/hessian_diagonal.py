"""The diagonal of a Hessian, in memory that does not hold the Hessian.

Along each axis the second derivative is taken by forward mode over forward mode. Per direction that moves as many
tangents through `f` as forward over reverse does, but no residuals are kept for a reverse pass, and loops of unknown
length are no obstacle.
"""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

from ..internal import tree
from .checks import check_floats, scalar_value
from .directions import along_each
from .forms import Function, giving, without_value


def hessian_diag(f: Function) -> Function:
    r"""Diagonal of the Hessian, $\partial^2 f / \partial x_i^2$, exact, without the Hessian.

    Costs about three evaluations of `f` for each coordinate, taken 32 at a time; `hutchinson_hessian_diag`
    estimates it at the cost of a few products.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.

    Returns:
        A function of `x` that gives a pytree of the structure, shapes and types of `x`.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if f(x) is not one number.
    """
    return without_value(value_and_hessian_diag(f))


@giving(hessian_diag, "value", "diagonal")
def value_and_hessian_diag(f: Function) -> Function:
    def value_and_diagonal(x: PyTree) -> tuple[Any, PyTree]:
        check_floats("x", x)
        value, (_, seconds) = along_each(along_direction(f, x), x)
        return value, tree.unravel(seconds, x)

    return value_and_diagonal


def along_direction(f: Function, x: PyTree) -> Callable[[PyTree], tuple[Any, Any]]:
    r"""$v \mapsto (f(x), (\nabla f(x) \cdot v, v^\top H(x) v))$."""

    def along(direction: PyTree) -> tuple[Any, Any]:
        def first(x: PyTree) -> tuple[Any, Any]:
            value, derivative = jax.jvp(lambda x: scalar_value(f(x)), (x,), (direction,))
            return derivative, value

        first_derivative, second, value = jax.jvp(first, (x,), (direction,), has_aux=True)
        return value, (jax.tree.leaves(first_derivative)[0], jax.tree.leaves(second)[0])

    return along
