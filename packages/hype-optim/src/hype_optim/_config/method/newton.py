"""Newton's method with the whole Hessian."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad import Sparsity
from hype_ad.internal.sparse import as_sparsity
from hype_ad.internal.tree import at_least_single, quotient, ravel, square_root, unravel
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree

from ..._objective import Iterate
from ..._transform.matrix_functions import absolute_value, lowest_eigenvector
from ..._transform.sparse_solve import check_size, factorized, solve_sparse
from ..learning_rate.backtrack import Backtrack
from .base import AbstractMethod

_NUDGE = 1e-3


class Newton(AbstractMethod):
    r"""Newton's method with the whole Hessian $H$: the direction $p$ solves $H p = -g$ where $H$ is positive definite.

    Elsewhere $H$ is replaced by its absolute value (Dauphin et al. 2014), so that the direction leads downhill, and the
    direction goes along the eigenvector of the lowest eigenvalue by at least $10^{-3} (1 + \|w\|_2)$: a saddle that the
    plain method would stop at is left, unless the run starts at exactly it and ends by its tolerance. Where rows of $H$
    differ much in size, both are those of $H$ in other units of the weights, in which they do not. Where there is no
    curvature at all along some direction, the gradient must not have a part along it either: redundant weights are
    fine, redundant weights with an L1 penalty are not.

    Its default rate is `Backtrack()`. The weights are flattened to a vector of $n$ entries; a step costs $n$ Hessian
    products and $O(n^3)$, several times more where $H$ is not positive definite.

    With a `sparsity` a step costs a few Hessian products, and the solution $O(n b^2)$ for entries at most b from the
    diagonal once the weights are put in order: thousands of weights that each act on few others. Where $H$ is not
    positive definite, a multiple of the identity is added to it, in the place of what is said above.

    Args:
        sparsity: which entries of the Hessian may be other than zero, such as `hype_ad.hessian_sparsity(f)(w0)` or what
            a `hype_ad.Sparsity` can be made of. It is held to one product more in each step, and the direction is NaN
            if entries are missing. By default all are computed.

    Raises:
        TypeError: if `sparsity` is no matrix that is known.
        ValueError: if `sparsity` is not of as many rows and columns as there are weights.
    """

    uses_hessian: ClassVar[bool] = True

    sparsity: Sparsity | None = eqx.field(static=True)

    def __init__(self, sparsity: Any = None):
        self.sparsity = as_sparsity(sparsity)

    def default_learning_rate(self) -> Backtrack:
        """`Backtrack()`."""
        return Backtrack()

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        return ()

    def is_step(self, memory: tuple[()]) -> Bool[Array, ""]:
        """Always."""
        return jnp.array(True)

    def direction(self, iterate: Iterate, memory: tuple[()]) -> tuple[PyTree, tuple[()]]:
        """The Newton direction."""
        vector = lambda tree: at_least_single(ravel(tree))  # there is no linear algebra in half precision
        w = vector(iterate.w)
        product = lambda v: vector(iterate.hessian_product(unravel(v, iterate.w)))
        if self.sparsity is not None:
            check_size(self.sparsity, iterate.w)
            factor = factorized(product, w, self.sparsity, shifted=True)
            return unravel(solve_sparse(product, -vector(iterate.clipped), factor), iterate.w), memory
        columns = jax.vmap(product)(jnp.eye(w.size, dtype=w.dtype))
        hessian = (columns + columns.T) / 2
        units = _units(hessian)
        length = _NUDGE * (1 + square_root(w @ w))
        scaled = units[:, None] * hessian * units[None]  # one after the other: products of two units may overflow
        direction = _downhill(-vector(iterate.clipped) * units, scaled, units, length)
        return unravel(direction * units, iterate.w), memory


def _units(hessian: Float[Array, "n n"]) -> Float[Array, " n"]:
    """Units in which the rows of a Hessian are of like size, or near: one step of equilibration (Ruiz 2001).

    They are powers of 16 that do not depend on the unit of the objective, so that they cost no rounding, and a small
    change changes none of them: their derivative is zero.
    """
    rows = jnp.max(jnp.abs(lax.stop_gradient(hessian)), axis=1)
    parts = quotient(rows, jnp.max(rows))
    # By a half, no row is on the edge between two powers because the numbers in a problem are round.
    powers = jnp.round((jnp.log2(jnp.where(parts > 0, parts, 1)) + 0.5) / 8)
    return jnp.ldexp(jnp.ones_like(rows), -4 * powers.astype(int))


def _downhill(
    negative: Float[Array, " n"], hessian: Float[Array, "n n"], units: Float[Array, " n"], length: Float[Array, ""]
) -> Float[Array, " n"]:
    """The Newton direction from minus the gradient, or what takes its place, in some units of the weights."""
    fixed = lax.stop_gradient(hessian)
    factor = jnp.linalg.cholesky(fixed)  # NaN if it has none
    # Rounding alone gives a singular Hessian small pivots, and a step of any length where nothing is to be gained. A
    # pivot is small by the entry that it comes from, and not by others, which may have other units.
    small = 100 * len(hessian) * jnp.finfo(hessian.dtype).eps * jnp.diagonal(fixed)
    definite = jnp.all(jnp.diagonal(factor) ** 2 > small)

    def bent(hessian: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
        matrix = absolute_value(hessian)
        return matrix, jnp.linalg.cholesky(lax.stop_gradient(matrix))

    matrix, factor = lax.cond(definite, lambda hessian: (hessian, factor), bent, hessian)
    # Lineax raises from compiled code where the derivative of a solve is not finite; a run has a status for that.
    solve = lambda _, b: jax.scipy.linalg.cho_solve((factor, True), b)
    product = lambda x: jnp.sum(matrix * x[None], axis=1)  # not in reduced precision
    direction = lax.custom_linear_solve(product, negative, solve, symmetric=True)
    none = lambda *_: jnp.zeros_like(direction)
    return direction + lax.cond(definite, none, _nudge, negative, hessian, direction, units, length)


def _nudge(
    negative: Float[Array, " n"],
    hessian: Float[Array, "n n"],
    direction: Float[Array, " n"],
    units: Float[Array, " n"],
    length: Float[Array, ""],
) -> Float[Array, " n"]:
    """What a direction lacks to be of some length along the lowest curvature, if that is negative."""
    lowest = lowest_eigenvector(hessian)
    along = direction @ lowest
    sign = jnp.where(negative @ lowest < 0, -1, 1).astype(lowest.dtype)
    long_enough = length / jnp.linalg.norm(lowest * units)
    # Rounding alone gives a singular Hessian eigenvalues of either sign.
    negligible = jnp.finfo(hessian.dtype).eps ** 0.5 * jnp.max(jnp.abs(hessian))
    short = (lowest @ hessian @ lowest < -negligible) & (sign * along < long_enough)
    return jnp.where(short, sign * long_enough - along, 0) * lowest
