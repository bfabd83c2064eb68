"""Functions of a symmetric matrix whose derivatives need no difference of eigenvalues, which may coincide."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def absolute_value(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    r"""The positive definite $S$ with $S^2 = A^2 + \delta^2 I$ for a symmetric $A$: negative curvature made positive.

    $\delta$ is the square root of the machine epsilon times the size of $A$, and nowhere 0. Differentiable to any
    order, with $\delta$ taken as fixed: $S \dot S + \dot S S = A \dot A + \dot A A$ (Higham 2008, equation 6.5), which
    needs no difference of eigenvalues.
    """
    eigenvalues, vectors = jnp.linalg.eigh(matrix)
    tiny = jnp.finfo(matrix.dtype).tiny ** 0.5
    softening = jnp.finfo(matrix.dtype).eps ** 0.5 * jnp.max(jnp.abs(eigenvalues)) + tiny
    return (vectors * jnp.hypot(eigenvalues, softening)) @ vectors.T


@absolute_value.defjvp
def _absolute_value_jvp(primals: tuple, tangents: tuple) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    (matrix,), (change,) = primals, tangents
    value = absolute_value(matrix)
    return value, _lyapunov(value, matrix @ change + change @ matrix)


@jax.custom_jvp
def _lyapunov(s: Float[Array, "n n"], right: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The solution of S X + X S = R for a positive definite S."""
    eigenvalues, vectors = jnp.linalg.eigh(s)
    sums = eigenvalues[:, None] + eigenvalues[None, :]
    return vectors @ ((vectors.T @ right @ vectors) / sums) @ vectors.T


@_lyapunov.defjvp
def _lyapunov_jvp(primals: tuple, tangents: tuple) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    (s, right), (d_s, d_right) = primals, tangents
    x = _lyapunov(s, right)
    return x, _lyapunov(s, d_right - d_s @ x - x @ d_s)


@jax.custom_jvp
def lowest_eigenvector(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    """The unit eigenvector of the lowest eigenvalue of a symmetric matrix, of either sign.

    Differentiable to any order where that eigenvalue is simple.
    """
    return jnp.linalg.eigh(matrix)[1][:, 0]


@lowest_eigenvector.defjvp
def _lowest_eigenvector_jvp(primals: tuple, tangents: tuple) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    (matrix,), (change,) = primals, tangents
    v = lowest_eigenvector(matrix)
    shifted = matrix - (v @ matrix @ v) * jnp.eye(len(v), dtype=v.dtype)
    # (A - a I) dv = -(dA - da I) v, and v stays of unit length.
    bordered = jnp.block([[shifted, v[:, None]], [v[None], jnp.zeros((1, 1), v.dtype)]])
    bent = change @ v
    right = jnp.append((v @ bent) * v - bent, jnp.zeros((), v.dtype))
    return v, jnp.linalg.solve(bordered, right)[:-1]
