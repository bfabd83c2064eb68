"""Limited-memory BFGS."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal import tree
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..._hyperparameter.converters import at_least
from ..._objective import Iterate
from ..learning_rate.strong_wolfe import StrongWolfe
from .base import AbstractMethod


class _Pairs(eqx.Module):
    r"""The curvature pairs, along a leading axis of each leaf, which has one place more than there may be pairs.

    With $s_i$ the steps and $y_i$ the changes of the gradient, $R_{ij} = s_i \cdot y_j$ if pair $i$ is not newer than
    pair $j$, else 0. Where there is no pair the curvature is zero, and so are a row and a column of the inverse; one
    such place is free for the next pair.
    """

    steps: PyTree
    changes: PyTree
    curvatures: Float[Array, " places"]  # the diagonal of R
    inverse: Float[Array, "places places"]  # of R
    gamma: Float[Array, ""]  # of the newest pair, 0 before there is one
    free: Int[Array, ""]


class _Memory(eqx.Module):
    """The weights and the gradient of the step before, and the pairs until then."""

    w: PyTree
    gradient: PyTree
    pairs: _Pairs


class LBFGS(AbstractMethod):
    r"""Limited-memory BFGS: a quasi-Newton direction from the last steps (Nocedal 1980).

    The inverse Hessian is $\gamma I$, with $\gamma = s \cdot y / y \cdot y$ of the newest pair, changed by every pair
    of a step $s$ and a change of the gradient $y$ (in the compact form of Byrd, Nocedal & Schnabel 1994, which is the
    two-loop recursion of Nocedal & Wright 2006, algorithm 7.4, without its loops). A pair of a step without positive
    curvature is not kept. The default rate is `StrongWolfe(c2=0.9)`, which makes all curvatures positive.

    Args:
        history: how many pairs are kept.

    Raises:
        TypeError: if `history` is not an integer.
        ValueError: if `history` is below 1.
    """

    acting: ClassVar[Callable[[Any], PyTree] | None] = staticmethod(
        lambda memory: (memory.pairs.curvatures, memory.pairs.inverse, memory.pairs.gamma)
    )

    history: int = eqx.field(static=True, converter=at_least("history", 1), default=10)

    def default_learning_rate(self) -> StrongWolfe:
        """`StrongWolfe(c2=0.9)`."""
        return StrongWolfe(c2=0.9)

    def init(self, w: PyTree) -> _Memory:
        """No pairs. Of the first gradient none is made, as the step to where the run begins is zero."""
        places = self.history + 1
        zeros = jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.zeros_like(leaf), (places, *leaf.shape)), w)
        none = jnp.zeros((places, places), tree.float_dtype(w))
        return _Memory(w, tree.zeros_like(w), _Pairs(zeros, zeros, none[0], none, none[0, 0], jnp.array(0)))

    def direction(self, iterate: Iterate, memory: _Memory) -> tuple[PyTree, _Memory]:
        """Minus the approximate inverse Hessian times the gradient."""
        step, change = tree.subtract((iterate.w, iterate.clipped), (memory.w, memory.gradient))
        pairs = _with_pair(memory.pairs, step, change)
        direction = tree.negative(_inverse_hessian_product(pairs, iterate.clipped))
        return direction, _Memory(iterate.w, iterate.clipped, pairs)

    def is_step(self, memory: _Memory) -> Bool[Array, ""]:
        """Once there is a pair; minus the gradient before."""
        return memory.pairs.gamma > 0


def _with_pair(old: _Pairs, step: PyTree, change: PyTree) -> _Pairs:
    """The pairs with a new one, if its curvature is positive: then the place of the oldest becomes free."""
    unit = tree.power_of_two(change)
    scaled = tree.scale(tree.inverse(unit), change)
    curvature = unit * tree.dot(step, scaled)
    keep = _is_positive(curvature, unit, step, scaled)
    places = len(old.curvatures)
    next = jnp.where(old.free == places - 1, 0, old.free + 1)
    new, oldest = (jnp.arange(places) == place for place in (old.free, next))
    # Zeros in place of a pair that is not kept: what is not finite would spoil a direction even times zero.
    write = lambda rows, row: lax.dynamic_update_index_in_dim(rows, jnp.where(keep, row, 0), old.free, 0)
    steps, changes = (jax.tree.map(write, *pair) for pair in ((old.steps, step), (old.changes, change)))
    # What is left of the inverse of a triangular matrix without its first row and column is that of the rest.
    rest = jnp.where(oldest[None] | oldest[:, None], 0, old.inverse)
    diagonal = tree.quotient(jnp.ones_like(curvature), jnp.where(keep, curvature, 0))
    correlations = jnp.where(old.curvatures > 0, _products(steps, change), 0)
    column = diagonal * (jnp.where(new, 1, 0) - _products(rest, correlations))
    gamma = tree.quotient(tree.quotient(curvature, unit), unit * tree.squared_norm(scaled))
    gamma = jnp.maximum(gamma, jnp.finfo(gamma.dtype).tiny)
    curvatures = jnp.where(oldest & keep, 0, write(old.curvatures, curvature))
    inverse, gamma, free = tree.where(
        keep, (jnp.where(new[None], column[:, None], rest), gamma, next), (old.inverse, old.gamma, old.free)
    )
    return _Pairs(steps, changes, curvatures, inverse, gamma, free)


def _is_positive(curvature: Float[Array, ""], unit: Float[Array, ""], step: PyTree, scaled: PyTree) -> Bool[Array, ""]:
    """Whether a curvature is more than rounding, which alone gives tiny ones whose inverses would spoil a direction."""
    size = unit * tree.dot(*(jax.tree.map(jnp.abs, x) for x in (step, scaled)))
    return curvature > jnp.finfo(curvature.dtype).eps * size


def _products(vectors: PyTree, v: PyTree) -> Float[Array, " pairs"]:
    """The inner product of each vector with `v`."""
    return jax.vmap(tree.dot, in_axes=(0, None))(vectors, v)


def _combined(weights: Float[Array, " pairs"], vectors: PyTree) -> PyTree:
    """The vectors, each times its weight, added up; by no matrix product, which may be in reduced precision."""
    along = lambda leaf: weights.astype(leaf.dtype).reshape(-1, *(1,) * (leaf.ndim - 1))
    return jax.tree.map(lambda leaf: jnp.sum(along(leaf) * leaf, axis=0), vectors)


def _inverse_hessian_product(pairs: _Pairs, gradient: PyTree) -> PyTree:
    """The product by theorem 2.2 of Byrd, Nocedal & Schnabel (1994), one product after the other."""
    products = lambda vectors, v: jnp.where(pairs.curvatures > 0, _products(vectors, v), 0)
    weights = _products(pairs.inverse, products(pairs.steps, gradient))
    gamma = jnp.where(pairs.gamma > 0, pairs.gamma, 1)
    q = tree.scale(gamma, tree.subtract(gradient, _combined(weights, pairs.changes)))
    others = _combined(pairs.curvatures * weights - products(pairs.changes, q), pairs.inverse)
    return tree.add(q, _combined(others, pairs.steps))
