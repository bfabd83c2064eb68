"""Jacobians, Hessians and Gauss-Newton matrices as operators of Lineax, for its solvers: products, and no matrix."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from hype_ad import gnvp, hvp, jacobianv
from jaxtyping import PyTree

Function = Callable[[PyTree], Any]


def jacobian_operator(f: Function, x: PyTree) -> lx.AbstractLinearOperator:
    """The Jacobian of `f` at `x`, with products in both directions.

    `f` is evaluated once, and linearized there. Differentiable to any order, with Lineax's own limits: of a solution by
    `lineax.linear_solve` too.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to any pytree of floats.
        x: the point.

    Returns:
        A Lineax operator from pytrees like `x` to pytrees like f(x).

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
    """
    return _operator(jacobianv(f), x, ())


def hessian_operator(f: Function, x: PyTree, *, positive: bool = False) -> lx.AbstractLinearOperator:
    """The Hessian of `f` at `x`, symmetric; the gradient is evaluated once, and linearized there.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.
        x: the point.
        positive: whether the Hessian is positive semidefinite there, as at a minimum, which `lineax.CG` asks for. It is
            taken at your word.

    Returns:
        A Lineax operator from pytrees like `x` to the same.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if f(x) is not one number.
    """
    tags = (lx.symmetric_tag, lx.positive_semidefinite_tag) if positive else (lx.symmetric_tag,)
    return _operator(hvp(f), x, tags)


def gauss_newton_operator(f: Function, x: PyTree, loss: Function | None = None) -> lx.AbstractLinearOperator:
    r"""The Gauss-Newton matrix $J^\top H_\ell J$ at `x`, symmetric and positive semidefinite; see `hype_ad.gnvp`.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to any pytree of floats.
        x: the point.
        loss: convex function of f(x) to a `D` or a number; by default $\frac12 |z|^2$.

    Returns:
        A Lineax operator from pytrees like `x` to the same.

    Raises:
        TypeError: if `x`, f(x) or the loss is not made of real floats.
        ValueError: if the loss is not one number.
    """
    return _operator(gnvp(f, loss), x, (lx.symmetric_tag, lx.positive_semidefinite_tag))


def _operator(product: Callable[[PyTree, PyTree], PyTree], x: PyTree, tags: tuple) -> lx.AbstractLinearOperator:
    x = jax.tree.map(jnp.asarray, x)
    operator = lx.FunctionLinearOperator(lambda v: product(x, v), jax.eval_shape(lambda: x), tags)
    return lx.linearise(operator)
