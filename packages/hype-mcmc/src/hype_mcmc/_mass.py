r"""Mass matrices: which momenta a trajectory starts with and how fast they carry it.

With mass $M$, momenta are drawn from $N(0, M)$ and the kinetic energy is $p^\top M^{-1} p / 2$. The mass that makes
a Gaussian target round is the inverse of its covariance.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import check_entries, float_array, known
from hype_ad.internal.tree import dot, float_dtype, size
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular
from jaxtyping import Array, ArrayLike, Bool, Float, PyTree

from ._checks import positive
from ._custom_types import Position
from ._moments import Moments
from ._position import as_position, check_same_shape

PRIOR_DRAWS = 5.0  # how many draws the old scales count for, and an uncorrelated density
_ITERATIONS = 16  # each halves what is between the two sides of a mean, in logarithms, until it converges quadratically
SHAPED = "a mass gets its shape there, from `x0`; elsewhere call `mass.shaped(position)`"

Self = TypeVar("Self", bound="AbstractMass")


class AbstractMass(eqx.Module):
    """A mass matrix $M$, symmetric and positive definite, and how warm-up estimates it."""

    @abstractmethod
    def check(self, position: Position) -> None:
        """Raise `ValueError` unless the mass fits a position."""

    @abstractmethod
    def draw(self, noise: Position) -> Position:
        """The momentum from $N(0, M)$ that standard normal numbers make; differentiable in the mass."""

    @abstractmethod
    def velocity(self, momentum: Position) -> Position:
        r"""$M^{-1} p$."""

    @abstractmethod
    def momentum(self, velocity: Position) -> Position:
        r"""$M v$."""

    @abstractmethod
    def shaped(self: Self, position: Position) -> Self:
        """This mass with all that it has not been given yet, for positions like this one; itself if it has all."""

    @abstractmethod
    def statistics(self, position: Position) -> PyTree[Float[Array, "..."]]:
        """What warm-up gathers for this kind of mass, of no draws yet, for positions like this one."""

    @abstractmethod
    def update(
        self, statistics: PyTree[Float[Array, "..."]], positions: Position, gradients: Position
    ) -> PyTree[Float[Array, "..."]]:
        """Statistics with one more draw of each chain, along the leading axis.

        Args:
            statistics: those so far.
            positions: the draws.
            gradients: the gradients of the log density there, which some masses can do without.
        """

    @abstractmethod
    def adapted(self: Self, statistics: PyTree[Float[Array, "..."]]) -> Self:
        """The mass of this kind that fits the draws. Few of them say little: then it stays near this one."""


def kinetic_energy(mass: AbstractMass, momentum: Position) -> Float[Array, ""]:
    r"""$p^\top M^{-1} p / 2$."""
    return 0.5 * dot(momentum, mass.velocity(momentum))


class UnitMass(AbstractMass):
    """The identity. Warm-up leaves it as it is."""

    def check(self, position: Position) -> None:
        """Fits every position."""

    def draw(self, noise: Position) -> Position:
        """The numbers themselves."""
        return noise

    def velocity(self, momentum: Position) -> Position:
        """The momentum itself."""
        return momentum

    def momentum(self, velocity: Position) -> Position:
        """The velocity itself."""
        return velocity

    def shaped(self, position: Position) -> "UnitMass":
        """Itself."""
        return self

    def statistics(self, position: Position) -> tuple[()]:
        """None."""
        return ()

    def update(self, statistics: PyTree[Float[Array, "..."]], positions: Position, gradients: Position) -> tuple[()]:
        """None."""
        return ()

    def adapted(self, statistics: PyTree[Float[Array, "..."]]) -> "UnitMass":
        """Itself."""
        return self


class DiagonalMass(AbstractMass):
    r"""A diagonal matrix.

    Args:
        diagonal: the entries of $M$, all positive, a pytree built like the positions. Differentiable. Ones, as many as
            there are numbers in a position, if not given: for `sample` to start with.

    Raises:
        ValueError: if an entry is not positive and finite.
    """

    diagonal: Position

    def __init__(self, diagonal: PyTree[ArrayLike] | None = None):
        self.diagonal = None if diagonal is None else as_position("diagonal", diagonal, positive)

    def check(self, position: Position) -> None:
        """Raise `ValueError` unless the diagonal is built like the position."""
        if self.diagonal is None:
            raise ValueError(f"`mass.diagonal` must be given but to `sample`: {SHAPED}.")
        check_same_shape("mass.diagonal", self.diagonal, position)

    def draw(self, noise: Position) -> Position:
        r"""$M^{1/2} z$."""
        return jax.tree.map(lambda m, z: jnp.sqrt(m).astype(z.dtype) * z, self.diagonal, noise)

    def velocity(self, momentum: Position) -> Position:
        r"""$M^{-1} p$."""
        return jax.tree.map(lambda m, p: p / m.astype(p.dtype), self.diagonal, momentum)

    def momentum(self, velocity: Position) -> Position:
        r"""$M v$."""
        return jax.tree.map(lambda m, v: m.astype(v.dtype) * v, self.diagonal, velocity)

    def shaped(self, position: Position) -> "DiagonalMass":
        """With ones if there is no diagonal yet."""
        return DiagonalMass(jax.tree.map(jnp.ones_like, position)) if self.diagonal is None else self

    def statistics(self, position: Position) -> Moments:
        """The variances."""
        return Moments.start(_squares, position)

    def update(self, statistics: Moments, positions: Position, gradients: Position) -> Moments:
        """The variances, of more draws."""
        return statistics.update(_squares, positions)

    def adapted(self, statistics: Moments) -> "DiagonalMass":
        """The mass whose entries are one over the variances."""
        shrunk = lambda new, mass: shrunk_variance(new, 1 / mass, statistics.count)
        variance = jax.tree.map(shrunk, statistics.covariance(), self.diagonal)
        return eqx.tree_at(lambda mass: mass.diagonal, self, jax.tree.map(jnp.reciprocal, variance))


class DenseMass(AbstractMass):
    r"""A full matrix $M = L L^\top$, by its Cholesky factor.

    Any lower triangle with a positive diagonal makes a valid mass, which is why the factor is what derivatives are
    taken in.

    Warm-up finds it from the draws and scores of each window: $M^{-1}$ is the metric of least Fisher divergence, the
    geometric mean of the covariance of the draws and the inverse covariance of the scores (Seyboldt, Carlson and
    Carpenter 2026). Of a Gaussian both have the same noise, which cancels. Where scores do not vary, the draws
    alone are used.

    Args:
        cholesky: $L$, over the raveled position; what is above its diagonal is not read. Differentiable. The identity
            if not given: for `sample` to start with.

    Raises:
        ValueError: if the matrix is not square, or its diagonal is not positive and finite.
    """

    cholesky: Float[Array, "n n"]

    def __init__(self, cholesky: ArrayLike | None = None):
        cholesky = np.zeros((0, 0)) if cholesky is None else cholesky
        matrix = float_array("cholesky", cholesky)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"`cholesky` must be a square matrix, got shape {matrix.shape}.")
        if known(cholesky):
            positive("cholesky", np.diagonal(np.asarray(cholesky)))
            check_entries("cholesky", np.tril(np.asarray(cholesky)), np.isfinite, "finite")
        self.cholesky = matrix

    @classmethod
    def of_matrix(cls, matrix: ArrayLike) -> "DenseMass":
        """The mass that is a given symmetric matrix; its lower triangle is read.

        Raises:
            ValueError: if the matrix is not square or not positive definite.
        """
        m = float_array("matrix", matrix)
        if m.ndim != 2 or m.shape[0] != m.shape[1]:
            raise ValueError(f"`matrix` must be square, got shape {m.shape}.")
        if known(matrix):
            values = np.tril(np.asarray(matrix))
            check_entries("matrix", values, np.isfinite, "finite")
            try:
                np.linalg.cholesky(values + np.tril(values, -1).T)
            except np.linalg.LinAlgError as error:
                raise ValueError("`matrix` must be positive definite: it has no Cholesky factor.") from error
        factor = jnp.linalg.cholesky(m, symmetrize_input=False)
        return cls(factor)

    def check(self, position: Position) -> None:
        """Raise `ValueError` unless the matrix has a row for each number of the position."""
        if self.cholesky.size == 0:
            raise ValueError(f"`mass.cholesky` must be given but to `sample`: {SHAPED}.")
        n = size(position)
        if self.cholesky.shape[0] != n:
            raise ValueError(
                f"`mass.cholesky` must have a row for each number of the position, shape {(n, n)}, "
                f"got {self.cholesky.shape}."
            )

    def draw(self, noise: Position) -> Position:
        r"""$L z$."""
        return self._apply(lambda factor, z: factor @ z, noise)

    def velocity(self, momentum: Position) -> Position:
        r"""$M^{-1} p$."""
        return self._apply(
            lambda factor, p: solve_triangular(factor, solve_triangular(factor, p, lower=True), lower=True, trans="T"),
            momentum,
        )

    def momentum(self, velocity: Position) -> Position:
        r"""$M v$."""
        return self._apply(lambda factor, v: factor @ (factor.T @ v), velocity)

    def shaped(self, position: Position) -> "DenseMass":
        """The identity if there is no factor yet."""
        return DenseMass(jnp.eye(size(position), dtype=float_dtype(position))) if self.cholesky.size == 0 else self

    def statistics(self, position: Position) -> tuple[Moments, Moments]:
        """The covariances of draws and of scores."""
        return Moments.start(_matrix, position), Moments.start(_matrix, position)

    def update(
        self, statistics: tuple[Moments, Moments], positions: Position, gradients: Position
    ) -> tuple[Moments, Moments]:
        """The covariances, of more draws and scores."""
        of_draws, of_scores = statistics
        return of_draws.update(_matrix, positions), of_scores.update(_matrix, finite(gradients))

    def adapted(self, statistics: tuple[Moments, Moments]) -> "DenseMass":
        """The mass whose inverse is the geometric mean of the draws' covariance and the scores' inverse one."""
        old, count = self.cholesky, statistics[0].count.astype(self.cholesky.dtype)
        identity = jnp.eye(old.shape[0], dtype=old.dtype)
        wide, steep = (moments.covariance().astype(old.dtype) for moments in statistics)
        root = solve_triangular(jnp.tril(old), identity, lower=True)
        before = jnp.sum(root * root, axis=0)
        varies = varying(statistics[1], jnp.diagonal(steep))
        scale = jnp.sqrt(variance_of_both(jnp.diagonal(wide), jnp.diagonal(steep), varies, before, count))
        usable = varies & (jnp.diagonal(wide) > 0)

        def mixed(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
            known = jnp.where(jnp.outer(usable, usable), matrix, identity)
            return (count * known + PRIOR_DRAWS * identity) / (count + PRIOR_DRAWS)

        inverse = _inverse_mean(mixed(wide / jnp.outer(scale, scale)), mixed(steep * jnp.outer(scale, scale)))
        new = jnp.linalg.cholesky(inverse) / scale[:, None]
        return eqx.tree_at(lambda mass: mass.cholesky, self, jnp.where(jnp.all(jnp.isfinite(new)), new, old))

    def _apply(self, function: Callable[[Array, Array], Array], x: Position) -> Position:
        flat, unravel = ravel_pytree(x)
        return unravel(function(jnp.tril(self.cholesky).astype(flat.dtype), flat))


def _squares(x: Position, y: Position) -> Position:
    return jax.tree.map(jnp.multiply, x, y)


def _matrix(x: Position, y: Position) -> Float[Array, "n n"]:
    return jnp.outer(ravel_pytree(x)[0], ravel_pytree(y)[0])


def _inverse_mean(wide: Float[Array, "n n"], steep: Float[Array, "n n"]) -> Float[Array, "n n"]:
    r"""The inverse of the $\Sigma$ with $\Sigma\, S \Sigma = C$ for `steep` $S$ and `wide` $C$.

    By the iteration of Denman and Beavers (1976), which needs no eigenvectors: these have no derivative where two of
    them are equally long.
    """
    identity = jnp.eye(wide.shape[0], dtype=wide.dtype)
    invert = lambda matrix: cho_solve(cho_factor(matrix, lower=True), identity)

    def step(pair: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        mean, inverse = pair
        return ((mean + invert(inverse)) / 2, (inverse + invert(mean)) / 2), None

    return jax.lax.scan(step, (wide, steep), length=_ITERATIONS)[0][1]


def finite(scores: PyTree[Float[Array, "..."]]) -> PyTree[Float[Array, "..."]]:
    """With zeros for what has no finite square, or one that is too large for a sum of them."""
    is_usable = lambda leaf: jnp.abs(leaf) < jnp.finfo(leaf.dtype).max ** 0.5 / 1000
    return jax.tree.map(lambda leaf: jnp.where(is_usable(leaf), leaf, 0), scores)


def varying(scores: Moments, variance: Float[Array, " n"]) -> Bool[Array, " n"]:
    """Where scores vary by more than the rounding of their mean."""
    rounding = 100 * jnp.finfo(variance.dtype).eps * jnp.abs(ravel_pytree(scores.mean)[0]).astype(variance.dtype)
    return variance > rounding**2


def variance_of_both(
    wide: Float[Array, " n"],
    steep: Float[Array, " n"],
    varies: Bool[Array, " n"],
    old: Float[Array, " n"],
    count: Float[Array, ""],
) -> Float[Array, " n"]:
    r"""$(\operatorname{var} x / \operatorname{var} s)^{1/2}$, the diagonal metric of least Fisher divergence.

    Args:
        wide: the variances of the draws.
        steep: those of the scores.
        varies: where scores vary; elsewhere the variances of the draws are taken.
        old: the variances before, which stay where that of the draws is zero.
        count: how many draws there are.
    """
    usable = varies & (wide > 0)
    both = jnp.sqrt(jnp.where(usable, wide, 1.0) / jnp.where(usable, steep, 1.0))
    return shrunk_variance(jnp.where(usable, both, wide), old, count)


def shrunk_variance(new: Float[Array, "..."], old: Float[Array, "..."], count: Float[Array, ""]) -> Float[Array, "..."]:
    """The geometric mean of an estimated variance and an old one, weighted by the draws behind the first.

    Geometric, so that it means the same in every unit. Where the estimate is zero, the old one.
    """
    new = new.astype(old.dtype)
    usable = jnp.isfinite(new) & (new > 0)
    weight = (count / (count + PRIOR_DRAWS)).astype(old.dtype)
    return jnp.where(usable, jnp.exp(weight * jnp.log(jnp.where(usable, new, 1.0)) + (1 - weight) * jnp.log(old)), old)
