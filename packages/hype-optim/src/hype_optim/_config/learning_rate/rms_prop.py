from typing import ClassVar

import optax
from jaxtyping import PyTree

from .._checks import Hyperparameter, HyperparameterLike, check_prefix, fraction, non_negative_number, single
from .._objective import Iterate
from .._tree import scale
from .base import AbstractLearningRate


class RMSProp(AbstractLearningRate):
    r"""Steps scaled by the root of a running mean of squares (Tieleman & Hinton 2012, lecture 6.5).

    With the direction $p$, entry by entry, $c' = k c + (1 - k) p^2$ and the step is $\eta p / \sqrt{c' + 10^{-6}}$,
    $c_0 = 0$.

    Args:
        rate: $\eta$, at least 0; or a pytree of rates that is a prefix of the weights' structure. Differentiable.
        decay: $k$, at least 0 and below 1. Differentiable.

    Raises:
        ValueError: if `rate` or `decay` is a number out of its range.
    """

    scales_entries: ClassVar[bool] = True

    rate: Hyperparameter
    decay: Hyperparameter

    def __init__(self, rate: HyperparameterLike = 0.001, decay: HyperparameterLike = 0.9):
        self.rate = non_negative_number("rate", rate)
        self.decay = single("decay", fraction("decay", decay))

    def init(self, w: PyTree) -> PyTree:
        """The running mean of squares, zero."""
        check_prefix("rate", self.rate, w)
        return self._scaling().init(w)

    def update(self, direction: PyTree, memory: PyTree, iterate: Iterate) -> tuple[PyTree, PyTree]:
        """The scaled direction, and the new mean of squares."""
        scaled, memory = self._scaling().update(direction, memory)
        return scale(self.rate, scaled), memory

    def _scaling(self) -> optax.GradientTransformation:
        # The constant under the root keeps the derivative finite where a gradient is zero.
        return optax.scale_by_rms(decay=self.decay, eps=1e-6, eps_in_sqrt=True)
