r"""Linear systems. A matrix that is singular to working precision gives NaN, never a number without meaning.

LAPACK notices a pivot only if it is 0 exactly; after rounding it usually is not, and the "solution" is large noise. So:

- A pivot $u_{ii} = a_{ii} - \sum_k l_{ik} u_{ki}$ says nothing if it is below the rounding error of its own terms,
  $|u_{ii}| \le 4 n \epsilon \sum_{k \le i} |l_{ik}| |u_{ki}|$.
- A solution has no right digit if the error that rounding of the entries causes, $\epsilon |A^{-1}| |A| c$, comes near
  to the size $c$ of the unknowns. Two right sides with mixed signs and the size of $|A| c$ measure it (Skeel 1979 has
  the bound; measuring by random signs instead of an exact norm is enough for a yes or no).

On random singular matrices of several kinds each misses some, and both together none. Neither depends on the units of
rows and columns, as the usual condition number does, so badly scaled but sound systems pass.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._documentation import like
from .._types import DM, DV
from .._types.by_rank import in_kind
from .._types.to_array import Plain, TensorLike, to_array
from .lift import Tensor, one_to_one
from .shape_checks import square_matrix


@overload
def solve(a: DM | Plain, b: Tensor) -> Tensor: ...
@overload
def solve(a: DM, b: Plain) -> DV | DM: ...
@overload
def solve(a: Plain, b: Plain) -> Array: ...
def solve(a: TensorLike, b: TensorLike) -> Any:
    """Solves `a @ x = b` by LU decomposition.

    Examples:
        >>> from hype_ad import DM, DV, solve
        >>> solve(DM([[2.0, 0.0], [0.0, 4.0]]), DV([2.0, 2.0]))
        DV([1.  0.5])

    Args:
        a: a square matrix. Differentiable.
        b: a vector, or a matrix whose columns are right sides. Differentiable.

    Returns:
        `x`, of the shape of `b`; all NaN, and its derivatives too, if `a` is singular to working precision.

    Raises:
        ValueError: if `a` is not square or `b` has another number of rows.
    """
    return in_kind(_solve(square_matrix("a", a), _right_side(a, b)), a, b)


@like(solve)
def solve_symmetric(a: TensorLike, b: TensorLike) -> Any:
    """Solves `a @ x = b` for a symmetric `a`, not necessarily positive definite.

    `a` counts through its symmetric part (a + a.T) / 2, so the derivative with respect to it is symmetric.
    """
    array = square_matrix("a", a)
    return in_kind(_solve(array / 2 + array.T / 2, _right_side(a, b)), a, b)


@one_to_one(DM, DM)
def inverse(a: Float[Array, "rows cols"]) -> Float[Array, "n n"]:
    """Inverts a matrix; `solve(a, b)` is cheaper and more accurate than `inverse(a) @ b`.

    Args:
        a: a square matrix. Differentiable.

    Returns:
        The inverse; all NaN, and its derivatives too, if `a` is singular to working precision.

    Raises:
        ValueError: if `a` is not square.
    """
    return _solve(square_matrix("a", a), jnp.eye(a.shape[0], dtype=a.dtype))


def _right_side(a: TensorLike, b: TensorLike) -> Float[Array, "..."]:
    array, rows = to_array(b, "b"), to_array(a).shape[0]
    if array.ndim not in (1, 2) or array.shape[0] != rows:
        raise ValueError(f"`b` must be a vector or a matrix with the {rows} rows of `a`, got shape {array.shape}.")
    return array


@partial(jax.jit, inline=True)
def _solve(a: Float[Array, "n n"], b: Float[Array, "..."]) -> Float[Array, "..."]:
    dtype = jnp.result_type(a, b)
    a, b = a.astype(dtype), b.astype(dtype)
    if not a.shape[0]:
        return b
    fixed = jax.lax.stop_gradient(a)
    factors, _, permutation = jax.lax.linalg.lu(fixed)

    def substitute(_: Any, right: Float[Array, "..."]) -> Float[Array, "..."]:
        columns = right[permutation] if right.ndim == 2 else right[permutation][:, None]
        middle = jax.lax.linalg.triangular_solve(factors, columns, left_side=True, lower=True, unit_diagonal=True)
        result = jax.lax.linalg.triangular_solve(factors, middle, left_side=True, lower=False)
        return result.reshape(right.shape)

    def substitute_transposed(_: Any, right: Float[Array, "..."]) -> Float[Array, "..."]:
        columns = right if right.ndim == 2 else right[:, None]
        middle = jax.lax.linalg.triangular_solve(factors, columns, left_side=True, lower=False, transpose_a=True)
        result = jax.lax.linalg.triangular_solve(
            factors, middle, left_side=True, lower=True, transpose_a=True, unit_diagonal=True
        )
        return result[jnp.argsort(permutation)].reshape(right.shape)

    singular = _has_lost_pivot(factors) | _amplifies_rounding(fixed, lambda right: substitute(None, right))
    # On the way in rather than out: so every derivative meets the NaN, too.
    poisoned = b * jnp.where(singular, jnp.nan, 1.0)
    # The rule of a linear solve has its derivatives, of both modes and any order, from solves with the same factors.
    return jax.lax.custom_linear_solve(lambda x: a @ x, poisoned, substitute, substitute_transposed)


def _has_lost_pivot(factors: Float[Array, "n n"]) -> Bool[Array, ""]:
    n, epsilon = factors.shape[0], jnp.finfo(factors.dtype).eps
    pivots = jnp.abs(jnp.diagonal(factors))
    # L and U share one matrix: below its diagonal, entry (i, k) of this product is |l_ik| |u_ki|.
    terms = jnp.sum(jnp.tril(jnp.abs(factors) * jnp.abs(factors.T), -1), axis=1) + pivots
    return jnp.any(pivots <= 4 * n * epsilon * terms)


def _amplifies_rounding(a: Float[Array, "n n"], solve_with: Callable[[Array], Array]) -> Bool[Array, ""]:
    size = jnp.abs(a)
    # Unknowns in units in which every column is as large as its largest row, whatever the units of the rows.
    units = 1 / jnp.max(size / jnp.max(size, axis=1, keepdims=True), axis=0)
    i = jnp.arange(a.shape[0], dtype=a.dtype)
    signs = jnp.stack([1 - 2 * (i % 2), jnp.cos(i * i + 1)], axis=1)
    error = solve_with(signs * (size @ units)[:, None]) / units[:, None]
    # Said so that NaN counts as amplified: a row or a column of zeros.
    return ~jnp.all(jnp.abs(error) * jnp.finfo(a.dtype).eps < 0.1)
