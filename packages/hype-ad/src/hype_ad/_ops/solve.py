r"""Linear systems. A matrix that is singular to working precision gives NaN, never a number without meaning.

LAPACK notices a pivot only if it is 0 exactly; after rounding it usually is not, and the "solution" is large noise. A
pivot $u_{ii} = a_{ii} - \sum_k l_{ik} u_{ki}$ says nothing if it is below the rounding error of its own terms, and
that is the test: $|u_{ii}| \le n \epsilon \sum_{k \le i} |l_{ik}| |u_{ki}|$. It does not depend on the units of rows
and columns, as a condition number would, so badly scaled but sound systems pass.
"""

from typing import Any, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import DM, DV
from .._types.to_array import Plain, TensorLike, to_array
from .in_kind import Tensor, in_kind, one_to_one
from .square import square_matrix


@overload
def solve(a: DM | Plain, b: Tensor) -> Tensor: ...
@overload
def solve(a: DM, b: Plain) -> DV | DM: ...
@overload
def solve(a: Plain, b: Plain) -> Array: ...
def solve(a: TensorLike, b: TensorLike) -> Any:
    """Solves `a @ x = b` by LU decomposition.

    Args:
        a: a square matrix. Differentiable.
        b: a vector, or a matrix whose columns are right sides. Differentiable.

    Returns:
        `x`, of the shape of `b`; all NaN, and its derivatives too, if `a` is singular to working precision.

    Raises:
        ValueError: if `a` is not square or `b` has another number of rows.
    """
    return in_kind(_solve(square_matrix("a", a), _right_side(a, b)), a, b)


@overload
def solve_symmetric(a: DM | Plain, b: Tensor) -> Tensor: ...
@overload
def solve_symmetric(a: DM, b: Plain) -> DV | DM: ...
@overload
def solve_symmetric(a: Plain, b: Plain) -> Array: ...
def solve_symmetric(a: TensorLike, b: TensorLike) -> Any:
    """Solves `a @ x = b` for a symmetric `a`, not necessarily positive definite.

    `a` counts through its symmetric part (a + a.T) / 2, so the derivative with respect to it is symmetric.

    Args:
        a: a symmetric matrix. Differentiable.
        b: a vector, or a matrix whose columns are right sides. Differentiable.

    Returns:
        `x`, of the shape of `b`; all NaN, and its derivatives too, if `a` is singular to working precision.

    Raises:
        ValueError: if `a` is not square or `b` has another number of rows.
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
    array, rows = to_array(b), to_array(a).shape[0]
    if array.ndim not in (1, 2) or array.shape[0] != rows:
        raise ValueError(f"b must be a vector or a matrix with the {rows} rows of a, got shape {array.shape}")
    return array


def _solve(a: Float[Array, "n n"], b: Float[Array, "..."]) -> Float[Array, "..."]:
    fixed = jax.lax.stop_gradient(a)
    factors, _, permutation = jax.lax.linalg.lu(fixed)
    lower = jnp.tril(factors, -1)
    upper = jnp.triu(factors)
    diagonal = jnp.abs(jnp.diagonal(factors))
    terms = jnp.sum(jnp.abs(lower) * jnp.abs(upper).T, axis=1) + diagonal
    singular = jnp.any(diagonal <= a.shape[0] * jnp.finfo(a.dtype).eps * terms)
    # On the way in rather than out: so every derivative meets the NaN, too.
    poisoned = b * jnp.where(singular, jnp.nan, 1.0)

    def substitute(matvec: Any, right: Float[Array, "..."]) -> Float[Array, "..."]:
        columns = right[permutation] if right.ndim == 2 else right[permutation][:, None]
        middle = jax.lax.linalg.triangular_solve(factors, columns, left_side=True, lower=True, unit_diagonal=True)
        result = jax.lax.linalg.triangular_solve(factors, middle, left_side=True, lower=False)
        return result.reshape(right.shape)

    def substitute_transposed(vecmat: Any, right: Float[Array, "..."]) -> Float[Array, "..."]:
        columns = right if right.ndim == 2 else right[:, None]
        middle = jax.lax.linalg.triangular_solve(factors, columns, left_side=True, lower=False, transpose_a=True)
        result = jax.lax.linalg.triangular_solve(
            factors, middle, left_side=True, lower=True, transpose_a=True, unit_diagonal=True
        )
        return result[jnp.argsort(permutation)].reshape(right.shape)

    # The rule of a linear solve has its derivatives, of both modes and any order, from solves with the same factors.
    return jax.lax.custom_linear_solve(lambda x: a @ x, poisoned, substitute, substitute_transposed)
