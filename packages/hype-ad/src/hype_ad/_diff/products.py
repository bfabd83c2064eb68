"""Products with a vector, without the matrix: J v in forward mode, J^T v in reverse, H v forward over reverse."""

from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import PyTree

from .._documentation import like
from ..internal.mode import Mode, check_mode
from .checks import check_floats, float_value, tangent
from .forms import Function, giving, without_value
from .gradient import value_gradient


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> tuple[Any, ...]:
    r"""Value $f(x)$ and $J(x)\, v$, by one forward pass. The signature is `jax.jvp`'s.

    Examples:
        >>> from hype_ad import DV, jvp
        >>> jvp(lambda v: v**2, (DV([1.0, 2.0]),), (DV([1.0, 0.0]),))
        (DV([1. 4.]), DV([2. 0.]))

    Args:
        f: function of as many arguments as there are primals, to any pytree.
        primals: the arguments, each a `D`, `DV`, `DM`, array or pytree of them.
        tangents: one direction for each, of its shape.
        has_aux: whether `f` returns a pair whose second part is passed through.

    Returns:
        The pair (f(x), J v), both as `f` gives them; with `has_aux` the auxiliary output comes third.

    Raises:
        TypeError: if a primal is not made of real floats.
        ValueError: if there are not as many tangents as primals, or if one does not have the shape of its primal.
    """
    primals, tangents = tuple(primals), tuple(tangents)
    if len(primals) != len(tangents):
        raise ValueError(f"`tangents` must be as many as `primals`, {len(primals)}, got {len(tangents)}.")
    for i, primal in enumerate(primals):
        check_floats(f"primals[{i}]", primal)
    directions = tuple(
        tangent(f"tangents[{i}]", v, f"primals[{i}]", x) for i, (x, v) in enumerate(zip(primals, tangents, strict=True))
    )
    return jax.jvp(f, primals, directions, has_aux=has_aux)


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    r"""Value $f(x)$ and the pullback $u \mapsto u^\top J(x)$, good for many uses. The signature is `jax.vjp`'s.

    Examples:
        >>> from hype_ad import DV, vjp
        >>> value, pullback = vjp(lambda v: v**2, DV([1.0, 2.0]))
        >>> pullback(DV([1.0, 1.0]))
        (DV([2. 4.]),)

    Args:
        f: function of as many arguments as there are primals, to any pytree of floats.
        primals: the arguments, each a `D`, `DV`, `DM`, array or pytree of them.
        has_aux: whether `f` returns a pair whose second part is passed through.

    Returns:
        The pair (f(x), pullback); with `has_aux` the auxiliary output comes third. The pullback takes a `u` of the
        shape of f(x) and gives the tuple of its products with the Jacobians with respect to each of the primals.

    Raises:
        TypeError: if a primal or f(x) is not made of real floats.
        ValueError: if the `u` given to the pullback does not have the shape of f(x).
    """
    for i, primal in enumerate(primals):
        check_floats(f"primals[{i}]", primal)

    def checked(*args: Any) -> Any:
        value, aux = f(*args) if has_aux else (f(*args), None)
        return float_value(value), aux

    value, pull, aux = jax.vjp(checked, *primals, has_aux=True)
    pullback = lambda u: pull(tangent("u", u, "f(x)", value))
    return (value, pullback, aux) if has_aux else (value, pullback)


def jacobianv(f: Function) -> Function:
    r"""Jacobian times vector, $J(x)\, v$, in one forward pass.

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to any pytree of floats.

    Returns:
        A function of `x` and a direction `v` of its shape, that gives what `f` gives.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if `v` does not have the shape of `x`.
    """
    return without_value(value_and_jacobianv(f))


@giving(jacobianv, "value", "Jacobian-vector product")
def value_and_jacobianv(f: Function) -> Function:
    def value_and_product(x: PyTree, v: PyTree) -> tuple[Any, Any]:
        check_floats("x", x)
        return jax.jvp(lambda x: float_value(f(x)), (x,), (tangent("v", v, "x", x),))

    return value_and_product


@like(jacobianv)
def jacobian_tv(f: Function) -> Function:
    r"""Transposed Jacobian times vector, $J(x)^\top u$, in reverse mode. `vjp` gives it for many `u` at one point.

    Returns:
        A function of `x` and a `u` of the shape of f(x), that gives a pytree of the structure and types of `x`.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if `u` does not have the shape of f(x).
    """
    return without_value(value_and_jacobian_tv(f))


@giving(jacobian_tv, "value", "vector-Jacobian product")
def value_and_jacobian_tv(f: Function) -> Function:
    def value_and_product(x: PyTree, u: PyTree) -> tuple[Any, PyTree]:
        check_floats("x", x)
        value, pull = jax.vjp(lambda x: float_value(f(x)), x)
        return value, pull(tangent("u", u, "f(x)", value))[0]

    return value_and_product


def hvp(f: Function, *, mode: Mode = "reverse") -> Function:
    r"""Hessian times vector, $H(x)\, v$, of a function to one number: forward over reverse, a few evaluations of `f`.

    Examples:
        >>> from hype_ad import DV, hvp
        >>> hvp(lambda v: (v**4).sum())(DV([1.0, 2.0]), DV([1.0, 0.0]))
        DV([12.  0.])

    Args:
        f: function of a point (`D`, `DV`, `DM`, array or pytree of them) to a `D` or a number.
        mode: how the inner gradient is taken, see `grad`.

    Returns:
        A function of `x` and a direction `v` of its shape, that gives a pytree of the structure and types of `x`.

    Raises:
        TypeError: if `x` or f(x) is not made of real floats.
        ValueError: if f(x) is not one number, if `v` does not have the shape of `x`, or if `mode` is unknown.
    """
    return without_value(value_and_hvp(f, mode=mode))


@giving(hvp, "value", "Hessian-vector product")
def value_and_hvp(f: Function, *, mode: Mode = "reverse") -> Function:
    derivatives = value_and_grad_hvp(f, mode=mode)
    return lambda x, v: derivatives(x, v)[::2]


@like(hvp)
def grad_hvp(f: Function, *, mode: Mode = "reverse") -> Function:
    r"""Gradient $\nabla f(x)$ and Hessian times vector, $H(x)\, v$, from one evaluation of `f`.

    The first part is the whole gradient; its product with `v` is the directional derivative that F#'s `gradhessianv`
    gave.

    Returns:
        A function of `x` and a direction `v` that gives the pair (gradient, product).
    """
    return without_value(value_and_grad_hvp(f, mode=mode))


@giving(hvp, "value", "gradient", "Hessian-vector product")
def value_and_grad_hvp(f: Function, *, mode: Mode = "reverse") -> Function:
    check_mode("mode", mode)

    def derivatives(x: PyTree, v: PyTree) -> tuple[Any, PyTree, PyTree]:
        check_floats("x", x)

        def gradient(x: PyTree) -> tuple[PyTree, Any]:
            value, result, _ = value_gradient(lambda x: (f(x), None), x, mode)
            return result, value

        result, product, value = jax.jvp(gradient, (x,), (tangent("v", v, "x", x),), has_aux=True)
        return value, result, product

    return derivatives
