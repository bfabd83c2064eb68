"""Second derivatives of functions to one number, and derivatives of any order of functions of one number."""

import operator as op
from typing import Any

import numpy as np
from jaxtyping import PyTree

from .._diff.point import Function, check_scalar
from ._difference import Differences
from ._first import direction


def diff(f: Function) -> Function:
    """`hype_ad.diff` by differences."""
    return lambda x: _derivative("diff", 1, f, x)[1]


def value_and_diff(f: Function) -> Function:
    """`hype_ad.value_and_diff` by differences."""
    return lambda x: _derivative("value_and_diff", 1, f, x)


def diff2(f: Function) -> Function:
    """`hype_ad.diff2` by differences."""
    return lambda x: _derivative("diff2", 2, f, x)[1]


def value_and_diff2(f: Function) -> Function:
    """`hype_ad.value_and_diff2` by differences."""
    return lambda x: _derivative("value_and_diff2", 2, f, x)


def value_and_diff_diff2(f: Function) -> Function:
    """`hype_ad.value_and_diff_diff2` by differences."""

    def derivatives(x: Any) -> tuple[Any, Any, Any]:
        value, first = _derivative("value_and_diff_diff2", 1, f, x)
        return value, first, _derivative("value_and_diff_diff2", 2, f, x)[1]

    return derivatives


def diffn(n: int, f: Function) -> Function:
    """`hype_ad.diffn` by differences; each order costs two digits, so that few are left of the sixth derivative."""
    _check_order("diffn", n)
    return lambda x: _derivative("diffn", n, f, x)[1]


def value_and_diffn(n: int, f: Function) -> Function:
    """`hype_ad.value_and_diffn` by differences."""
    _check_order("value_and_diffn", n)
    return lambda x: _derivative("value_and_diffn", n, f, x)


def hessian(f: Function) -> Function:
    """`hype_ad.hessian` by differences."""
    return lambda x: _value_grad_hessian("hessian", f, x, gradient=False)[2]


def value_and_hessian(f: Function) -> Function:
    """`hype_ad.value_and_hessian` by differences."""
    return lambda x: _value_grad_hessian("value_and_hessian", f, x, gradient=False)[::2]


def grad_hessian(f: Function) -> Function:
    """`hype_ad.grad_hessian` by differences."""
    return lambda x: _value_grad_hessian("grad_hessian", f, x, gradient=True)[1:]


def value_and_grad_hessian(f: Function) -> Function:
    """`hype_ad.value_and_grad_hessian` by differences."""
    return lambda x: _value_grad_hessian("value_and_grad_hessian", f, x, gradient=True)


def hvp(f: Function) -> Function:
    """`hype_ad.hvp` by differences."""
    return lambda x, v: _value_grad_hvp("hvp", f, x, v, gradient=False)[2]


def value_and_hvp(f: Function) -> Function:
    """`hype_ad.value_and_hvp` by differences."""
    return lambda x, v: _value_grad_hvp("value_and_hvp", f, x, v, gradient=False)[::2]


def grad_hvp(f: Function) -> Function:
    """`hype_ad.grad_hvp` by differences."""
    return lambda x, v: _value_grad_hvp("grad_hvp", f, x, v, gradient=True)[1:]


def value_and_grad_hvp(f: Function) -> Function:
    """`hype_ad.value_and_grad_hvp` by differences."""
    return lambda x, v: _value_grad_hvp("value_and_grad_hvp", f, x, v, gradient=True)


def hessian_diag(f: Function) -> Function:
    """`hype_ad.hessian_diag` by differences."""
    return lambda x: value_and_hessian_diag(f)(x)[1]


def value_and_hessian_diag(f: Function) -> Function:
    """`hype_ad.value_and_hessian_diag` by differences."""

    def derivative(x: PyTree) -> tuple[Any, PyTree]:
        differences = _of_one_number("hessian_diag", f, x)
        return differences.value.tree, differences.like_x(differences.hessian_diag())

    return derivative


def laplacian(f: Function) -> Function:
    """`hype_ad.laplacian` by differences."""
    return lambda x: value_and_laplacian(f)(x)[1]


def value_and_laplacian(f: Function) -> Function:
    """`hype_ad.value_and_laplacian` by differences."""

    def derivative(x: PyTree) -> tuple[Any, Any]:
        differences = _of_one_number("laplacian", f, x)
        return differences.value.tree, differences.number(np.sum(differences.hessian_diag()))

    return derivative


def _of_one_number(operator: str, f: Function, x: PyTree) -> Differences:
    return Differences(operator, f, x, lambda value: check_scalar(operator, "f(x)", value))


def _derivative(operator: str, n: int, f: Function, x: Any) -> tuple[Any, Any]:
    check_scalar(operator, "x", x)
    differences = Differences(operator, f, x)
    value = differences.value.tree
    return value, differences.like_value(differences.along(np.ones(1), n)) if n > 0 else value


def _value_grad_hessian(operator: str, f: Function, x: PyTree, *, gradient: bool) -> tuple[Any, PyTree, PyTree]:
    differences = _of_one_number(operator, f, x)
    first = differences.like_x(differences.jacobian()[0]) if gradient else None
    return differences.value.tree, first, differences.blocks(differences.hessian(), x, x)


def _value_grad_hvp(operator: str, f: Function, x: PyTree, v: PyTree, *, gradient: bool) -> tuple[Any, PyTree, PyTree]:
    differences = _of_one_number(operator, f, x)
    product = differences.hessian_product(direction(operator, v, differences.x))
    first = differences.like_x(differences.jacobian()[0]) if gradient else None
    return differences.value.tree, first, differences.like_x(product)


def _check_order(operator: str, n: int) -> None:
    if op.index(n) < 0:
        raise ValueError(f"{operator}: n must be at least 0; got {n}.")
