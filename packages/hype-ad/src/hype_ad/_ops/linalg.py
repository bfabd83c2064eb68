"""Products and factorizations of matrices, tensors or arrays."""

from typing import Any, overload

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import DM, DV, D
from .._types.by_rank import in_kind
from .._types.to_array import Plain, TensorLike
from .lift import one_to_one
from .shape_checks import matrix, square_matrix, vector


@overload
def outer(a: DV, b: DV | Plain) -> DM: ...
@overload
def outer(a: Plain, b: DV) -> DM: ...
@overload
def outer(a: Plain, b: Plain) -> Array: ...
def outer(a: TensorLike, b: TensorLike) -> Any:
    """Outer product of two vectors: the matrix of all products `a[i] * b[j]`, the original's `&*`.

    Raises:
        ValueError: if `a` or `b` is not a vector.
    """
    return in_kind(vector("a", a)[:, None] * vector("b", b)[None, :], a, b)


@one_to_one(DM, D)
def trace(a: Float[Array, "rows cols"]) -> Float[Array, ""]:
    """Sum of the diagonal of a matrix, which need not be square."""
    return jnp.trace(a)


@one_to_one(DM, DV)
def diagonal(a: Float[Array, "rows cols"]) -> Float[Array, " n"]:
    """Diagonal of a matrix, which need not be square, as a vector."""
    return jnp.diagonal(a)


@one_to_one(DV, DM)
def diagonal_matrix(v: Float[Array, " n"]) -> Float[Array, "n n"]:
    """Square matrix with the vector `v` on its diagonal and 0 elsewhere."""
    return jnp.diag(v)


@overload
def slogdet(a: DM) -> tuple[D, D]: ...
@overload
def slogdet(a: Plain) -> tuple[Array, Array]: ...
def slogdet(a: TensorLike) -> tuple[Any, Any]:
    """Sign and logarithm of the magnitude of the determinant, which neither overflow nor underflow.

    Args:
        a: a square matrix. Differentiable where it is not singular.

    Returns:
        The sign (1, -1, or 0 for a singular matrix) and the logarithm (then minus infinity).

    Raises:
        ValueError: if `a` is not square.
    """
    sign, logarithm = jnp.linalg.slogdet(square_matrix("a", a))
    return in_kind(sign, a), in_kind(logarithm, a)


@one_to_one(DM, DM)
def cholesky(a: Float[Array, "rows cols"]) -> Float[Array, "n n"]:
    """Lower triangular L with `L @ L.T = a` for a symmetric positive definite matrix; all NaN if it is not that.

    Args:
        a: a symmetric matrix, which counts through its symmetric part. Differentiable.

    Raises:
        ValueError: if `a` is not square.
    """
    return jnp.linalg.cholesky(square_matrix("a", a), symmetrize_input=True)


@overload
def qr(a: DM) -> tuple[DM, DM]: ...
@overload
def qr(a: Plain) -> tuple[Array, Array]: ...
def qr(a: TensorLike) -> tuple[Any, Any]:
    """Factors a matrix into Q with orthonormal columns and an upper triangular R.

    Args:
        a: an m x n matrix. Differentiable if m >= n and its columns are independent.

    Returns:
        Q of shape m x min(m, n) and R of shape min(m, n) x n.
    """
    q, r = jnp.linalg.qr(matrix("a", a))
    return in_kind(q, a), in_kind(r, a)


@overload
def eigh(a: DM) -> tuple[DV, DM]: ...
@overload
def eigh(a: Plain) -> tuple[Array, Array]: ...
def eigh(a: TensorLike) -> tuple[Any, Any]:
    """Eigenvalues and eigenvectors of a symmetric matrix.

    Args:
        a: a symmetric matrix, which counts through its symmetric part. Differentiable; where eigenvalues are equal
            their vectors have no derivative and asking for one gives NaN.

    Returns:
        The vector of eigenvalues in rising order, and the matrix whose columns are the unit eigenvectors.

    Raises:
        ValueError: if `a` is not square.
    """
    values, vectors = jnp.linalg.eigh(square_matrix("a", a), symmetrize_input=True)
    return in_kind(values, a), in_kind(vectors, a)


@overload
def svd(a: DM) -> tuple[DM, DV, DM]: ...
@overload
def svd(a: Plain) -> tuple[Array, Array, Array]: ...
def svd(a: TensorLike) -> tuple[Any, Any, Any]:
    """Singular value decomposition `a = U @ diagonal_matrix(s) @ V.T`, thin.

    Args:
        a: an m x n matrix. Differentiable; where singular values are equal their vectors have no derivative.

    Returns:
        U of shape m x k with k = min(m, n), the vector s of singular values in falling order, and V of shape n x k.
    """
    u, s, vt = jnp.linalg.svd(matrix("a", a), full_matrices=False)
    return in_kind(u, a), in_kind(s, a), in_kind(vt.T, a)
