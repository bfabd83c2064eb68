"""Derivatives of functions of one number, to any order."""

import operator as op
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from . import taylor
from .point import Function, check_scalar, float_valued


def diff(f: Function) -> Function:
    r"""Derivative $f'(x)$ of a function of one number.

    Args:
        f: function of a `D` or a number to any pytree of floats.

    Returns:
        A function of `x` that gives the derivative, in the structure and types of f(x).

    Raises:
        TypeError: if `x` or `f(x)` is not made of real floats.
        ValueError: if `x` is not one number.
    """
    return lambda x: _derivatives("diff", 1, f, x)[1]


def value_and_diff(f: Function) -> Function:
    r"""Value $f(x)$ and derivative $f'(x)$ from one evaluation of `f`.

    Args:
        f: as in `diff`.

    Returns:
        A function of `x` that gives the pair of them.

    Raises:
        TypeError: as `diff`.
        ValueError: as `diff`.
    """
    return lambda x: _derivatives("value_and_diff", 1, f, x)


def diff2(f: Function) -> Function:
    r"""Second derivative $f''(x)$ of a function of one number.

    Args:
        f: as in `diff`.

    Returns:
        A function of `x` that gives the second derivative.

    Raises:
        TypeError: as `diff`.
        ValueError: as `diff`.
    """
    return lambda x: _derivatives("diff2", 2, f, x)[2]


def value_and_diff2(f: Function) -> Function:
    r"""Value $f(x)$ and second derivative $f''(x)$ from one evaluation of `f`.

    Args:
        f: as in `diff`.

    Returns:
        A function of `x` that gives the pair of them.

    Raises:
        TypeError: as `diff`.
        ValueError: as `diff`.
    """
    return lambda x: _derivatives("value_and_diff2", 2, f, x)[::2]


def value_and_diff_diff2(f: Function) -> Function:
    r"""Value $f(x)$, first and second derivative from one evaluation of `f`.

    Args:
        f: as in `diff`.

    Returns:
        A function of `x` that gives the triple of them.

    Raises:
        TypeError: as `diff`.
        ValueError: as `diff`.
    """
    return lambda x: _derivatives("value_and_diff_diff2", 2, f, x)


def diffn(n: int, f: Function) -> Function:
    r"""Derivative $f^{(n)}(x)$ of order n of a function of one number.

    Above order 2 the Taylor series of `f` is computed, operation by operation, at a cost that grows as the square of n;
    of loops and linear solves inside `f`, at one that doubles with each order. Where `f` looks at the value of `x` in
    Python, it is evaluated once more, by n nested forward modes, and then the cost of all of it doubles with each
    order.

    Args:
        n: order, at least 0.
        f: as in `diff`.

    Returns:
        A function of `x` that gives the derivative; f(x) for n = 0.

    Raises:
        TypeError: as `diff`, or if `n` is not an integer.
        ValueError: as `diff`, or if `n` is negative.
    """
    _check_order("diffn", n)
    return lambda x: _derivatives("diffn", n, f, x)[n]


def value_and_diffn(n: int, f: Function) -> Function:
    r"""Value $f(x)$ and derivative $f^{(n)}(x)$ of order n from one evaluation of `f`.

    Args:
        n: as in `diffn`.
        f: as in `diff`.

    Returns:
        A function of `x` that gives the pair of them.

    Raises:
        TypeError: as `diffn`.
        ValueError: as `diffn`.
    """
    _check_order("value_and_diffn", n)

    def derivative(x: Any) -> tuple[Any, Any]:
        derivatives = _derivatives("value_and_diffn", n, f, x)
        return derivatives[0], derivatives[n]

    return derivative


def _derivatives(operator: str, n: int, f: Function, x: PyTree) -> tuple[Any, ...]:
    """(f(x), f'(x), ..., f^(n)(x))."""
    check_scalar(operator, "x", x)
    checked = float_valued(operator, f)
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


def _check_order(operator: str, n: int) -> None:
    if op.index(n) < 0:
        raise ValueError(f"{operator}: n must be at least 0; got {n}.")
