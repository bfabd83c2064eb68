"""The Laplacian of a function to one number: by the forward Laplacian, in memory that does not hold the Hessian."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._documentation import like
from .._types.by_rank import in_kind
from ..internal import tree
from . import forward_laplacian
from .checks import check_floats, parts, scalar_value
from .directions import along_direction, along_each
from .forms import Function, giving, without_value
from .local_jacobian import TooLarge


def laplacian(f: Function) -> Function:
    r"""Laplacian $\sum_i \partial^2 f / \partial x_i^2$ of a function to one number, exact, without the Hessian.

    Value, gradient and Laplacian of each operation in `f` are computed together (the forward Laplacian, Li et al.
    2024), at the cost of about one evaluation of `f` for each coordinate, and less where operations depend on few of
    them. `hutchinson_laplacian` estimates it at the cost of a few evaluations. Where `f` looks at the value of `x` in
    Python, or where the derivatives of one value on the way would be more than 2^24 numbers, second derivatives along
    all axes are added, 32 at a time, at three times the cost. Of a `custom_vjp` in `f` the rule is used.

    Examples:
        >>> from hype_ad import DV, laplacian
        >>> laplacian(lambda v: (v**3).sum())(DV([1.0, 2.0]))
        D(18.0)

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.

    Returns:
        A function of `x` that gives a number, a `D` if `x` or f(x) is a tensor. It can be differentiated again in any
        mode, to any order.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if f(x) is not one number.
    """
    return without_value(value_and_laplacian(f))


@giving(laplacian, "value", "Laplacian")
def value_and_laplacian(f: Function) -> Function:
    derivatives = value_and_grad_laplacian(f)
    return lambda x: derivatives(x)[::2]


@like(laplacian)
def grad_laplacian(f: Function) -> Function:
    r"""Gradient $\nabla f(x)$ and Laplacian from one evaluation of `f`: what the kinetic energy of log f is made of.

    Returns:
        A function of `x` that gives the pair (gradient, Laplacian).
    """
    return without_value(value_and_grad_laplacian(f))


@giving(laplacian, "value", "gradient", "Laplacian")
def value_and_grad_laplacian(f: Function) -> Function:
    def derivatives(x: PyTree) -> tuple[Any, PyTree, Any]:
        check_floats("x", x)
        try:
            value, gradient, trace = _together(f, x)
        except (jax.errors.ConcretizationTypeError, TooLarge):
            # f looks at the value of x in Python, which has one only in forward mode outside of jit, or is too large
            value, gradient, trace = _along_axes(f, x)
        return value, gradient, in_kind(trace, value, *parts(x)[0])

    return derivatives


def _together(f: Function, x: PyTree) -> tuple[Any, PyTree, Any]:
    leaves, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, x))
    of_leaves = lambda *leaves: scalar_value(f(jax.tree.unflatten(structure, leaves)))
    program, shapes = jax.make_jaxpr(of_leaves, return_shape=True)(*leaves)
    value, gradient, trace = forward_laplacian.derivatives(program, leaves)
    return jax.tree.unflatten(jax.tree.structure(shapes), [value]), tree.unravel(gradient, x), trace


def _along_axes(f: Function, x: PyTree) -> tuple[Any, PyTree, Any]:
    value, (slopes, seconds) = along_each(along_direction(f, x), x)
    return value, tree.unravel(slopes, x), jnp.sum(seconds)
