from jaxtyping import PyTree

from .._checks import Hyperparameter, HyperparameterLike, check_prefix, non_negative_number
from .._objective import Iterate
from .._tree import scale
from .base import AbstractLearningRate


class Constant(AbstractLearningRate):
    r"""The same step length $\eta$ at every step.

    Args:
        rate: $\eta$, at least 0; or a pytree of rates that is a prefix of the weights' structure, such as one per
            layer. Differentiable.

    Raises:
        ValueError: if `rate` is a number below 0.
    """

    rate: Hyperparameter

    def __init__(self, rate: HyperparameterLike = 0.001):
        self.rate = non_negative_number("rate", rate)

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        check_prefix("rate", self.rate, w)
        return ()

    def update(self, direction: PyTree, memory: tuple[()], iterate: Iterate) -> tuple[PyTree, tuple[()]]:
        r"""$\eta$ times the direction."""
        return scale(self.rate, direction), memory


class Unscaled(AbstractLearningRate):
    """The direction is the step: for methods that find both at once."""

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        return ()

    def update(self, direction: PyTree, memory: tuple[()], iterate: Iterate) -> tuple[PyTree, tuple[()]]:
        """The direction itself."""
        return direction, memory
