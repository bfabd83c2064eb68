"""Limited-memory BFGS."""

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal import tree
from jaxtyping import Array, Bool, Float, PyTree

from ..._hyperparameter.converters import at_least
from ..._objective import Iterate
from ..learning_rate.strong_wolfe import StrongWolfe
from .base import AbstractMethod


class _Pairs(eqx.Module):
    r"""The curvature pairs, along a leading axis of each leaf, the newest last; zero where there is none yet.

    With $s_i$ the steps and $y_i$ the changes of the gradient, $R_{ij} = s_i \cdot y_j$ for $i \le j$, else 0.
    """

    steps: PyTree
    changes: PyTree
    curvatures: Float[Array, " pairs"]  # the diagonal of R
    inverse: Float[Array, "pairs pairs"]  # of R
    gamma: Float[Array, ""]  # of the newest pair, 1 before there is one


class _Memory(eqx.Module):
    """The weights and the gradient of the step before, if there was one, and the pairs until then."""

    w: PyTree
    gradient: PyTree
    started: Bool[Array, ""]
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

    history: int = eqx.field(static=True, converter=at_least("history", 1), default=10)

    def default_learning_rate(self) -> StrongWolfe:
        """`StrongWolfe(c2=0.9)`."""
        return StrongWolfe(c2=0.9)

    def init(self, w: PyTree) -> _Memory:
        """No pairs."""
        zeros = jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.zeros_like(leaf), (self.history, *leaf.shape)), w)
        none = jnp.zeros((self.history, self.history), tree.float_dtype(w))
        pairs = _Pairs(zeros, zeros, none[0], none, jnp.ones_like(none[0, 0]))
        return _Memory(tree.zeros_like(w), tree.zeros_like(w), jnp.array(False), pairs)

    def direction(self, iterate: Iterate, memory: _Memory) -> tuple[PyTree, _Memory]:
        """Minus the approximate inverse Hessian times the gradient."""
        pairs = _remember(memory, iterate.w, iterate.clipped)
        direction = tree.negative(_inverse_hessian_product(pairs, iterate.clipped))
        return direction, _Memory(iterate.w, iterate.clipped, jnp.array(True), pairs)

    def is_step(self, memory: _Memory) -> Bool[Array, ""]:
        """Once there is a pair; minus the gradient before."""
        return memory.pairs.curvatures[-1] != 0


def _remember(memory: _Memory, w: PyTree, gradient: PyTree) -> _Pairs:
    step, change = tree.subtract(w, memory.w), tree.subtract(gradient, memory.gradient)
    curvature, size = tree.dot(step, change), tree.norm(change)
    keep = memory.started & _is_positive(curvature, step, change)
    push = lambda kept, new: jnp.concatenate([kept[1:], new[None]])
    old = memory.pairs
    steps = jax.tree.map(push, old.steps, step)
    # What is left of the inverse of a triangular matrix without its first row and column is that of the rest.
    rest = jnp.pad(old.inverse[1:, 1:], (0, 1))
    last = jnp.eye(len(rest), dtype=rest.dtype)[-1]
    diagonal = tree.quotient(jnp.ones_like(curvature), jnp.where(keep, curvature, 0))
    column = diagonal * (last - _products(rest, _products(steps, change)))
    new = _Pairs(
        steps,
        jax.tree.map(push, old.changes, change),
        push(old.curvatures, curvature),
        rest + jnp.outer(column, last),
        tree.quotient(tree.quotient(curvature, size), size),
    )
    return tree.where(keep, new, old)


def _is_positive(curvature: Float[Array, ""], step: PyTree, change: PyTree) -> Bool[Array, ""]:
    """Whether a curvature is more than rounding, which alone gives tiny ones whose inverses would spoil a direction."""
    return curvature > jnp.finfo(curvature.dtype).eps * tree.dot(*(jax.tree.map(jnp.abs, x) for x in (step, change)))


def _products(vectors: PyTree, v: PyTree) -> Float[Array, " pairs"]:
    """The inner product of each vector with `v`."""
    return jax.vmap(tree.dot, in_axes=(0, None))(vectors, v)


def _combined(weights: Float[Array, " pairs"], vectors: PyTree) -> PyTree:
    """The vectors, each times its weight, added up; by no matrix product, which may be in reduced precision."""
    along = lambda leaf: weights.astype(leaf.dtype).reshape(-1, *(1,) * (leaf.ndim - 1))
    return jax.tree.map(lambda leaf: jnp.sum(along(leaf) * leaf, axis=0), vectors)


def _inverse_hessian_product(pairs: _Pairs, gradient: PyTree) -> PyTree:
    """The product by theorem 2.2 of Byrd, Nocedal & Schnabel (1994), one product after the other."""
    weights = _products(pairs.inverse, _products(pairs.steps, gradient))
    q = tree.scale(pairs.gamma, tree.subtract(gradient, _combined(weights, pairs.changes)))
    others = _combined(pairs.curvatures * weights - _products(pairs.changes, q), pairs.inverse)
    return tree.add(q, _combined(others, pairs.steps))
