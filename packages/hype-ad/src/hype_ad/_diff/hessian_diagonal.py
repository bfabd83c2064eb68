"""The diagonal of a Hessian, in memory that does not hold the Hessian.

Along each axis the second derivative is taken by forward mode over forward mode. Per direction that moves as many
tangents through `f` as forward over reverse does, but no residuals are kept for a reverse pass, and loops of unknown
length are no obstacle.
"""

from typing import Any

from jaxtyping import PyTree

from .._documentation import like
from ..internal import tree
from .checks import check_floats
from .directions import along_direction, along_each
from .forms import Function, giving, without_value
from .laplacian import laplacian


@like(laplacian)
def hessian_diag(f: Function) -> Function:
    r"""Diagonal of the Hessian, $\partial^2 f / \partial x_i^2$, exact, without the Hessian.

    Costs about three evaluations of `f` for each coordinate, taken 32 at a time; `hutchinson_hessian_diag`
    estimates it at the cost of a few products.

    Returns:
        A function of `x` that gives a pytree of the structure, shapes and types of `x`.
    """
    return without_value(value_and_hessian_diag(f))


@giving(hessian_diag, "value", "diagonal of the Hessian")
def value_and_hessian_diag(f: Function) -> Function:
    def value_and_diagonal(x: PyTree) -> tuple[Any, PyTree]:
        check_floats("x", x)
        value, (_, seconds) = along_each(along_direction(f, x), x)
        return value, tree.unravel(seconds, x)

    return value_and_diagonal
