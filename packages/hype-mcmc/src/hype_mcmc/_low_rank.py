r"""A mass that is a diagonal and a few directions, for correlated densities of many dimensions.

The mass that suits a Gaussian of covariance $C$ is $C^{-1}$, which is also the covariance of its scores, the gradients
of the log density. For a density that is no Gaussian, the metric $\Sigma$ of least Fisher divergence is the geometric
mean of the covariance of the draws and the inverse covariance of the scores, the solution of $\Sigma\, C_s \Sigma =
C_x$ (Seyboldt, Carlson and Carpenter 2026, as in nutpie). A full one needs more draws than dimensions. Here the scales
are the diagonal one of them, $\sqrt{\operatorname{var} x_i / \operatorname{var} s_i}$, and on the rescaled draws
and scores it is solved in the span of their few leading principal components; what it has there that is neither wide
nor narrow is left out as noise.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import integer
from hype_ad.internal.tree import float_dtype, size
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float

from ._checks import positive
from ._custom_types import Position
from ._mass import PRIOR_DRAWS, SHAPED, AbstractMass, finite, variance_of_both, varying
from ._moments import Moments

_CUTOFF = 2.0  # directions whose variance is within this factor of 1 are left out
_KEPT = 20  # draws and scores that are kept for each direction sought


class LowRankMass(AbstractMass):
    r"""A diagonal matrix with a few directions that are wider or narrower: cheap where a `DenseMass` is not.

    $M^{-1} = D W W D$ with $D$ the diagonal matrix of `scale` and $W = I + U^\top \operatorname{diag}(\lambda - 1) U$,
    where the rows of $U$, `directions`, are orthonormal and $\lambda$ is `stretch`. A product takes about $4 n r$
    operations for $n$ numbers and $r$ directions. It is a mass for any positive scales and for rows that are not quite
    orthonormal, as an optimizer may leave them.

    Warm-up finds it from draws and scores of each window, $M^{-1}$ being close to the metric of least Fisher
    divergence (Seyboldt, Carlson and Carpenter 2026). It keeps the last draws and scores of a window, 20 for each
    direction, and finds their singular vectors when the window ends.

    Args:
        rank: $r$, how many directions to look for, at least 1.
        scale: all positive, over the raveled position; ones if not given. Differentiable.
        directions: $U$, one a row; zeros if not given. Differentiable.
        stretch: $\lambda$, all positive; ones if not given. Differentiable.

    Raises:
        ValueError: if a number is out of its range, some of `scale`, `directions` and `stretch` are given but not all,
            or their shapes do not fit `rank` and each other.
        TypeError: if `rank` is not an integer.
    """

    rank: int = eqx.field(static=True)
    scale: Float[Array, " n"]
    directions: Float[Array, "rank n"]
    stretch: Float[Array, " rank"]

    def __init__(
        self,
        rank: int = 10,
        scale: ArrayLike | None = None,
        directions: ArrayLike | None = None,
        stretch: ArrayLike | None = None,
    ):
        self.rank = integer("rank", rank, 1)
        if scale is None and directions is None and stretch is None:
            self.scale, self.directions, self.stretch = jnp.zeros(0), jnp.zeros((rank, 0)), jnp.ones(rank)
            return
        if scale is None or directions is None or stretch is None:
            raise ValueError("`scale`, `directions` and `stretch` must be given together, or none of them.")
        self.scale, self.stretch = positive("scale", scale), positive("stretch", stretch)
        self.directions = jnp.asarray(directions, self.scale.dtype)
        shapes = self.scale.shape, self.directions.shape, self.stretch.shape
        if self.scale.ndim != 1 or shapes[1:] != ((rank, *shapes[0]), (rank,)):
            raise ValueError(
                f"`scale`, `directions` and `stretch` must have shapes (n,), ({rank}, n) and ({rank},), got {shapes}."
            )

    def check(self, position: Position) -> None:
        """Raise `ValueError` unless there is a scale for each number of the position."""
        if self.scale.size == 0:
            raise ValueError(f"`mass.scale` must be given but to `sample`: {SHAPED}.")
        if self.scale.shape != (size(position),):
            raise ValueError(
                f"`mass.scale` must have a number for each of the position, {size(position)}, got {self.scale.shape}."
            )

    def draw(self, noise: Position) -> Position:
        r"""$D^{-1} W^{-1} z$."""
        flat, unravel = ravel_pytree(noise)
        return unravel(self._unstretched(flat) / self._cast(flat)[0])

    def velocity(self, momentum: Position) -> Position:
        r"""$D W W D p$."""
        flat, unravel = ravel_pytree(momentum)
        scale = self._cast(flat)[0]
        return unravel(scale * self._stretched(self._stretched(scale * flat)))

    def momentum(self, velocity: Position) -> Position:
        r"""$D^{-1} W^{-1} W^{-1} D^{-1} v$."""
        flat, unravel = ravel_pytree(velocity)
        scale = self._cast(flat)[0]
        return unravel(self._unstretched(self._unstretched(flat / scale)) / scale)

    def shaped(self, position: Position) -> "LowRankMass":
        """The identity, if there are no scales yet."""
        if self.scale.size > 0:
            return self
        n, dtype, rank = size(position), float_dtype(position), min(self.rank, size(position))
        return LowRankMass(rank, jnp.ones(n, dtype), jnp.zeros((rank, n), dtype), jnp.ones(rank, dtype))

    def statistics(self, position: Position) -> "Recent":
        """No draws and scores."""
        zero = jnp.zeros((size(position),), float_dtype(position))
        kept = jnp.zeros((_KEPT * self.rank, zero.size), zero.dtype)
        return Recent(Moments.start(jnp.multiply, zero), Moments.start(jnp.multiply, zero), kept, kept)

    def update(self, statistics: "Recent", positions: Position, gradients: Position) -> "Recent":
        """With more draws and scores, the oldest forgotten."""
        x, s = (jax.vmap(lambda leaf: ravel_pytree(leaf)[0])(part) for part in (positions, finite(gradients)))

        def kept(old: Float[Array, "kept n"], new: Float[Array, "chains n"]) -> Float[Array, "kept n"]:
            return jnp.concatenate([new.astype(old.dtype), old])[: old.shape[0]]

        return Recent(
            statistics.of_draws.update(jnp.multiply, x),
            statistics.of_scores.update(jnp.multiply, s),
            kept(statistics.draws, x),
            kept(statistics.scores, s),
        )

    def adapted(self, statistics: "Recent") -> "LowRankMass":
        """The geometric mean of the draws' covariance and the scores' inverse one, where both say something."""
        dtype, count = self.scale.dtype, statistics.of_draws.count
        wide, steep = statistics.of_draws.covariance().astype(dtype), statistics.of_scores.covariance().astype(dtype)
        varies = varying(statistics.of_scores, steep)
        scale = jnp.sqrt(variance_of_both(wide, steep, varies, self.scale**2, count))

        filled = jnp.arange(statistics.draws.shape[0], dtype=count.dtype) < count
        num_kept = jnp.sum(filled).astype(dtype)

        def standardized(rows: Float[Array, "kept n"], factor: Float[Array, " n"]) -> Float[Array, "kept n"]:
            mean = jnp.sum(jnp.where(filled[:, None], rows, 0.0), axis=0) / jnp.maximum(num_kept, 1)
            return jnp.where(filled[:, None], (rows - mean[None]) * factor[None], 0.0)

        x, s = standardized(statistics.draws, scale), standardized(statistics.scores, scale)
        x = x / (scale**2)[None]
        basis = jnp.linalg.qr(jnp.concatenate([_leading(x, self.rank), _leading(s, self.rank)]).T)[0]
        mixed = lambda rows: (
            (rows.T @ rows + PRIOR_DRAWS * jnp.eye(rows.shape[1], dtype=dtype)) / (num_kept + PRIOR_DRAWS)
        )
        variances, vectors = jnp.linalg.eigh(_geometric_mean(mixed(x @ basis), mixed(s @ basis)))
        strongest = jnp.argsort(-jnp.abs(jnp.log(jnp.maximum(variances, 1e-30))))[: self.rank]
        variances = variances[strongest]
        strong = jnp.abs(jnp.log(variances)) > math.log(_CUTOFF)
        directions = (basis @ vectors[:, strongest]).T
        directions = jnp.where(strong[:, None], directions, 0.0)
        stretch = jnp.where(strong, jnp.sqrt(jnp.where(strong, variances, 1.0)), 1.0)
        good = jnp.all(jnp.isfinite(directions)) & jnp.all(jnp.isfinite(stretch))
        new = (scale, jnp.where(good, directions, 0.0), jnp.where(good, stretch, 1.0))
        return eqx.tree_at(lambda mass: (mass.scale, mass.directions, mass.stretch), self, new)

    def _cast(self, like: Float[Array, " n"]) -> tuple[Array, Array, Array]:
        return self.scale.astype(like.dtype), self.directions.astype(like.dtype), self.stretch.astype(like.dtype)

    def _stretched(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """$W x$."""
        _, directions, stretch = self._cast(x)
        return x + ((stretch - 1) * (directions @ x)) @ directions

    def _unstretched(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """$W^{-1} x$, by Woodbury's identity."""
        _, directions, stretch = self._cast(x)
        inner = jnp.eye(stretch.size, dtype=x.dtype) + (stretch - 1)[:, None] * (directions @ directions.T)
        return x - jnp.linalg.solve(inner, (stretch - 1) * (directions @ x)) @ directions


