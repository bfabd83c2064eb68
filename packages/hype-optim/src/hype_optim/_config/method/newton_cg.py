"""Newton's method with an inexact solve by conjugate gradients."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal import tree
from jaxtyping import Array, Bool, Float, PyTree

from ..._hyperparameter.converters import at_least
from ..._objective import Iterate
from ..._transform.while_loop import bounded_while_loop
from ..learning_rate.backtrack import Backtrack
from .base import AbstractMethod


class _Inner(eqx.Module):
    """The carry of the linear conjugate gradients; `size` is the squared norm of the residual."""

    solution: PyTree
    residual: PyTree
    direction: PyTree
    size: Float[Array, ""]
    done: Bool[Array, ""]


class NewtonCG(AbstractMethod):
    r"""Newton's method without a Hessian: truncated conjugate gradients on $H p = -g$ (Dembo & Steihaug 1983).

    A step costs one Hessian product per inner step. The inner solve ends when the residual is shorter than
    $\min(\frac12, \sqrt{|g|}) \, |g|$, which makes the convergence superlinear, or at a direction of negative
    curvature, which is left out; if it is the first one, the step is along minus the gradient (Nocedal & Wright
    2006, algorithm 7.1). The default rate is `Backtrack()`.

    Args:
        max_inner_steps: the most Hessian products in one step.

    Raises:
        TypeError: if `max_inner_steps` is not an integer.
        ValueError: if `max_inner_steps` is below 1.
    """

    uses_hessian: ClassVar[bool] = True

    max_inner_steps: int = eqx.field(static=True, converter=at_least("max_inner_steps", 1), default=50)

    def default_learning_rate(self) -> Backtrack:
        """`Backtrack()`."""
        return Backtrack()

    def init(self, w: PyTree) -> Bool[Array, ""]:
        """Whether the last direction was a solution, not minus the gradient."""
        return jnp.array(True)

    def is_step(self, memory: Bool[Array, ""]) -> Bool[Array, ""]:
        """Where it is a solution: nobody knows how far to go along minus the gradient."""
        return memory

    def direction(self, iterate: Iterate, memory: Bool[Array, ""]) -> tuple[PyTree, Bool[Array, ""]]:
        """The truncated Newton direction."""
        size = tree.squared_norm(iterate.clipped)
        length = tree.square_root(size)
        enough = (jnp.minimum(0.5, tree.square_root(length)) * length) ** 2

        def advance(inner: _Inner) -> _Inner:
            bent = iterate.hessian_product(inner.direction)
            curvature = tree.dot(inner.direction, bent)
            convex = curvature > 0
            step = tree.quotient(inner.size, jnp.where(convex, curvature, 0))
            solution = tree.add(inner.solution, tree.scale(step, inner.direction))
            residual = tree.subtract(inner.residual, tree.scale(step, bent))
            left = tree.squared_norm(residual)
            direction = tree.add(residual, tree.scale(tree.quotient(left, inner.size), inner.direction))
            return _Inner(solution, residual, direction, left, ~convex | (left <= enough))

        downhill = tree.negative(iterate.clipped)
        first = _Inner(tree.zeros_like(iterate.w), downhill, downhill, size, size == 0)
        inner = bounded_while_loop(lambda inner: ~inner.done, advance, first, self.max_inner_steps)
        # The solution is still zero where the very first direction had no positive curvature.
        unsolved = tree.squared_norm(inner.solution) == 0
        return tree.where(unsolved, downhill, inner.solution), ~unsolved
