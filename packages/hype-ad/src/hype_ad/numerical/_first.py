"""First derivatives by differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import PyTree

from .._diff.point import Function, check_like, check_scalar, check_vector
from ._difference import Differences, Point


def grad(f: Function) -> Function:
    """`hype_ad.grad` by differences."""
    return lambda x: _value_grad("grad", f, x)[1]


def value_and_grad(f: Function) -> Function:
    """`hype_ad.value_and_grad` by differences."""
    return lambda x: _value_grad("value_and_grad", f, x)


def gradv(f: Function) -> Function:
    """`hype_ad.gradv` by differences."""
    return lambda x, v: _value_gradv("gradv", f, x, v)[1]


def value_and_gradv(f: Function) -> Function:
    """`hype_ad.value_and_gradv` by differences."""
    return lambda x, v: _value_gradv("value_and_gradv", f, x, v)


def jacobian(f: Function) -> Function:
    """`hype_ad.jacobian` by differences."""
    return lambda x: _value_jacobian("jacobian", f, x)[1]


def value_and_jacobian(f: Function) -> Function:
    """`hype_ad.value_and_jacobian` by differences."""
    return lambda x: _value_jacobian("value_and_jacobian", f, x)


def jacobian_t(f: Function) -> Function:
    """`hype_ad.jacobian_t` by differences; of one array to one array."""
    return lambda x: _value_jacobian_t("jacobian_t", f, x)[1]


def value_and_jacobian_t(f: Function) -> Function:
    """`hype_ad.value_and_jacobian_t` by differences; of one array to one array."""
    return lambda x: _value_jacobian_t("value_and_jacobian_t", f, x)


def jacobianv(f: Function) -> Function:
    """`hype_ad.jacobianv` by differences."""
    return lambda x, v: _value_jacobianv("jacobianv", f, x, v)[1]


def value_and_jacobianv(f: Function) -> Function:
    """`hype_ad.value_and_jacobianv` by differences."""
    return lambda x, v: _value_jacobianv("value_and_jacobianv", f, x, v)


def jacobian_tv(f: Function) -> Function:
    """`hype_ad.jacobian_tv` by differences, of the whole Jacobian."""
    return lambda x, u: _value_jacobian_tv("jacobian_tv", f, x, u)[1]


def value_and_jacobian_tv(f: Function) -> Function:
    """`hype_ad.value_and_jacobian_tv` by differences, of the whole Jacobian."""
    return lambda x, u: _value_jacobian_tv("value_and_jacobian_tv", f, x, u)


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """`hype_ad.jvp` by differences."""
    return _value_jacobianv("jvp", lambda x: f(*x), tuple(primals), tuple(tangents))


def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """`hype_ad.vjp` by differences, of the whole Jacobian, taken once for all uses of the pullback."""
    differences = Differences("vjp", lambda x: f(*x), primals)
    matrix = differences.jacobian()
    pullback = lambda u: differences.like_x(_like("vjp", "u", u, "f(x)", differences.value) @ matrix)
    return differences.value.tree, pullback


def div(f: Function) -> Function:
    """`hype_ad.div` by differences."""
    return lambda x: _value_div("div", f, x)[1]


def value_and_div(f: Function) -> Function:
    """`hype_ad.value_and_div` by differences."""
    return lambda x: _value_div("value_and_div", f, x)


def curl(f: Function) -> Function:
    """`hype_ad.curl` by differences."""
    return lambda x: _value_curl_div("curl", f, x)[1]


def value_and_curl(f: Function) -> Function:
    """`hype_ad.value_and_curl` by differences."""
    return lambda x: _value_curl_div("value_and_curl", f, x)[:2]


def curl_div(f: Function) -> Function:
    """`hype_ad.curl_div` by differences."""
    return lambda x: _value_curl_div("curl_div", f, x)[1:]


def value_and_curl_div(f: Function) -> Function:
    """`hype_ad.value_and_curl_div` by differences."""
    return lambda x: _value_curl_div("value_and_curl_div", f, x)


def direction(operator: str, v: PyTree, x: Point) -> np.ndarray:
    """`v` as a vector, which must be shaped like `x`."""
    return _like(operator, "v", v, "x", x)


def _like(operator: str, name: str, v: PyTree, reference_name: str, reference: Point) -> np.ndarray:
    if isinstance(v, Sequence) and not isinstance(reference.tree, Sequence):
        v = np.asarray(v, np.float64)
    check_like(operator, name, v, reference_name, reference.tree)
    return Point.of(operator, name, v).numbers


def _value_grad(operator: str, f: Function, x: PyTree) -> tuple[Any, PyTree]:
    differences = Differences(operator, f, x, lambda value: check_scalar(operator, "f(x)", value))
    return differences.value.tree, differences.like_x(differences.jacobian()[0])


def _value_gradv(operator: str, f: Function, x: PyTree, v: PyTree) -> tuple[Any, Any]:
    differences = Differences(operator, f, x, lambda value: check_scalar(operator, "f(x)", value))
    along = differences.along(direction(operator, v, differences.x))
    return differences.value.tree, differences.like_value(along)


def _value_jacobian(operator: str, f: Function, x: PyTree) -> tuple[Any, PyTree]:
    differences = Differences(operator, f, x)
    value = differences.value.tree
    return value, differences.blocks(differences.jacobian(), value, x)


def _value_jacobian_t(operator: str, f: Function, x: PyTree) -> tuple[Any, PyTree]:
    differences = Differences(operator, f, x)
    value = differences.value.tree
    return value, differences.blocks(differences.jacobian().T, x, value)


def _value_jacobianv(operator: str, f: Function, x: PyTree, v: PyTree) -> tuple[Any, Any]:
    differences = Differences(operator, f, x)
    along = differences.along(direction(operator, v, differences.x))
    return differences.value.tree, differences.like_value(along)


def _value_jacobian_tv(operator: str, f: Function, x: PyTree, u: PyTree) -> tuple[Any, PyTree]:
    differences = Differences(operator, f, x)
    rows = _like(operator, "u", u, "f(x)", differences.value)
    return differences.value.tree, differences.like_x(rows @ differences.jacobian())


def _value_div(operator: str, f: Function, x: PyTree) -> tuple[Any, Any]:
    differences = Differences(operator, f, x, lambda value: check_like(operator, "f(x)", value, "x", x))
    return differences.value.tree, differences.number(np.trace(differences.jacobian()))


def _value_curl_div(operator: str, f: Function, x: PyTree) -> tuple[Any, Any, Any]:
    check_vector(operator, "x", x, 3)
    differences = Differences(operator, f, x, lambda value: check_vector(operator, "f(x)", value, 3))
    j = differences.jacobian()
    rotation = np.stack([j[2, 1] - j[1, 2], j[0, 2] - j[2, 0], j[1, 0] - j[0, 1]])
    return differences.value.tree, differences.like_x(rotation), differences.number(np.trace(j))
