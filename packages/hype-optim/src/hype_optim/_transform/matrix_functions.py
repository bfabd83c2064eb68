"""Functions of a symmetric matrix whose derivatives need no difference of eigenvalues, which may coincide."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def _tiny(dtype: jnp.dtype) -> float:
    """What is too small to matter, and not 0."""
    return float(jnp.finfo(dtype).tiny ** 0.5)


@jax.custom_jvp
def absolute_value(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    r"""The positive definite $S$ with $S^2 = A^2 + \delta^2 I$ for a symmetric $A$: negative curvature made positive.

    $\delta$ is the square root of the machine epsilon times the size of $A$, and nowhere 0. Differentiable to any
    order, with $\delta$ taken as fixed: $S \dot S + \dot S S = A \dot A + \dot A A$ (Higham 2008, equation 6.5), which
    needs no difference of eigenvalues.
    """
    eigenvalues, vectors = jnp.linalg.eigh(matrix)
    softening = jnp.finfo(matrix.dtype).eps ** 0.5 * jnp.max(jnp.abs(eigenvalues)) + _tiny(matrix.dtype)
    return (vectors * jnp.hypot(eigenvalues, softening)[None]) @ vectors.T


@absolute_value.defjvp
def _absolute_value_jvp(primals: tuple, tangents: tuple) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    (matrix,), (change,) = primals, tangents
    value = absolute_value(matrix)
    return value, _lyapunov(value, matrix @ change + change @ matrix)


def _lyapunov(s: Float[Array, "n n"], right: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The solution of S X + X S = R for a positive definite S."""
    eigenvalues, vectors = jnp.linalg.eigh(lax.stop_gradient(s))
    sums = eigenvalues[:, None] + eigenvalues[None, :]

    def solve(_: Callable, right: Float[Array, "n n"]) -> Float[Array, "n n"]:
        return vectors @ ((vectors.T @ right @ vectors) / sums) @ vectors.T

    return lax.custom_linear_solve(lambda x: s @ x + x @ s, right, solve, symmetric=True)


@jax.custom_jvp
def lowest_eigenvector(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    """The unit eigenvector of the lowest eigenvalue of a symmetric matrix, of either sign.

    Differentiable to any order where that eigenvalue is simple, and of a finite derivative where it is not.
    """
    return jnp.linalg.eigh(matrix)[1][:, 0]


@lowest_eigenvector.defjvp
def _lowest_eigenvector_jvp(primals: tuple, tangents: tuple) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    (matrix,), (change,) = primals, tangents
    v = lowest_eigenvector(matrix)
    identity = jnp.eye(len(v), dtype=v.dtype)
    shifted = matrix - (v @ matrix @ v) * identity
    # The solution of (A - a I) dv = -dA v that has no part along v, nor along what else A - a I does not see.
    # Well above rounding: where the eigenvalue is a multiple one, nothing else keeps the solve from a division by 0.
    rounding = 100 * len(v) * jnp.finfo(v.dtype).eps
    softening = rounding * jnp.max(jnp.abs(lax.stop_gradient(matrix))) ** 2 + _tiny(v.dtype)
    normal = shifted @ shifted + jnp.outer(v, v) + softening * identity
    return v, -jnp.linalg.solve(normal, shifted @ change @ v)
