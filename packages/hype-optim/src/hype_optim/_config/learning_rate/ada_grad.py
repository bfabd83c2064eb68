from typing import ClassVar

import optax
from jaxtyping import PyTree

from .._checks import Hyperparameter, HyperparameterLike, check_prefix, non_negative_number
from .._objective import Iterate
from .._tree import scale
from .base import AbstractLearningRate


class AdaGrad(AbstractLearningRate):
    r"""Steps scaled by the root of the sum of squares so far (Duchi, Hazan & Singer 2011).

    With the direction $p$, entry by entry, $c' = c + p^2$ and the step is $\eta p / \sqrt{c' + 10^{-8}}$, $c_0 = 0$.

    Args:
        rate: $\eta$, at least 0; or a pytree of rates that is a prefix of the weights' structure. Differentiable.

    Raises:
        ValueError: if `rate` is a number below 0.
    """

    scales_entries: ClassVar[bool] = True

    rate: Hyperparameter

    def __init__(self, rate: HyperparameterLike = 0.001):
        self.rate = non_negative_number("rate", rate)

    def init(self, w: PyTree) -> PyTree:
        """The sum of squares, zero."""
        check_prefix("rate", self.rate, w)
        return self._scaling().init(w)

    def update(self, direction: PyTree, memory: PyTree, iterate: Iterate) -> tuple[PyTree, PyTree]:
        """The scaled direction, and the new sum of squares."""
        scaled, memory = self._scaling().update(direction, memory)
        return scale(self.rate, scaled), memory

    def _scaling(self) -> optax.GradientTransformation:
        # The constant under the root keeps the derivative finite where a gradient is zero.
        return optax.scale_by_rss(initial_accumulator_value=0.0, eps=1e-8)
