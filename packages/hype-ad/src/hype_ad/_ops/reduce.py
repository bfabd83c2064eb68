"""Reductions over a whole tensor or along `axis`: norms, statistics, `logsumexp`, and where the extremes are.

`sum`, `mean`, `max`, `min`, `argmax` and `argmin` are methods, as arrays have them.
"""

from typing import Any, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._documentation import like
from .._types import DM, DV
from .._types.smooth import absolute
from .._types.to_array import Plain, TensorLike, to_array
from .lift import reduction


@reduction
def l1norm(x: Float[Array, "..."], *, axis: int | None = None) -> Float[Array, "..."]:
    """Sum of magnitudes; an element that is 0 has derivative 0."""
    return jnp.sum(absolute(x), axis)


@reduction
def l2norm_sq(x: Float[Array, "..."], *, axis: int | None = None) -> Float[Array, "..."]:
    """Sum of squares."""
    return jnp.sum(x * x, axis)


@reduction
def l2norm(x: Float[Array, "..."], *, axis: int | None = None) -> Float[Array, "..."]:
    """Euclidean norm (of a matrix: Frobenius), which neither overflows nor underflows.

    At the zero vector, where the norm has a corner, its derivative is given as 0 and higher ones are NaN: they grow
    without bound nearby. For the square, which has no corner, there is `l2norm_sq`.
    """
    return norm(x, axis=axis)


def norm(x: Float[Array, "..."], *, axis: int | None = None, keepdims: bool = False) -> Float[Array, "..."]:
    """`l2norm` of an array, of which the reduced axis can be kept."""
    scale = magnitude(x, axis)
    scaled = x / scale
    square = jnp.sum(scaled * scaled, axis, keepdims=True)
    zero = square == 0
    # 0, and its derivative too, but not the next, which the norm lacks: 0 would make a wrong Hessian of a square.
    corner = jnp.where(zero, square, 1.0) ** 1.5
    result = scale * jnp.where(zero, corner, jnp.sqrt(jnp.where(zero, 1.0, square)))
    return result if keepdims else jnp.squeeze(result, axis)


def magnitude(x: Float[Array, "..."], axis: int | None) -> Float[Array, "..."]:
    """About the largest magnitude, with the reduced axis kept and no derivative: a finite number to divide by."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis, keepdims=True, initial=0.0))
    # Between the smallest normal number and its reciprocal: a quotient is computed as a product with the reciprocal.
    tiny = jnp.finfo(x.dtype).tiny
    return jnp.where(jnp.isfinite(largest), jnp.clip(largest, tiny, 1 / tiny), 1.0)


@reduction
def variance(x: Float[Array, "..."], *, axis: int | None = None) -> Float[Array, "..."]:
    """Unbiased variance, with divisor n - 1 as in the original; the method `var` has NumPy's n.

    Raises:
        ValueError: if `x` has no such axis, or if there are fewer than two elements along it.
    """
    _at_least_two(x, axis)
    return jnp.var(x, axis, ddof=1)


@reduction
def standard_deviation(x: Float[Array, "..."], *, axis: int | None = None) -> Float[Array, "..."]:
    """Square root of `variance`; where all elements are equal its derivative is given as 0, and higher ones are NaN.

    Raises:
        ValueError: if `x` has no such axis, or if there are fewer than two elements along it.
    """
    count = _at_least_two(x, axis)
    return norm(x - jnp.mean(x, axis, keepdims=True), axis=axis) / (count - 1) ** 0.5


def _at_least_two(x: Float[Array, "..."], axis: int | None) -> int:
    count = x.size if axis is None else x.shape[axis]
    if count < 2:
        raise ValueError(f"`x` must have at least two elements along axis {axis}, got {count}: the divisor is n - 1.")
    return count


@reduction
def logsumexp(x: Float[Array, "..."], *, axis: int | None = None) -> Float[Array, "..."]:
    r"""Smooth maximum $\log\sum_i e^{x_i}$, without overflow; its gradient is the softmax.

    Elements at minus infinity count as absent. Where all are, or one is plus infinity, the value is that infinity and
    the derivative NaN.
    """
    largest = jax.lax.stop_gradient(jnp.max(x, axis, keepdims=True, initial=-jnp.inf))
    shift = jnp.where(jnp.isfinite(largest), largest, 0.0)
    return jnp.log(jnp.sum(jnp.exp(x - shift), axis)) + jnp.squeeze(shift, axis)


@overload
def max_index(x: DV) -> Int[Array, ""]: ...
@overload
def max_index(x: DM) -> tuple[Int[Array, ""], Int[Array, ""]]: ...
@overload
def max_index(x: Plain) -> Any: ...
def max_index(x: TensorLike) -> Any:
    """Where the largest element is, the first one on ties.

    Args:
        x: a vector or a matrix.

    Returns:
        An index into a vector; for a matrix the pair of row and column.

    Raises:
        TypeError: if `x` does not consist of real numbers.
        ValueError: if `x` is empty.
    """
    array = to_array(x)
    return _as_index(jnp.argmax(array), array.shape)


@like(max_index)
def min_index(x: TensorLike) -> Any:
    """Where the smallest element is, the first one on ties."""
    array = to_array(x)
    return _as_index(jnp.argmin(array), array.shape)


def _as_index(flat: Int[Array, ""], shape: tuple[int, ...]) -> Int[Array, ""] | tuple[Int[Array, ""], ...]:
    return tuple(jnp.unravel_index(flat, shape)) if len(shape) > 1 else flat
