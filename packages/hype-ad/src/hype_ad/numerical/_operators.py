"""How the operators are made of parts, each in two forms: `curl`, and `value_and_curl` that gives f(x) too."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, SupportsIndex, runtime_checkable

from jaxtyping import PyTree

from .._diff.checks import check_floats, check_scalar
from .._diff.directional import checked_orders
from .._diff.forms import Function, without_value
from .._documentation import Model
from ..internal.checks import integer
from ._differences import Differences
from ._parts import Part, derivative, mixed


@runtime_checkable
class Operator(Protocol):
    """Signature of an operator: from a function to a function."""

    def __call__(self, f: Function) -> Function:
        """Gives a derivative of `f`, as a function."""
        ...


def pair(
    name: str,
    *parts: Part,
    point: Callable[[str, PyTree], None] = check_floats,
    value: Callable[[str, PyTree], None] = check_floats,
) -> tuple[Operator, Operator]:
    """The operator `name`, which gives one part as it is or a tuple of several, and its form that gives f(x) too."""

    def value_and_operator(f: Function) -> Function:
        def value_and_derivatives(x: PyTree, *directions: PyTree) -> tuple[Any, ...]:
            point("x", x)
            at = Differences(f, x)
            value("f(x)", at.value.tree)
            return at.value.tree, *(part(at, *directions) for part in parts)

        return value_and_derivatives

    def operator(f: Function) -> Function:
        return without_value(value_and_operator(f))

    operator.__name__, value_and_operator.__name__ = name, f"value_and_{name}"
    return _documented(operator), _documented(value_and_operator)


def _documented(function: Model) -> Model:
    """Completes the documentation of an operator, which follows from its name, as its place does."""
    name = function.__name__
    function.__qualname__, function.__module__ = name, "hype_ad.numerical"
    function.__doc__ = f"""{function.__doc__ or f"`hype_ad.{name}` by central differences."}

    Args:
        f: as in `hype_ad.{name}`; JAX need not be able to trace it.

    Returns:
        What `hype_ad.{name}` gives, of arguments whose values are known.

    Raises:
        TypeError: as `hype_ad.{name}`, and if an argument is traced.
        ValueError: as `hype_ad.{name}`.
    """
    return function


@_documented
def diffn(n: SupportsIndex, f: Function) -> Function:
    """`hype_ad.diffn` by central differences; each order costs two digits, so that few are left of the sixth."""
    return without_value(value_and_diffn(n, f))


@_documented
def value_and_diffn(n: SupportsIndex, f: Function) -> Function:
    """`hype_ad.value_and_diffn` by central differences."""
    return pair("diffn", derivative(integer("n", n, 0)), point=check_scalar)[1](f)


@_documented
def diffnv(n: SupportsIndex | Sequence[SupportsIndex], f: Function) -> Function:
    """`hype_ad.diffnv` by central differences; each order costs two digits, so that few are left of the sixth."""
    return without_value(value_and_diffnv(n, f))


@_documented
def value_and_diffnv(n: SupportsIndex | Sequence[SupportsIndex], f: Function) -> Function:
    """`hype_ad.value_and_diffnv` by central differences."""
    return pair("diffnv", mixed(checked_orders(n)))[1](f)


@_documented
def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """`hype_ad.jvp` by central differences."""
    at = Differences(lambda x: f(*x), tuple(primals), "primals")
    return at.value.tree, at.value.with_entries(at.along(at.x.direction("tangents", tuple(tangents))))


@_documented
def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """`hype_ad.vjp` by central differences: the whole Jacobian, taken once for all uses of the pullback."""
    at = Differences(lambda x: f(*x), primals, "primals")
    matrix = at.jacobian
    return at.value.tree, lambda u: at.x.with_entries(at.value.direction("u", u) @ matrix)
