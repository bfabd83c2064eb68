"""Functions that take tensors and arrays alike and answer in kind.

They are written for arrays. If an operand is a `D`, `DV` or `DM`, so is the result, by its rank; else it is an array.
Each is compiled, so that outside of `jit` too it is one call and not one for each of its operations; inlined, so that
within a traced program nothing tells.
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import DM, DV, AbstractTensor, D
from .._types.broadcast import aligned
from .._types.by_rank import is_tensor, of_rank
from .._types.to_array import Number, Plain, to_array

Tensor = TypeVar("Tensor", bound=AbstractTensor)
In = TypeVar("In", bound=AbstractTensor, contravariant=True)
Out = TypeVar("Out", bound=AbstractTensor, covariant=True)


def in_kind(result: Float[Array, "..."], *operands: object) -> Any:
    """Gives `result` the type of its rank if an operand is a tensor."""
    return of_rank(result) if any(map(is_tensor, operands)) else result


@runtime_checkable
class Elementwise(Protocol):
    """Signature of a function of one operand that keeps its shape."""

    @overload
    def __call__(self, x: Tensor) -> Tensor: ...
    @overload
    def __call__(self, x: Plain) -> Array: ...


def elementwise(function: Callable[[Array], Array]) -> Elementwise:
    """Lets a function of one array that keeps its shape answer in kind."""
    compiled = jax.jit(function, inline=True)

    def answer(x: Any) -> Any:
        return in_kind(compiled(to_array(x)), x)

    functools.update_wrapper(answer, function)
    return answer


@runtime_checkable
class OneToOne(Protocol[In, Out]):
    """Signature of a function from tensors of one rank to those of another."""

    @overload
    def __call__(self, x: In, /) -> Out: ...
    @overload
    def __call__(self, x: Plain, /) -> Array: ...


def one_to_one(kind: type[In], answer: type[Out]) -> Callable[[Callable[[Array], Array]], OneToOne[In, Out]]:
    """Lets a function of one array of the rank of `kind`, which it checks, answer in kind.

    `answer` is what a type checker learns; at run time the result's rank speaks for itself.
    """
    rank, description = {D: (0, "a number"), DV: (1, "a vector"), DM: (2, "a matrix")}[kind]

    def decorator(function: Callable[[Array], Array]) -> OneToOne[In, Out]:
        compiled = jax.jit(function, inline=True)

        def answer(x: Any) -> Any:
            array = to_array(x)
            if array.ndim != rank:
                raise ValueError(f"{function.__name__} takes {description}, got rank {array.ndim}, shape {array.shape}")
            return in_kind(compiled(array), x)

        functools.update_wrapper(answer, function)
        return answer

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


def pairwise(function: Callable[..., Array]) -> Pairwise:
    """Lets an elementwise function of two arrays broadcast as NumPy does and answer in kind."""
    compiled = jax.jit(function, inline=True)

    def answer(x: Any, y: Any) -> Any:
        return in_kind(compiled(*aligned(_weak(x), _weak(y))), x, y)

    functools.update_wrapper(answer, function)
    return answer


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
    """Lets a reduction of an array answer in kind, after a look at its axis."""
    compiled = jax.jit(function, static_argnames="axis", inline=True)

    def answer(x: Any, *, axis: int | None = None) -> Any:
        return in_kind(compiled(_with_axis(x, axis), axis=axis), x)

    functools.update_wrapper(answer, function)
    return answer


@runtime_checkable
class Scaling(Protocol):
    """Signature of a function that keeps the shape and looks along one axis or at the whole."""

    @overload
    def __call__(self, x: Tensor, *, axis: int | None = None) -> Tensor: ...
    @overload
    def __call__(self, x: Plain, *, axis: int | None = None) -> Array: ...


def scaling(function: Callable[..., Array]) -> Scaling:
    """Lets a function that keeps the shape of an array answer in kind, after a look at its axis."""
    compiled = jax.jit(function, static_argnames="axis", inline=True)

    def answer(x: Any, *, axis: int | None = None) -> Any:
        return in_kind(compiled(_with_axis(x, axis), axis=axis), x)

    functools.update_wrapper(answer, function)
    return answer


def _with_axis(x: Any, axis: int | None) -> Float[Array, "..."]:
    array = to_array(x)
    if axis is not None and not -array.ndim <= axis < array.ndim:
        raise ValueError(f"axis must be None or an axis of x, got {axis} for the shape {array.shape}")
    return array
