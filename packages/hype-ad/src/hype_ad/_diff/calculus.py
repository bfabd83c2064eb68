"""Divergence and curl of a vector field."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .directions import along_each, basis, inner
from .point import Function, check_floats, check_like, check_vector, float_valued, labeled, parts


def div(f: Function) -> Function:
    r"""Divergence $\sum_i \partial f_i / \partial x_i$ of a vector field, without its Jacobian.

    Costs about two evaluations of `f` for each coordinate, in the memory of 32 such; `hutchinson_div` estimates it at
    the cost of a few evaluations.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a point of the same shape.

    Returns:
        A function of `x` that gives a number, a `D` if `x` or `f(x)` is a tensor.

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats.
        ValueError: if `f(x)` does not have the shape of `x`.
    """
    return lambda x: _value_div("div", f, x)[1]


def value_and_div(f: Function) -> Function:
    r"""Value $f(x)$ and divergence from one evaluation of `f`.

    Args:
        f: as in `div`.

    Returns:
        A function of `x` that gives the pair of them.

    Raises:
        TypeError: as `div`.
        ValueError: as `div`.
    """
    return lambda x: _value_div("value_and_div", f, x)


def curl(f: Function) -> Function:
    r"""Curl of a vector field in space.

    $(\partial f_3/\partial x_2 - \partial f_2/\partial x_3,\; \partial f_1/\partial x_3 - \partial f_3/\partial x_1,\;
    \partial f_2/\partial x_1 - \partial f_1/\partial x_2)$

    Args:
        f: function of a vector of three numbers (`DV` or array) to a vector of three numbers.

    Returns:
        A function of `x` that gives a vector of three numbers, a `DV` if `x` or `f(x)` is one.

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats.
        ValueError: if `x` or `f(x)` is not one vector of three numbers.
    """
    return lambda x: _value_curl_div("curl", f, x)[1]


def value_and_curl(f: Function) -> Function:
    r"""Value $f(x)$ and curl from one evaluation of `f`.

    Args:
        f: as in `curl`.

    Returns:
        A function of `x` that gives the pair of them.

    Raises:
        TypeError: as `curl`.
        ValueError: as `curl`.
    """
    return lambda x: _value_curl_div("value_and_curl", f, x)[:2]


def curl_div(f: Function) -> Function:
    r"""Curl and divergence of a vector field in space, from one evaluation of `f`.

    Args:
        f: as in `curl`.

    Returns:
        A function of `x` that gives the pair (curl, divergence).

    Raises:
        TypeError: as `curl`.
        ValueError: as `curl`.
    """
    return lambda x: _value_curl_div("curl_div", f, x)[1:]


def value_and_curl_div(f: Function) -> Function:
    r"""Value $f(x)$, curl and divergence of a vector field in space, from one evaluation of `f`.

    Args:
        f: as in `curl`.

    Returns:
        A function of `x` that gives the triple (value, curl, divergence).

    Raises:
        TypeError: as `curl`.
        ValueError: as `curl`.
    """
    return lambda x: _value_curl_div("value_and_curl_div", f, x)


def field(operator: str, f: Function, x: PyTree) -> Function:
    """`f`, which must give floats in the shape of `x`."""
    checked = float_valued(operator, f)

    def like_x(point: PyTree) -> Any:
        value = checked(point)
        check_like(operator, "f(x)", value, "x", x)
        return value

    return like_x


def _value_div(operator: str, f: Function, x: PyTree) -> tuple[Any, Any]:
    check_floats(operator, "x", x)
    checked = field(operator, f, x)

    def push(direction: PyTree) -> tuple[Any, Any]:
        value, derivative = jax.jvp(checked, (x,), (direction,))
        return value, inner(direction, derivative)

    value, diagonal = along_each(push, x)
    return value, labeled(jnp.sum(diagonal), *parts(x)[0], *parts(value)[0])


def _value_curl_div(operator: str, f: Function, x: PyTree) -> tuple[Any, Any, Any]:
    check_vector(operator, "x", x, 3)

    def checked(x: PyTree) -> Any:
        value = f(x)
        check_vector(operator, "f(x)", value, 3)
        return value

    push = lambda direction: jax.jvp(checked, (x,), (direction,))
    value, columns = jax.vmap(push, out_axes=(None, -1))(basis(x))
    (j,) = jax.tree.leaves(columns)
    rotation = jnp.stack([j[2, 1] - j[1, 2], j[0, 2] - j[2, 0], j[1, 0] - j[0, 1]])
    like = parts(x)[0] + parts(value)[0]
    return value, labeled(rotation, *like), labeled(jnp.trace(j), *like)
