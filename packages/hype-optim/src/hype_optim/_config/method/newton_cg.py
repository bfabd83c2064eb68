import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .._bounded_loop import bounded_loop
from .._checks import integer
from .._clipping import AbstractGradientClipping
from .._learning_rate import Backtrack
from .._objective import Objective
from .._tree import add, dot, negative, quotient, scale, square_root, squared_norm, subtract, zeros_like
from .base import AbstractMethod


class _Inner(eqx.Module):
    """Linear conjugate gradients on the way to a Newton direction."""

    solution: PyTree
    residual: PyTree
    direction: PyTree
    size: Float[Array, ""]  # of the residual, squared
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

    max_inner_steps: int = eqx.field(static=True)

    def __init__(self, max_inner_steps: int = 50):
        self.max_inner_steps = integer("max_inner_steps", max_inner_steps, 1)

    def default_learning_rate(self) -> Backtrack:
        """`Backtrack()`."""
        return Backtrack()

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        return ()

    def direction(
        self, objective: Objective, w: PyTree, clip: AbstractGradientClipping, memory: tuple[()]
    ) -> tuple[Float[Array, ""], PyTree, PyTree, tuple[()]]:
        """The truncated Newton direction."""
        value_and_gradient, product = jax.linearize(objective.value_and_grad, w)
        value, gradient = value_and_gradient
        clipped = clip(gradient)
        size = squared_norm(clipped)
        length = square_root(size)
        enough = (jnp.minimum(0.5, square_root(length)) * length) ** 2

        def advance(inner: _Inner) -> _Inner:
            _, bent = product(inner.direction)
            curvature = dot(inner.direction, bent)
            convex = curvature > 0
            step = quotient(inner.size, jnp.where(convex, curvature, 0))
            solution = add(inner.solution, scale(step, inner.direction))
            residual = subtract(inner.residual, scale(step, bent))
            left = squared_norm(residual)
            direction = add(residual, scale(quotient(left, inner.size), inner.direction))
            return _Inner(solution, residual, direction, left, ~convex | (left <= enough))

        downhill = negative(clipped)
        inner = bounded_loop(
            lambda inner: ~inner.done,
            advance,
            _Inner(zeros_like(w), downhill, downhill, size, size == 0),
            self.max_inner_steps,
        )
        # Nothing was gained where the very first direction had no positive curvature.
        nothing = squared_norm(inner.solution) == 0
        direction = jax.tree.map(lambda p, d: jnp.where(nothing, d, p), inner.solution, downhill)
        return value, gradient, direction, memory
