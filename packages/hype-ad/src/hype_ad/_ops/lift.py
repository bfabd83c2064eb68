"""Decorators that lift a function of arrays to tensors: tensors in, tensors out; arrays in, arrays out.

A lifted function is compiled, so that outside of `jit` it is one call rather than one for each of its operations, and
inlined, so that inside of `jit` the program is the one that the function itself would have given.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._documentation import complete_docstring
from .._types import DM, DV, AbstractTensor, D
from .._types.by_rank import in_kind
from .._types.methods import aligned
from .._types.to_array import Number, Plain, to_array
from .shape_checks import DESCRIPTIONS, check_axis, check_rank

Tensor = TypeVar("Tensor", bound=AbstractTensor)
In = TypeVar("In", bound=AbstractTensor, contravariant=True)
Out = TypeVar("Out", bound=AbstractTensor, covariant=True)

_OPERAND = "a `D`, `DV` or `DM`, an array, a number, or a (nested) sequence of these. Differentiable"


@runtime_checkable
class Elementwise(Protocol):
    """Signature of a function of one operand that keeps its shape."""

    @overload
    def __call__(self, x: Tensor) -> Tensor: ...
    @overload
    def __call__(self, x: Plain) -> Array: ...


def elementwise(name: str, function: Callable[[Array], Array], summary: str) -> Elementwise:
    """Lifts a function of one array that keeps its shape, under a name and with a summary of its own."""

    def of_array(x: Float[Array, "..."]) -> Float[Array, "..."]:
        return function(x)

    of_array.__name__ = of_array.__qualname__ = name
    of_array.__module__, of_array.__doc__ = "hype_ad", summary
    return _lifted(of_array, lambda x: [to_array(x)], _docstring(x=_OPERAND))


@runtime_checkable
class OneToOne(Protocol[In, Out]):
    """Signature of a function from tensors of one rank to those of another."""

    @overload
    def __call__(self, x: In, /) -> Out: ...
    @overload
    def __call__(self, x: Plain, /) -> Array: ...


def one_to_one(kind: type[In], answer: type[Out]) -> Callable[[Callable[[Array], Array]], OneToOne[In, Out]]:
    """Lifts a function of one array of the rank of `kind`, which is checked.

    `answer` is what a type checker learns; at run time the result's rank speaks for itself.
    """
    rank = {D: 0, DV: 1, DM: 2}[kind]

    def decorator(function: Callable[[Array], Array]) -> OneToOne[In, Out]:
        (name,) = inspect.signature(function).parameters
        accepted = DESCRIPTIONS[rank]
        docstring = _docstring(f"`{name}` is not {accepted}", **{name: f"{accepted}. Differentiable"})
        return _lifted(function, lambda x: [check_rank(name, x, rank)], docstring)

    return decorator


@runtime_checkable
class Pairwise(Protocol):
    """Signature of an elementwise function of two operands."""

    @overload
    def __call__(self, x: Tensor, y: Tensor | D | Number) -> Tensor: ...
    @overload
    def __call__(self, x: D | Number, y: Tensor) -> Tensor: ...
    @overload
    def __call__(self, x: AbstractTensor, y: AbstractTensor | Plain) -> AbstractTensor: ...
    @overload
    def __call__(self, x: Plain, y: AbstractTensor) -> AbstractTensor: ...
    @overload
    def __call__(self, x: Plain, y: Plain) -> Array: ...


def pairwise(function: Callable[[Array, Array], Array]) -> Pairwise:
    """Lifts an elementwise function of two arrays, with NumPy's broadcasting."""
    docstring = _docstring("the shapes do not broadcast", x=_OPERAND, y=_OPERAND)
    return _lifted(function, lambda x, y: aligned(_weak(x), _weak(y)), docstring)


def _weak(x: Any) -> Any:
    """A Python number stays weakly typed, so that it takes the other operand's dtype."""
    return jnp.asarray(float(x)) if isinstance(x, bool | int | float) else to_array(x)


@runtime_checkable
class Reduction(Protocol):
    """Signature of a function that takes away one axis or all of them."""

    @overload
    def __call__(self, x: D | DV, *, axis: int | None = None) -> D: ...
    @overload
    def __call__(self, x: DM, *, axis: None = None) -> D: ...
    @overload
    def __call__(self, x: DM, *, axis: int) -> DV: ...
    @overload
    def __call__(self, x: Plain, *, axis: int | None = None) -> Array: ...


def reduction(function: Callable[..., Array]) -> Reduction:
    """Lifts a function that takes away one axis of an array, which is checked, or all of them."""
    return _along_axis(function, "the axis to take away; all of them if not given")


@runtime_checkable
class Scaling(Protocol):
    """Signature of a function that keeps the shape and looks along one axis or at the whole."""

    @overload
    def __call__(self, x: Tensor, *, axis: int | None = None) -> Tensor: ...
    @overload
    def __call__(self, x: Plain, *, axis: int | None = None) -> Array: ...


def scaling(function: Callable[..., Array]) -> Scaling:
    """Lifts a function that keeps the shape and looks along one axis, which is checked, or at the whole array."""
    return _along_axis(function, "the axis to look along; `x` as a whole if not given")


def _along_axis(function: Callable[..., Array], meaning: str) -> Any:
    def checked(x: Any, *, axis: Any = None) -> Sequence[Array]:
        array = to_array(x)
        if axis is not None:
            check_axis(axis, array, "None or an axis of `x`")
        return [array]

    return _lifted(function, checked, _docstring("`x` has no such axis", x=_OPERAND, axis=meaning), "axis")


def _docstring(*errors: str, **arguments: str) -> str:
    """The sections that the docstrings of all functions of one signature share."""
    return "\n".join(
        [
            "Args:",
            *(f"    {name}: {what}." for name, what in arguments.items()),
            "\nReturns:",
            "    A tensor for a tensor, an array for anything else.",
            "\nRaises:",
            "    TypeError: if an operand does not consist of real numbers.",
            *(f"    ValueError: if {error}." for error in errors),
        ]
    )


def _lifted(
    function: Callable[..., Array], arrays: Callable[..., Sequence[Any]], docstring: str, *settings: str
) -> Any:
    """`function`, compiled, of operands and settings that `arrays` checks and makes arrays of, with tensors out.

    Operands are given by position or by name, settings by name: they are part of the program.
    """
    compiled = jax.jit(function, static_argnames=settings, inline=True)
    names = [name for name in inspect.signature(function).parameters if name not in settings]
    arrays.__qualname__ = function.__qualname__  # it is what Python's messages on wrong arguments name

    @functools.wraps(function)
    def lifted(*operands: Any, **others: Any) -> Any:
        operands = (*operands, *(others.pop(name) for name in names[len(operands) :] if name in others))
        checked = arrays(*operands, **others)
        static = {name: None if value is None else int(value) for name, value in others.items()}
        return in_kind(compiled(*checked, **static), *operands)

    complete_docstring(lifted, docstring)
    return lifted
