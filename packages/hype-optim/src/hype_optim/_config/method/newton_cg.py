"""Newton's method with an inexact solve by conjugate gradients."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal import tree
from hype_ad.internal.checks import function
from hype_ad.internal.while_loop import bounded_while_loop
from jaxtyping import Array, Bool, Float, PyTree

from ..._hyperparameter.converters import at_least, optional
from ..._objective import Iterate
from ..learning_rate.backtrack import Backtrack
from .base import AbstractMethod


class _Inner(eqx.Module):
    """The carry of the linear conjugate gradients.

    `size` is the squared norm of the residual; 0 after a direction of negative curvature, with which the solve ends.
    """

    solution: PyTree
    residual: PyTree
    direction: PyTree
    size: Float[Array, ""]


class _Memory(eqx.Module):
    """The largest entry of the first gradient, and whether the last direction is a step in itself."""

    first: Float[Array, ""]
    solved: Bool[Array, ""]


_product = partial(function, "product", accepted="a function such as hype_ad.gnvp(residuals)")


class NewtonCG(AbstractMethod):
    r"""Newton's method without a Hessian: truncated conjugate gradients on $H p = -g$ (Dembo & Steihaug 1983).

    A step costs one Hessian product per inner step. The inner solve ends when the residual is shorter than
    $\min(\frac12, \sqrt{|g|_\infty / |g_0|_\infty}) \, |g|$ with the first gradient $g_0$ of the run, which makes the
    convergence superlinear in any unit of the objective. It also ends with a direction $d$ of negative curvature, along
    which it goes as far as if the curvature were $|d \cdot H d|$: downhill, and past a saddle. Where the gradient
    itself has no curvature at all, the direction is minus the gradient. The default rate is `Backtrack()`.

    Args:
        max_inner_steps: the most Hessian products in one step; if `None`, twice the number of weights, and at most 200.
        product: what takes the place of the Hessian product: a function of the weights and a direction, such as
            `hype_ad.gnvp(residuals)` or `hype_ad.gnvp(model, loss)` for Gauss-Newton steps, whose matrix is nowhere
            negative. It must be symmetric. What it closes over is part of the compiled program.

    Raises:
        TypeError: if `max_inner_steps` is not an integer, or `product` not a function.
        ValueError: if `max_inner_steps` is below 1, or if a product does not have the shape of the weights.
    """

    uses_hessian: ClassVar[bool] = True
    takes_products_in_turn: ClassVar[bool] = True

    max_inner_steps: int | None = eqx.field(
        static=True, converter=optional(at_least("max_inner_steps", 1)), default=None
    )
    product: Callable[[PyTree, PyTree], PyTree] | None = eqx.field(
        static=True, converter=optional(_product), default=None
    )

    def default_learning_rate(self) -> Backtrack:
        """`Backtrack()`."""
        return Backtrack()

    def init(self, w: PyTree) -> _Memory:
        """No gradient yet."""
        return _Memory(jnp.zeros((), tree.float_dtype(w)), jnp.array(True))

    def is_step(self, memory: _Memory) -> Bool[Array, ""]:
        """Where it solves for something: nobody knows how far to go along minus the gradient."""
        return memory.solved

    def direction(self, iterate: Iterate, memory: _Memory) -> tuple[PyTree, _Memory]:
        """The truncated Newton direction."""
        unit = tree.power_of_two(iterate.clipped)
        downhill = tree.scale(-tree.inverse(unit), iterate.clipped)
        size = tree.squared_norm(downhill)
        length = tree.largest(iterate.clipped)
        first = jnp.where(memory.first > 0, memory.first, length)
        enough = jnp.minimum(0.25, tree.quotient(length, first)) * size
        enough = jnp.where(iterate.running, enough, jnp.inf)

        curved = iterate.hessian_product if self.product is None else self._linearized(iterate)

        def advance(inner: _Inner) -> _Inner:
            bent = curved(inner.direction)
            curvature = tree.dot(inner.direction, bent)
            step = tree.quotient(inner.size, curvature)
            solution = tree.add(inner.solution, tree.scale(jnp.abs(step), inner.direction))
            residual = tree.subtract(inner.residual, tree.scale(step, bent))
            left = tree.squared_norm(residual)
            direction = tree.add(residual, tree.scale(tree.quotient(left, inner.size), inner.direction))
            return _Inner(solution, residual, direction, jnp.where(curvature > 0, left, 0))

        start = _Inner(tree.zeros_like(iterate.w), downhill, downhill, size)
        limit = min(2 * tree.size(iterate.w), 200) if self.max_inner_steps is None else self.max_inner_steps
        inner = bounded_while_loop(lambda inner: inner.size > enough, advance, start, limit)
        # The solution is still zero where the very first direction had no curvature.
        solved = tree.largest(inner.solution) > 0
        return tree.scale(unit, tree.where(solved, inner.solution, downhill)), _Memory(first, solved)

    def _linearized(self, iterate: Iterate) -> Callable[[PyTree], PyTree]:
        """The product at the weights, with what does not depend on the direction evaluated once."""
        assert self.product is not None
        of_weights = self.product
        start = tree.zeros_like(iterate.w)
        value, push = jax.linearize(lambda v: of_weights(iterate.w, v), start)
        if not tree.same_shapes(value, start):
            raise ValueError(f"`product` must give what has the shape of the weights, got {value!r}.")
        return push
