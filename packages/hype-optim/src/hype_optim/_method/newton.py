import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._clipping import AbstractGradientClipping
from .._learning_rate import Constant
from .._objective import Objective
from .base import AbstractMethod


class Newton(AbstractMethod):
    r"""Newton's method: the direction $p$ solves $H p = -g$ with the whole Hessian $H$.

    Its default rate is `Constant(1.)`. The weights are flattened to a vector of $n$ entries; a step costs $n$ Hessian
    products and a dense solve, $O(n^3)$. It goes to any stationary point. A singular Hessian ends the run as
    `DIVERGED`.
    """

    def default_learning_rate(self) -> Constant:
        """`Constant(1.)`."""
        return Constant(1.0)

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        return ()

    def direction(
        self, objective: Objective, w: PyTree, clip: AbstractGradientClipping, memory: tuple[()]
    ) -> tuple[Float[Array, ""], PyTree, PyTree, tuple[()]]:
        """The Newton direction."""
        flat, unravel = ravel_pytree(w)

        def gradient_and_value(flat: Float[Array, " n"]) -> tuple[Float[Array, " n"], tuple]:
            value, gradient = objective.value_and_grad(unravel(flat))
            return ravel_pytree(gradient)[0], (value, gradient)

        # One evaluation serves the value, the gradient and all columns of the Hessian.
        _, product, (value, gradient) = jax.linearize(gradient_and_value, flat, has_aux=True)
        hessian = lx.MatrixLinearOperator(jax.vmap(product)(jnp.eye(flat.size, dtype=flat.dtype)))
        gradient = clip(gradient)
        solution = lx.linear_solve(hessian, -ravel_pytree(gradient)[0], solver=lx.LU(), throw=False)
        return value, gradient, unravel(solution.value), memory
