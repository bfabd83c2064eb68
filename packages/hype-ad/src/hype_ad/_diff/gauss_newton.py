"""Gauss-Newton products: the Hessian of a convex loss of a model, without the second derivatives of the model."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._types.by_rank import in_kind
from ..internal import checks
from .checks import check_floats, check_scalar, float_value, parts, tangent
from .directions import inner
from .forms import Function, giving, without_value

Loss = Callable[[Any], Any]


def gnvp(f: Function, loss: Loss | None = None) -> Function:
    r"""Gauss-Newton matrix times vector, $J^\top H_\ell J v$, with the Jacobian $J$ of `f` and the Hessian of `loss`.

    It is the Hessian of loss(f(x)) but for the second derivatives of `f` (Schraudolph 2002), and positive semidefinite
    if `loss` is convex. By default the loss is $\frac12 |z|^2$ and the product $J^\top J v$, that of least squares.
    Where f(x) are the natural parameters of a distribution and `loss` is its negative log-likelihood, such as
    `lambda z: logsumexp(z) - z[label]` of a class, it is the product with Fisher's information matrix (Martens 2020).

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to any pytree of floats.
        loss: function of f(x) to a `D` or a number.

    Returns:
        A function of `x` and a direction `v` of its shape, that gives a pytree of the structure and types of `x`.

    Raises:
        TypeError: if `x`, f(x) or the loss is not made of real floats, or if `loss` is not a function.
        ValueError: if the loss is not one number, or if `v` does not have the shape of `x`.
    """
    return without_value(value_and_gnvp(f, loss))


@giving(gnvp, "loss", "Gauss-Newton product")
def value_and_gnvp(f: Function, loss: Loss | None = None) -> Function:
    derivatives = value_and_grad_gnvp(f, loss)
    return lambda x, v: derivatives(x, v)[::2]


@giving(gnvp, "gradient", "Gauss-Newton product")
def grad_gnvp(f: Function, loss: Loss | None = None) -> Function:
    return without_value(value_and_grad_gnvp(f, loss))


@giving(gnvp, "loss", "gradient", "Gauss-Newton product")
def value_and_grad_gnvp(f: Function, loss: Loss | None = None) -> Function:
    of_output = _half_of_squares if loss is None else checks.function("loss", loss, "a function of f(x)")

    def checked(z: PyTree) -> PyTree:
        value = of_output(z)
        check_scalar("loss(f(x))", value)
        return jax.tree.map(jnp.asarray, value)

    def derivatives(x: PyTree, v: PyTree) -> tuple[Any, PyTree, PyTree]:
        check_floats("x", x)
        z, push = jax.linearize(lambda x: float_value(f(x)), x)
        pull = jax.linear_transpose(push, x)

        def slope(z: PyTree) -> tuple[PyTree, Any]:
            value, back = jax.vjp(checked, z)
            return back(jax.tree.map(jnp.ones_like, value))[0], value

        gradient, curved, value = jax.jvp(slope, (z,), (push(tangent("v", v, "x", x)),), has_aux=True)
        return value, pull(gradient)[0], pull(curved)[0]

    return derivatives


def _half_of_squares(z: PyTree) -> Any:
    return in_kind(inner(z, z) / 2, *parts(z)[0])
