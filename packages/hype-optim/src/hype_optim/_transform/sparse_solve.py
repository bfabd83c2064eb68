"""Linear equations with a sparse symmetric matrix that is known by its products, by Cholesky's factor of a band.

The unknowns are put in an order in which the entries are near the diagonal (Cuthill and McKee 1969), and the matrix is
cut into blocks at least as large as the band is wide. Only blocks on the diagonal and next to it are not zero, and a
scan over them finds a factor of this form. It has no derivative, and needs none: that of a solution is another one.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from hype_ad import Sparsity
from hype_ad.internal.sparse import recovered
from hype_ad.internal.tree import at_least_single, power_of_two, ravel, size, unravel
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, PyTree

Vector = Float[Array, " n"]
Blocks = Float[Array, "blocks width width"]
Strips = Float[Array, "blocks band width"]

# Smaller blocks make more steps of a scan, each of which costs some microseconds whatever it does.
_LEAST_BLOCK = 32


class BandFactor(NamedTuple):
    """The factor of a matrix in blocks: lower triangles on the diagonal, and what is left of each.

    Attributes:
        order: which unknown stands at each place.
        diagonal: lower triangles.
        below: the first rows of the blocks below the diagonal, as many as the band is wide; the others are 0.
        shift: what was added to the diagonal for the factor to exist.
    """

    order: np.ndarray
    diagonal: Blocks
    below: Strips
    shift: Float[Array, ""]

    def exists(self) -> Bool[Array, ""]:
        """Whether the matrix is positive definite."""
        return jnp.all(jnp.isfinite(self.diagonal))

    def solve(self, right: Vector) -> Vector:
        """The solution for a right side."""
        blocks, band, width = self.below.shape
        padded = jnp.zeros(blocks * width, right.dtype).at[: len(right)].set(right[self.order])

        def down(before: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            triangle, below, part = row
            y = solve_triangular(triangle, part.at[:band].add(-below @ before), lower=True)
            return y, y

        def up(after: tuple[Array, Array], row: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
            (triangle, below, part), (x, below_after) = row, after
            x = solve_triangular(triangle, part - below_after.T @ x[:band], lower=True, trans=1)
            return (x, below), x

        nothing = jnp.zeros(width, right.dtype)
        _, y = lax.scan(down, nothing, (self.diagonal, self.below, padded.reshape(blocks, width)))
        start = nothing, jnp.zeros_like(self.below[0])
        _, x = lax.scan(up, start, (self.diagonal, self.below, y), reverse=True)
        return jnp.zeros_like(right).at[self.order].set(x.reshape(-1)[: len(right)], unique_indices=True)


def factorized(product: Callable[[Vector], Vector], like: Vector, sparsity: Sparsity, shifted: bool) -> BandFactor:
    """The factor of the matrix with this product, of which `sparsity` has all entries; NaN if there is none.

    If `shifted`, a multiple of the identity is added to a matrix that is not positive definite, the least of those that
    are tried (Nocedal and Wright 2006, algorithm 3.3).
    """
    sparsity = sparsity.symmetric
    _, entries = recovered(
        sparsity.star_coloring, lambda v: (None, product(v)), like, (sparsity.rows, sparsity.columns)
    )
    order, diagonal, below = _blocks(sparsity, lax.stop_gradient(entries))
    own = jnp.diagonal(diagonal, axis1=1, axis2=2)
    unit = power_of_two(entries)
    most = int(np.diff(np.searchsorted(sparsity.rows, np.arange(len(like) + 1))).max(initial=1))
    rounding = 100 * diagonal.shape[1] * float(jnp.finfo(like.dtype).eps)

    def attempt(shift: Float[Array, ""]) -> tuple[Blocks, Strips]:
        moved = diagonal + shift * jnp.eye(diagonal.shape[1], dtype=like.dtype)[None]
        triangles, left = _factor(moved, below)
        # Rounding alone gives a singular matrix small pivots.
        pivots = jnp.diagonal(triangles, axis1=1, axis2=2) ** 2
        definite = jnp.all(pivots > rounding * (own + shift))
        return jnp.where(definite, triangles, jnp.nan), left

    def larger(state: tuple) -> tuple:
        shift, _ = state
        shift = jnp.maximum(4 * shift, unit * 2.0**-10)
        return shift, attempt(shift)

    def fails(state: tuple) -> Bool[Array, ""]:
        shift, (triangles, _) = state
        enough = 4 * most * unit  # no eigenvalue is below minus it
        return ~jnp.all(jnp.isfinite(triangles)) & (shift < enough) & jnp.all(jnp.isfinite(entries))

    state = jnp.zeros((), like.dtype), attempt(jnp.zeros((), like.dtype))
    shift, (triangles, left) = lax.while_loop(fails, larger, state) if shifted else state
    return BandFactor(order, triangles, left, shift)


def solve_sparse(product: Callable[[Vector], Vector], right: Vector, factor: BandFactor) -> Vector:
    """The solution `x` of `product(x) + shift x = right`, with derivatives of all orders; NaN without a factor."""
    shifted = lambda x: product(x) + factor.shift * x
    return lax.custom_linear_solve(shifted, right, lambda _, b: factor.solve(b), symmetric=True)


def solve_definite(product: Callable[[PyTree], PyTree], right: PyTree, sparsity: Sparsity) -> PyTree:
    """The solution `x` of `product(x) = right`; NaN where that is not positive definite, or has other entries."""
    vector = lambda tree: at_least_single(ravel(tree))  # there is no linear algebra in half precision
    matvec = lambda v: vector(product(unravel(v, right)))
    b = vector(right)
    return unravel(solve_sparse(matvec, b, factorized(matvec, b, sparsity, shifted=False)), right)


def check_size(sparsity: Sparsity, w: PyTree) -> None:
    """Raises a ValueError unless a sparsity is that of a Hessian in `w`."""
    if sparsity.shape != (size(w), size(w)):
        raise ValueError(f"`sparsity` must be of as many rows and columns as weights, {size(w)}, got {sparsity.shape}.")


def _blocks(sparsity: Sparsity, entries: Float[Array, " entries"]) -> tuple[np.ndarray, Blocks, Strips]:
    """The order of the unknowns, and the blocks on the diagonal, with 1 where it is padded, and below it."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    total = sparsity.shape[0]
    ones = np.ones(sparsity.count, np.int8)
    order = reverse_cuthill_mckee(csr_array((ones, (sparsity.rows, sparsity.columns)), shape=sparsity.shape), True)
    place = np.empty(total, int)
    place[order] = np.arange(total)
    row, column = place[sparsity.rows], place[sparsity.columns]
    band = int(np.abs(row - column).max(initial=0))
    width = max(band, min(_LEAST_BLOCK, total))
    count = -(-total // width)
    on, under = np.flatnonzero(row // width == column // width), np.flatnonzero(row // width == column // width + 1)

    def put(chosen: np.ndarray, rows: int) -> Float[Array, "blocks rows width"]:
        places = tuple(np.stack([row // width, row % width, column % width])[:, chosen])
        return jnp.zeros((count, rows, width), entries.dtype).at[places].set(entries[chosen], unique_indices=True)

    padding = np.arange(total, count * width) % width
    return order, put(on, width).at[-1, padding, padding].set(1), put(under, band)


def _factor(diagonal: Blocks, below: Strips) -> tuple[Blocks, Strips]:
    band = below.shape[1]

    def step(triangle: Array, row: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        own, strip = row
        left = solve_triangular(triangle, strip.T, lower=True).T
        triangle = jnp.linalg.cholesky(own.at[:band, :band].add(-left @ left.T))
        return triangle, (triangle, left)

    start = jnp.eye(diagonal.shape[1], dtype=diagonal.dtype)
    return lax.scan(step, start, (diagonal, below))[1]
