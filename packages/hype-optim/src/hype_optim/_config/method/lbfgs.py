"""Limited-memory BFGS."""

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal import tree
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree

from ..._hyperparameter.converters import at_least
from ..._objective import Iterate
from ..learning_rate.strong_wolfe import StrongWolfe
from .base import AbstractMethod


class _Pairs(eqx.Module):
    """The curvature pairs, along a leading axis of each leaf, the newest last."""

    steps: PyTree
    changes: PyTree  # of the gradient over them
    inverses: Float[Array, " pairs"]  # one over the products of the two; 0 where there is no pair yet


class _Memory(eqx.Module):
    """The weights and the gradient of the step before, if there was one, and the pairs until then."""

    w: PyTree
    gradient: PyTree
    started: Bool[Array, ""]
    pairs: _Pairs


class LBFGS(AbstractMethod):
    r"""Limited-memory BFGS: a quasi-Newton direction from the last steps (Nocedal 1980).

    The inverse Hessian is $\gamma I$, with $\gamma = s \cdot y / y \cdot y$ of the newest pair, changed by every pair
    of a step $s$ and a change of the gradient $y$ (two-loop recursion, Nocedal & Wright 2006, algorithm 7.4). A pair
    of a step without positive curvature is not kept. The default rate is `StrongWolfe(c2=0.9)`, which makes all
    curvatures positive.

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
        pairs = _Pairs(zeros, zeros, jnp.zeros(self.history, tree.float_dtype(w)))
        return _Memory(tree.zeros_like(w), tree.zeros_like(w), jnp.array(False), pairs)

    def direction(self, iterate: Iterate, memory: _Memory) -> tuple[PyTree, _Memory]:
        """Minus the approximate inverse Hessian times the gradient."""
        pairs = _remember(memory, iterate.w, iterate.clipped)
        direction = tree.negative(_inverse_hessian_product(pairs, iterate.clipped))
        return direction, _Memory(iterate.w, iterate.clipped, jnp.array(True), pairs)

    def is_step(self, memory: _Memory) -> Bool[Array, ""]:
        """Once there is a pair; minus the gradient before."""
        return memory.pairs.inverses[-1] != 0


def _remember(memory: _Memory, w: PyTree, gradient: PyTree) -> _Pairs:
    step, change = tree.subtract(w, memory.w), tree.subtract(gradient, memory.gradient)
    curvature = tree.dot(step, change)
    # Rounding alone gives tiny curvatures of either sign, whose inverses would spoil the direction.
    keep = memory.started & (curvature > jnp.finfo(curvature.dtype).eps * tree.norm(step) * tree.norm(change))
    push = lambda kept, new: jnp.concatenate([kept[1:], new[None]])
    old = memory.pairs
    new = _Pairs(
        jax.tree.map(push, old.steps, step),
        jax.tree.map(push, old.changes, change),
        push(old.inverses, tree.quotient(jnp.ones_like(curvature), jnp.where(keep, curvature, 0))),
    )
    return tree.where(keep, new, old)


def _inverse_hessian_product(pairs: _Pairs, gradient: PyTree) -> PyTree:
    def backward(q: PyTree, pair: _Pairs) -> tuple[PyTree, Float[Array, ""]]:
        weight = pair.inverses * tree.dot(pair.steps, q)
        return tree.subtract(q, tree.scale(weight, pair.changes)), weight

    def forward(r: PyTree, x: tuple[_Pairs, Float[Array, ""]]) -> tuple[PyTree, None]:
        pair, weight = x
        return tree.add(r, tree.scale(weight - pair.inverses * tree.dot(pair.changes, r), pair.steps)), None

    q, weights = lax.scan(backward, gradient, pairs, reverse=True)
    newest = jax.tree.map(lambda leaf: leaf[-1], pairs)
    curvature = tree.quotient(jnp.ones_like(newest.inverses), newest.inverses)
    size = tree.norm(newest.changes)
    gamma = jnp.where(size > 0, tree.quotient(tree.quotient(curvature, size), size), 1)
    return lax.scan(forward, tree.scale(gamma, q), (pairs, weights))[0]
