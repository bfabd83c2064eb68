"""Adam, whose derivative is finite where a gradient is zero."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.tree import add, at_least_single, cast_like, float_dtype, scale, square_root, zeros_like
from jaxtyping import Array, Float, PyTree

from ..._hyperparameter.converters import Hyperparameter, check_prefix, fraction, non_negative
from ..._objective import Iterate
from .base import AbstractLearningRate


class _Memory(eqx.Module):
    """The running means of directions and of their squares, and the number of steps."""

    mean: PyTree
    mean_square: PyTree
    step: Float[Array, ""]


class Adam(AbstractLearningRate):
    r"""Steps by running means of directions and of their squares (Kingma & Ba 2015, algorithm 1).

    With the direction $p$, entry by entry, $m' = \beta_1 m + (1 - \beta_1) p$ and $v' = \beta_2 v + (1 - \beta_2) p^2$,
    and at step $t$, counted from 1, the step is $\eta \hat m / (\sqrt{\hat v} + 10^{-8})$,
    $\hat m = m' / (1 - \beta_1^t)$, $\hat v = v' / (1 - \beta_2^t)$. Optax's Adam has a NaN derivative at a gradient of
    zero; this one has not.

    Args:
        rate: $\eta$, at least 0; or a pytree of rates that is a prefix of the weights' structure. Differentiable.
        beta1: $\beta_1$, at least 0 and below 1. Differentiable.
        beta2: $\beta_2$, at least 0 and below 1. Differentiable.

    Raises:
        ValueError: if a number is out of its range.
    """

    scales_entries: ClassVar[bool] = True

    rate: Hyperparameter = eqx.field(converter=non_negative("rate"), default=0.001)
    beta1: Hyperparameter = eqx.field(converter=fraction("beta1", single=True), default=0.9)
    beta2: Hyperparameter = eqx.field(converter=fraction("beta2", single=True), default=0.999)

    def init(self, w: PyTree) -> _Memory:
        """Zeros."""
        check_prefix("rate", self.rate, w)
        zeros = zeros_like(at_least_single(w))  # in half precision the means would never change
        return _Memory(zeros, zeros, jnp.zeros((), float_dtype(zeros)))

    def update(self, direction: PyTree, memory: _Memory, iterate: Iterate) -> tuple[PyTree, _Memory]:
        """The scaled direction, NaN where a square overflows, and the new means."""
        wide = at_least_single(direction)
        mean = add(scale(self.beta1, memory.mean), scale(1 - self.beta1, wide))
        square = jax.tree.map(lambda p: p * p, wide)
        mean_square = add(scale(self.beta2, memory.mean_square), scale(1 - self.beta2, square))
        step = memory.step + 1
        unbiased = scale(1 / (1 - self.beta1**step), mean)
        unbiased_square = scale(1 / (1 - self.beta2**step), mean_square)
        # Squares out of range would leave the weights where they are, without a word.
        divisor = jax.tree.map(lambda v: jnp.where(jnp.isinf(v), jnp.nan, square_root(v) + 1e-8), unbiased_square)
        scaled = jax.tree.map(jnp.divide, unbiased, divisor)
        return cast_like(scale(self.rate, scaled), direction), _Memory(mean, mean_square, step)