class Recent(eqx.Module):
    """The variances of the draws and scores of a window, and the last of them, the newest first."""

    of_draws: Moments
    of_scores: Moments
    draws: Float[Array, "kept n"]
    scores: Float[Array, "kept n"]


def _leading(rows: Float[Array, "kept n"], count: int) -> Float[Array, "count n"]:
    """The principal directions of the rows."""
    return jnp.linalg.svd(rows, full_matrices=False)[2][:count]


def _geometric_mean(wide: Float[Array, "k k"], steep: Float[Array, "k k"]) -> Float[Array, "k k"]:
    r"""The $\Sigma$ with $\Sigma\, S \Sigma = C$ for `steep` $S$ and `wide` $C$."""
    root, inverse = _root(steep)
    middle, _ = _root(root @ wide @ root)
    return inverse @ middle @ inverse


def _root(matrix: Float[Array, "k k"]) -> tuple[Float[Array, "k k"], Float[Array, "k k"]]:
    """The symmetric root of a positive definite matrix, and its inverse."""
    values, vectors = jnp.linalg.eigh(matrix)
    roots = jnp.sqrt(jnp.maximum(values, jnp.finfo(matrix.dtype).tiny))
    return (vectors * roots[None]) @ vectors.T, (vectors / roots[None]) @ vectors.T
