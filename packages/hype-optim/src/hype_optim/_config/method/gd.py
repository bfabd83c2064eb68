from typing import ClassVar

from jaxtyping import Array, Float, PyTree

from .._clipping import AbstractGradientClipping
from .._learning_rate import RMSProp
from .._objective import Objective
from .._tree import negative
from .base import AbstractMethod


class GD(AbstractMethod):
    """Gradient descent: against the gradient. Its default rate is `RMSProp()`."""

    takes_scaling: ClassVar[bool] = True

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
        return value, gradient, negative(clip(gradient)), memory
