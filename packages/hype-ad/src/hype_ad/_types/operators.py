"""NumPy's operators between tensors, arrays and numbers, on either side."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .broadcast import aligned
from .by_rank import is_tensor, of_rank
from .signatures import Operator, Product
from .smooth import power
from .to_array import HasJaxArray, Number


def _operand(x: Any) -> Any:
    """The array or the number in an operand, or None. A Python number stays one, so that JAX types it weakly."""
    if is_tensor(x):
        return x.array
    if isinstance(x, Number | jax.Array | np.ndarray):
        return x
    return x.__jax_array__() if isinstance(x, HasJaxArray) else None


def combine(function: Callable[..., Array], left: object, right: object) -> Any:
    """Applies an elementwise function and gives the result the type of its rank."""
    result = compare(function, left, right)
    return result if result is NotImplemented else of_rank(result)


def compare(function: Callable[..., Array], left: object, right: object) -> Any:
    """Applies an elementwise function and gives its array."""
    a, b = _operand(left), _operand(right)
    return NotImplemented if a is None or b is None else function(*aligned(a, b))


def multiply_matrices(left: object, right: object) -> Any:
    """Gives the inner or matrix product.

    Raises:
        ValueError: if an operand is a number, or if the inner lengths differ.
    """
    a, b = _operand(left), _operand(right)
    if a is None or b is None:
        return NotImplemented
    m, n = np.shape(a), np.shape(b)
    if not m or not n:
        raise ValueError(f"@ takes vectors and matrices, got shapes {m} and {n}: use * to multiply by a number")
    if m[-1] != n[-min(2, len(n))]:
        raise ValueError(f"@ takes equal inner lengths, got shapes {m} and {n}")
    return of_rank(jnp.matmul(a, b))


def operator(function: Callable[..., Array]) -> Operator:
    """Makes the method of `tensor * other`."""

    def method(self: Any, other: object) -> Any:
        return combine(function, self, other)

    return method


def reflected(function: Callable[..., Array]) -> Operator:
    """Makes the method of `other * tensor`."""

    def method(self: Any, other: object) -> Any:
        return combine(function, other, self)

    return method


def product() -> Product:
    """Makes the method of `tensor @ other`."""

    def method(self: Any, other: object) -> Any:
        return multiply_matrices(self, other)

    return method


def reflected_product() -> Product:
    """Makes the method of `other @ tensor`."""

    def method(self: Any, other: object) -> Any:
        return multiply_matrices(other, self)

    return method


ARITHMETIC: dict[np.ufunc, Callable[..., Array]] = {
    np.add: jnp.add,
    np.subtract: jnp.subtract,
    np.multiply: jnp.multiply,
    np.true_divide: jnp.true_divide,
    np.floor_divide: jnp.floor_divide,
    np.remainder: jnp.remainder,
    np.power: power,
}
COMPARISONS: dict[np.ufunc, Callable[..., Array]] = {
    np.equal: jnp.equal,
    np.not_equal: jnp.not_equal,
    np.less: jnp.less,
    np.less_equal: jnp.less_equal,
    np.greater: jnp.greater,
    np.greater_equal: jnp.greater_equal,
}


def apply_ufunc(ufunc: np.ufunc, left: object, right: object) -> Any:
    """Does what NumPy's operator would have done, when NumPy's array is the left operand; else `NotImplemented`."""
    if ufunc is np.matmul:
        return multiply_matrices(left, right)
    if ufunc in ARITHMETIC:
        return combine(ARITHMETIC[ufunc], left, right)
    return compare(COMPARISONS[ufunc], left, right) if ufunc in COMPARISONS else NotImplemented
