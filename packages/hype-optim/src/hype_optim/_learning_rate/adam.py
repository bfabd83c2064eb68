from typing import ClassVar

import optax
from jaxtyping import PyTree

from .._checks import Hyperparameter, HyperparameterLike, fraction, non_negative_number, single
from .._objective import Iterate
from .._tree import scale
from .base import AbstractLearningRate


class Adam(AbstractLearningRate):
    r"""Steps by running means of directions and of their squares (Kingma & Ba 2015, algorithm 1).

    With the direction $p$, entry by entry, $m' = \beta_1 m + (1 - \beta_1) p$ and $v' = \beta_2 v + (1 - \beta_2) p^2$,
    and at step $t$, counted from 1, the step is
    $\eta \hat m / (\sqrt{\hat v + 10^{-16}} + 10^{-8})$, $\hat m = m' / (1 - \beta_1^t)$,
    $\hat v = v' / (1 - \beta_2^t)$. The constant under the root, which is not in the paper, keeps derivatives
    finite where a gradient is zero.

    Args:
        rate: $\eta$, at least 0; or a pytree of rates that is a prefix of the weights' structure. Differentiable.
        beta1: $\beta_1$, at least 0 and below 1. Differentiable.
        beta2: $\beta_2$, at least 0 and below 1. Differentiable.

    Raises:
        ValueError: if a number is out of its range.
    """

    scales_entries: ClassVar[bool] = True

    rate: Hyperparameter
    beta1: Hyperparameter
    beta2: Hyperparameter

    def __init__(
        self,
        rate: HyperparameterLike = 0.001,
        beta1: HyperparameterLike = 0.9,
        beta2: HyperparameterLike = 0.999,
    ):
        self.rate = non_negative_number("rate", rate)
        self.beta1 = single("beta1", fraction("beta1", beta1))
        self.beta2 = single("beta2", fraction("beta2", beta2))

    def init(self, w: PyTree) -> PyTree:
        """Both means, zero, and the number of steps."""
        return self._scaling().init(w)

    def update(self, direction: PyTree, memory: PyTree, iterate: Iterate) -> tuple[PyTree, PyTree]:
        """The scaled direction, and the new means."""
        scaled, memory = self._scaling().update(direction, memory)
        return scale(self.rate, scaled), memory

    def _scaling(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(b1=self.beta1, b2=self.beta2, eps=1e-8, eps_root=1e-16)
