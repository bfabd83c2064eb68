r"""The determinant, whose derivatives are right at singular matrices too.

A determinant is a polynomial, so all its derivatives exist, but the usual rule $\det(A)\,\mathrm{tr}(A^{-1} dA)$
divides by what is 0 there. JAX's own rule is right to first order (by cofactors) and gives NaN in the second. So the
value and the first derivative are JAX's, and the derivatives of the first derivative come from another formula for the
same function. With the singular values of $A$ in falling order, and $U$, $V$ held fixed, $M = U^T A V$ is diagonal
where the derivative is taken, and all its rows but 3 can be eliminated without dividing by a small number:

$$\det A = \det U \det V \det K \det(D - C K^{-1} B), \qquad M = [[K, B], [C, D]], \quad D \text{ of size } 3 \times 3$$

Of D the determinant is written out as a polynomial. If K is singular too, A lacks at least 4 in rank, every minor that
leaves out 3 rows is 0, and so are all derivatives to third order.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import DM, D
from .lift import one_to_one
from .shape_checks import square_matrix


@one_to_one(DM, D)
def det(a: Float[Array, "rows cols"]) -> Float[Array, ""]:
    """Determinant, 1 for an empty matrix.

    Args:
        a: a square matrix, singular or not. Differentiable in both modes: to any order if its rank is at least n - 3,
            to third order in any case.

    Returns:
        A `D` for a `DM`, an array of rank 0 for an array.

    Raises:
        ValueError: if `a` is not a square matrix.
    """
    return _det(square_matrix("a", a))


@jax.custom_jvp
def _det(a: Float[Array, "n n"]) -> Float[Array, ""]:
    return jnp.linalg.det(a)


@_det.defjvp
def _det_jvp(
    primals: tuple[Float[Array, "n n"]], tangents: tuple[Float[Array, "n n"]]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    (a,), (da,) = primals, tangents
    cofactors = jax.grad(_polynomial)(a) if a.shape[0] <= 3 else _cofactors(a)
    return _det(a), jnp.sum(cofactors * da)


def _polynomial(a: Float[Array, "n n"]) -> Float[Array, ""]:
    """The determinant of at most 3 rows by its definition, smooth to any order."""
    if a.shape[0] <= 1:
        return jnp.prod(a)
    if a.shape[0] == 2:
        return a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    return jnp.sum(a[0] * jnp.cross(a[1], a[2]))


@jax.custom_jvp
def _cofactors(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    return jax.grad(jnp.linalg.det)(a)


@_cofactors.defjvp
def _cofactors_jvp(
    primals: tuple[Float[Array, "n n"]], tangents: tuple[Float[Array, "n n"]]
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    return _cofactors(*primals), jax.jvp(jax.grad(_by_elimination), primals, tangents)[1]


def _by_elimination(a: Float[Array, "n n"]) -> Float[Array, ""]:
    fixed = jax.lax.stop_gradient(a)
    u, singular_values, vt = jnp.linalg.svd(fixed)
    orientation = jnp.round(jnp.linalg.det(u) * jnp.linalg.det(vt))
    middle = u.T @ a @ vt.T
    k, b, c, d = middle[:-3, :-3], middle[:-3, -3:], middle[-3:, :-3], middle[-3:, -3:]
    negligible = singular_values[0] * a.shape[0] * jnp.finfo(a.dtype).eps
    singular = singular_values[-4] <= negligible
    safe = jnp.where(singular, jnp.eye(a.shape[0] - 3, dtype=a.dtype), k)
    rest = d - c @ jnp.linalg.solve(safe, b)
    return jnp.where(singular, 0.0, orientation * jnp.linalg.det(safe) * _polynomial(rest))
