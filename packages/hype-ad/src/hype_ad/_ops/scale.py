"""Rescalings of a whole tensor, or of each of its slices along `axis` (`axis=0`: each column by itself)."""

from functools import partial
from typing import Any, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._types.by_rank import in_kind
from .._types.to_array import Plain, TensorLike, to_array
from ..internal.extremes import largest, smallest
from .lift import Tensor, scaling
from .reduce import magnitude, norm
from .shape_checks import check_axis


@scaling
def standardize(x: Float[Array, "..."], *, axis: int | None = None) -> Float[Array, "..."]:
    """Shifts and scales to mean 0 and `standard_deviation` 1.

    Where all elements are equal the result is 0, and so is its derivative.
    """
    if not x.size:
        return x
    flat = _all_equal(x, axis)
    count = x.size if axis is None else x.shape[axis]
    deviation = jnp.where(flat, 1.0, x - jnp.mean(x, axis, keepdims=True))
    size = norm(deviation, axis=axis, keepdims=True) / max(count - 1, 1) ** 0.5
    return jnp.where(flat, 0.0, deviation) / size


@scaling
def normalize(x: Float[Array, "..."], *, axis: int | None = None) -> Float[Array, "..."]:
    """Shifts and scales to the interval [0, 1].

    Where all elements are equal the result is 0, and so is its derivative.
    """
    if not x.size:
        return x
    flat = _all_equal(x, axis)
    low, high = smallest(x, axis, keepdims=True), largest(x, axis, keepdims=True)
    return jnp.where(flat, 0.0, x - low) / jnp.where(flat, 1.0, high - low)


@scaling
def unit_vector(x: Float[Array, "..."], *, axis: int | None = None) -> Float[Array, "..."]:
    """Scales to Euclidean norm 1; the zero vector, which has no direction, stays 0 with derivative 0."""
    zero = jnp.all(x == 0, axis, keepdims=True)
    scaled = x / magnitude(x, axis)
    return jnp.where(zero, 0.0, scaled) / norm(jnp.where(zero, 1.0, scaled), axis=axis, keepdims=True)


def _all_equal(x: Float[Array, "..."], axis: int | None) -> Bool[Array, "..."]:
    # Not "the deviation is 0": the mean of equal numbers is rounded, and a rounding error must not be blown up to 1.
    return largest(x, axis, keepdims=True) == smallest(x, axis, keepdims=True)


@overload
def softmax(x: Tensor, *, axis: int = -1) -> Tensor: ...
@overload
def softmax(x: Plain, *, axis: int = -1) -> Array: ...
def softmax(x: TensorLike, *, axis: int = -1) -> Any:
    r"""Probabilities $e^{x_i} / \sum_j e^{x_j}$ along `axis`, without overflow.

    Args:
        x: a vector, or a matrix whose rows (`axis=-1`) or columns (`axis=0`) are taken one by one. Differentiable.
            Elements at minus infinity get probability 0.
        axis: the axis that sums to 1.

    Returns:
        A tensor for a tensor, an array for an array, of the shape of `x`.

    Raises:
        ValueError: if `x` is a number, or `axis` is not an axis of it.
    """
    array = to_array(x)
    check_axis(axis, array)
    return in_kind(_softmax(array, int(axis)) if array.size else array, x)


@partial(jax.jit, static_argnums=1, inline=True)
def _softmax(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    powers = jnp.exp(x - jax.lax.stop_gradient(jnp.max(x, axis, keepdims=True)))
    return powers / jnp.sum(powers, axis, keepdims=True)
