"""Divergence and curl of a vector field, in forward mode."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._types.by_rank import in_kind
from ..internal import tree
from .checks import check_floats, check_vector, parts, value_like
from .directions import along_each, inner
from .forms import Function, giving, without_value


def div(f: Function) -> Function:
    r"""Divergence $\sum_i \partial f_i / \partial x_i$ of a vector field, without its Jacobian.

    Costs about two evaluations of `f` for each coordinate, taken 32 at a time; `hutchinson_div` estimates it at
    the cost of a few evaluations.

    Examples:
        >>> from hype_ad import DV, div
        >>> div(lambda v: v**2)(DV([1.0, 2.0]))
        D(6.0)

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a point of the same shape.

    Returns:
        A function of `x` that gives a number, a `D` if `x` or f(x) is a tensor.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if f(x) does not have the shape of `x`.
    """
    return without_value(value_and_div(f))


@giving(div, "value", "divergence")
def value_and_div(f: Function) -> Function:
    def value_and_divergence(x: PyTree) -> tuple[Any, Any]:
        check_floats("x", x)

        def push(direction: PyTree) -> tuple[Any, Any]:
            value, derivative = jax.jvp(lambda point: value_like(f(point), x), (x,), (direction,))
            return value, inner(direction, derivative)

        value, diagonal = along_each(push, x)
        return value, in_kind(jnp.sum(diagonal), *parts(x)[0], *parts(value)[0])

    return value_and_divergence


def curl(f: Function) -> Function:
    r"""Curl of a vector field in space.

    $(\partial f_3/\partial x_2 - \partial f_2/\partial x_3,\; \partial f_1/\partial x_3 - \partial f_3/\partial x_1,\;
    \partial f_2/\partial x_1 - \partial f_1/\partial x_2)$

    Examples:
        >>> from hype_ad import DV, curl
        >>> curl(lambda v: DV([v[2], v[0], v[1]]))(DV([1.0, 2.0, 3.0]))
        DV([1. 1. 1.])

    Args:
        f: function of a vector of three numbers (`DV` or array) to a vector of three numbers.

    Returns:
        A function of `x` that gives a vector of three numbers, a `DV` if `x` or f(x) is one.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if `x` or f(x) is not one vector of three numbers.
    """
    return without_value(value_and_curl(f))


@giving(curl, "value", "curl")
def value_and_curl(f: Function) -> Function:
    derivatives = value_and_curl_div(f)
    return lambda x: derivatives(x)[:2]


@giving(curl, "curl", "divergence")
def curl_div(f: Function) -> Function:
    return without_value(value_and_curl_div(f))


@giving(curl, "value", "curl", "divergence")
def value_and_curl_div(f: Function) -> Function:
    def checked(x: PyTree) -> Any:
        value = f(x)
        check_vector("f(x)", value, 3)
        return value

    def derivatives(x: PyTree) -> tuple[Any, Any, Any]:
        check_vector("x", x, 3)
        push = lambda direction: jax.jvp(checked, (x,), (direction,))
        value, columns = jax.vmap(push, out_axes=(None, -1))(tree.basis(x))
        (j,) = jax.tree.leaves(columns)
        rotation = jnp.stack([j[2, 1] - j[1, 2], j[0, 2] - j[2, 0], j[1, 0] - j[0, 1]])
        like = parts(x)[0] + parts(value)[0]
        return value, in_kind(rotation, *like), in_kind(jnp.trace(j), *like)

    return derivatives
