"""Operators and reductions of a tensor: computed on arrays, with the tensor type of the result's rank.

Operators are NumPy's: between tensors, arrays and numbers, on either side, with its broadcasting.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from .by_rank import is_tensor, of_rank
from .signatures import Operator, Product, Reduction
from .smooth import power
from .to_array import HasJaxArray, Number


def reduction(method: Callable[..., Array]) -> Reduction:
    """Lets a method that gives an array give the tensor of the array's rank."""

    def with_type(self: Any, *args: Any, **kwargs: Any) -> Any:
        return of_rank(method(self, *args, **kwargs))

    functools.update_wrapper(with_type, method)
    return with_type


def operators(function: Callable[..., Array]) -> tuple[Operator, Operator]:
    """Makes the methods of `tensor * other` and of `other * tensor`."""
    return _on_either_side(functools.partial(combine, function))


def comparison(function: Callable[..., Array]) -> Callable[[Any, Any], Bool[Array, "..."]]:
    """Makes the method of `tensor < other`, which gives an array."""

    def method(self: Any, other: object) -> Any:
        return compare(function, self, other)

    return method


def products() -> tuple[Product, Product]:
    """Makes the methods of `tensor @ other` and of `other @ tensor`."""
    return _on_either_side(multiply_matrices)


def _on_either_side(function: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    def method(self: Any, other: object) -> Any:
        return function(self, other)

    def reflected(self: Any, other: object) -> Any:
        return function(other, self)

    return method, reflected


def combine(function: Callable[..., Array], left: object, right: object) -> Any:
    """Applies an elementwise function; gives the tensor of the result's rank."""
    result = compare(function, left, right)
    return result if result is NotImplemented else of_rank(result)


def compare(function: Callable[..., Array], left: object, right: object) -> Any:
    """Applies an elementwise function; gives an array."""
    a, b = _operand(left), _operand(right)
    return NotImplemented if a is None or b is None else function(*aligned(a, b))


def multiply_matrices(left: object, right: object) -> Any:
    """The inner or matrix product; raises a ValueError if an operand is a number, or if the inner lengths differ."""
    a, b = _operand(left), _operand(right)
    if a is None or b is None:
        return NotImplemented
    m, n = np.shape(a), np.shape(b)
    if not m or not n:
        raise ValueError(
            f"The operands of `@` must be vectors or matrices, got shapes {m} and {n}. Use `*` to multiply by a number."
        )
    if m[-1] != n[-min(2, len(n))]:
        raise ValueError(f"The operands of `@` must have equal inner lengths, got shapes {m} and {n}.")
    return of_rank(jnp.matmul(a, b))


def _operand(x: Any) -> Any:
    """The array or the number in an operand, or None. A Python number stays one, so that JAX types it weakly."""
    if is_tensor(x):
        return x.array
    if isinstance(x, Number | jax.Array | np.ndarray):
        return x
    return x.__jax_array__() if isinstance(x, HasJaxArray) else None


def aligned(left: Any, right: Any) -> tuple[Any, Any]:
    """Gives two operands equal ranks by new leading axes, as NumPy's broadcasting does; numbers stay numbers.

    JAX can be told to refuse to do so silently (`jax_numpy_rank_promotion`). Shapes that do not broadcast raise.
    """
    a, b = np.shape(left), np.shape(right)
    if a == b or not a or not b:
        return left, right
    if any(m != n and m != 1 and n != 1 for m, n in zip(reversed(a), reversed(b), strict=False)):
        raise ValueError(f"The operands must have shapes that broadcast, got {a} and {b}.")
    return _with_rank(left, a, len(b)), _with_rank(right, b, len(a))


def _with_rank(x: Any, shape: tuple[int, ...], rank: int) -> Any:
    missing = rank - len(shape)
    return jnp.expand_dims(x, tuple(range(missing))) if missing > 0 else x


_ARITHMETIC: dict[np.ufunc, Callable[..., Array]] = {
    np.add: jnp.add,
    np.subtract: jnp.subtract,
    np.multiply: jnp.multiply,
    np.true_divide: jnp.true_divide,
    np.floor_divide: jnp.floor_divide,
    np.remainder: jnp.remainder,
    np.power: power,
}
_COMPARISONS: dict[np.ufunc, Callable[..., Array]] = {
    np.equal: jnp.equal,
    np.not_equal: jnp.not_equal,
    np.less: jnp.less,
    np.less_equal: jnp.less_equal,
    np.greater: jnp.greater,
    np.greater_equal: jnp.greater_equal,
}


def apply_ufunc(ufunc: np.ufunc, left: object, right: object) -> Any:
    """Does what NumPy's operator would have done, where a NumPy array is the left operand; else `NotImplemented`."""
    if ufunc is np.matmul:
        return multiply_matrices(left, right)
    if ufunc in _ARITHMETIC:
        return combine(_ARITHMETIC[ufunc], left, right)
    return compare(_COMPARISONS[ufunc], left, right) if ufunc in _COMPARISONS else NotImplemented
