"""A learning rate that descends along its own gradient while training."""

import equinox as eqx
from hype_ad.internal.tree import at_least_single, dot, scale, zeros_like
from jaxtyping import Array, Float, PyTree

from ..._hyperparameter.converters import Hyperparameter, non_negative
from ..._objective import Iterate
from .base import AbstractLearningRate


class _Memory(eqx.Module):
    """The rate and the direction of the step before; the direction is zero before the first."""

    rate: Float[Array, ""]
    direction: PyTree


class HypergradientDescent(AbstractLearningRate):
    r"""A rate that follows its own gradient while training (Baydin et al. 2018, equation 5).

    The derivative of the objective at $w$ with respect to the rate of the step that led there is $g \cdot p$, with the
    gradient $g$ at $w$ and the direction $p$ of that step, so $\eta' = \eta - \beta\, g \cdot p$ is the rate used
    next.

    Args:
        rate: $\eta$ of the first step, at least 0. Differentiable.
        hyper_rate: $\beta$, at least 0; useful values depend on the scale of the objective. Differentiable.

    Raises:
        ValueError: if a number is out of its range.
    """

    rate: Hyperparameter = eqx.field(converter=non_negative("rate", single=True), default=0.001)
    hyper_rate: Hyperparameter = eqx.field(converter=non_negative("hyper_rate", single=True), default=1e-4)

    def init(self, w: PyTree) -> _Memory:
        """The first rate, and no direction."""
        return _Memory(self.rate, zeros_like(w))

    def update(self, direction: PyTree, memory: _Memory, iterate: Iterate) -> tuple[PyTree, _Memory]:
        """The new rate times the direction."""
        slope = dot(at_least_single(iterate.gradient), at_least_single(memory.direction))
        rate = memory.rate - self.hyper_rate * slope
        return scale(rate, direction), _Memory(rate, direction)
