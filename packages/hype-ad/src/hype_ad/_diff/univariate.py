"""Derivatives of functions of one number, to any order: nested forward mode up to the second, Taylor mode above."""

from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._documentation import like
from ..internal.checks import integer
from . import taylor
from .checks import check_scalar, float_value
from .forms import Function, giving, without_value


def diff(f: Function) -> Function:
    r"""Derivative $f'(x)$ of a function of one number.

    Examples:
        >>> from hype_ad import D, diff
        >>> diff(lambda x: x**3)(D(2.0))
        D(12.0)

    Args:
        f: function of a `D` or a number to any pytree of floats.

    Returns:
        A function of `x` that gives the derivative, in the structure and types of f(x).

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if `x` is not one number.
    """
    return without_value(value_and_diff(f))


@giving(diff, "value", "derivative")
def value_and_diff(f: Function) -> Function:
    return lambda x: derivatives(1, f, x)


@like(diff)
def diff2(f: Function) -> Function:
    r"""Second derivative $f''(x)$ of a function of one number.

    Returns:
        A function of `x` that gives the second derivative, in the structure and types of f(x).
    """
    return without_value(value_and_diff2(f))


@giving(diff, "value", "second derivative")
def value_and_diff2(f: Function) -> Function:
    return lambda x: derivatives(2, f, x)[::2]


@giving(diff, "value", "derivative", "second derivative")
def value_and_diff_diff2(f: Function) -> Function:
    return lambda x: derivatives(2, f, x)


def diffn(n: SupportsIndex, f: Function) -> Function:
    r"""Derivative $f^{(n)}(x)$ of order n of a function of one number.

    Above order 2 the Taylor series of `f` is computed, operation by operation, at a cost that grows as the square of n;
    of linear solves inside `f`, at one that doubles with each order. Operations that a Python loop repeats often become
    a loop of the compiled program. Where `f` looks at the value of `x` in Python, it is evaluated once more, by n
    nested forward modes, and then the cost of all of it doubles with each order.

    Examples:
        >>> from hype_ad import D, diffn
        >>> diffn(3, lambda x: x**4)(D(2.0))
        D(48.0)

    Args:
        n: order, at least 0.
        f: function of a `D` or a number to any pytree of floats.

    Returns:
        A function of `x` that gives the derivative; f(x) for n = 0.

    Raises:
        TypeError: if `n` is not an integer, or if `x` or f(x) is not made of real floats.
        ValueError: if `n` is negative, or if `x` is not one number.
    """
    return without_value(value_and_diffn(n, f))


@giving(diffn, "value", "derivative of order n")
def value_and_diffn(n: SupportsIndex, f: Function) -> Function:
    order = integer("n", n, 0)

    def value_and_derivative(x: Any) -> tuple[Any, Any]:
        results = derivatives(order, f, x)
        return results[0], results[order]

    return value_and_derivative


def derivatives(n: int, f: Function, x: PyTree) -> tuple[Any, ...]:
    """(f(x), f'(x), ..., f^(n)(x)), by nested forward mode up to the second and by Taylor series above."""
    check_scalar("x", x)
    checked = lambda x: float_value(f(x))
    if n <= 2:
        return _nested(n, checked, x)
    try:
        return _by_series(n, checked, x)
    except jax.errors.ConcretizationTypeError:
        # f looks at the value of x in Python, which has one only in forward mode outside of jit
        return _nested(n, checked, x)


def _by_series(n: int, f: Function, x: PyTree) -> tuple[Any, ...]:
    (leaf,), structure = jax.tree.flatten(x)
    of_leaf = lambda leaf: f(jax.tree.unflatten(structure, [leaf]))
    program, shapes = jax.make_jaxpr(of_leaf, return_shape=True)(leaf)
    outputs = taylor.derivatives(program, jnp.asarray(leaf), n)
    return tuple(jax.tree.unflatten(jax.tree.structure(shapes), [out[k] for out in outputs]) for k in range(n + 1))


def _nested(n: int, f: Function, x: PyTree) -> tuple[Any, ...]:
    if n == 0:
        return (f(x),)

    def below(x: PyTree) -> tuple[Any, tuple[Any, ...]]:
        derivatives = _nested(n - 1, f, x)
        return derivatives[-1], derivatives

    _, highest, derivatives = jax.jvp(below, (x,), (jax.tree.map(jnp.ones_like, x),), has_aux=True)
    return (*derivatives, highest)
