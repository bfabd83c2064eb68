import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._clipping import AbstractGradientClipping
from .._learning_rate import RMSProp
from .._objective import Objective
from .base import AbstractMethod


class GD(AbstractMethod):
    """Gradient descent: against the gradient. Its default rate is `RMSProp()`."""

    def default_learning_rate(self) -> RMSProp:
        """`RMSProp()`."""
        return RMSProp()

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        return ()

    def direction(
        self, objective: Objective, w: PyTree, clip: AbstractGradientClipping, memory: tuple[()]
    ) -> tuple[Float[Array, ""], PyTree, PyTree, tuple[()]]:
        """Minus the gradient."""
        value, gradient = objective.value_and_grad(w)
        gradient = clip(gradient)
        return value, gradient, jax.tree.map(jnp.negative, gradient), memory
