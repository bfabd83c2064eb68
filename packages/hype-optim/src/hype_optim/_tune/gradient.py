"""How the gradient of a training is found: exactly, or smoothed over perturbed trainings."""

import abc
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import static_number
from hype_ad.internal.tree import axpy, random_like, scale
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._hyperparameter.converters import at_least

Training = Callable[[PyTree, PRNGKeyArray], Float[Array, ""]]
"""The value of a training at a point in unconstrained coordinates, at a training seed."""


class AbstractGradient(eqx.Module):
    """What finds the value and the gradient of a training at a point."""

    @property
    @abc.abstractmethod
    def cost(self) -> float:
        """What one takes, in plain trainings."""

    @abc.abstractmethod
    def __call__(self, training: Training, point: PyTree, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        """The value and the gradient."""


class ExactGradient(AbstractGradient):
    """The derivative through the whole training, as its adjoint finds it."""

    nominal: ClassVar[float] = 4.0

    @property
    def cost(self) -> float:
        """About that of four trainings: three to five."""
        return self.nominal

    def __call__(self, training: Training, point: PyTree, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        """The value and its gradient."""
        return jax.value_and_grad(training)(point, key)


class SmoothedGradient(AbstractGradient):
    r"""An estimate of the gradient of the smoothed value, from trainings at perturbed settings.

    That is $\nabla_x\, E_{\epsilon \sim N(0, I)} f(x + \sigma \epsilon)$ in unconstrained coordinates $x$, by
    evolution strategies with antithetic perturbations at one training seed (Vicol, Metz & Sohl-Dickstein 2021,
    "Unbiased gradient estimation in unrolled computation graphs with persistent evolution strategies", section 3). It
    has a meaning where trainings are chaotic, so that their derivatives have none, and needs no derivative. Its noise
    grows with the number of settings.

    Args:
        pairs: of trainings for each gradient, all in one batch.
        width: $\sigma$, above 0.

    Raises:
        TypeError: if `pairs` is not an integer or `width` not a number.
        ValueError: if one is out of its range.
    """

    pairs: int = eqx.field(static=True, converter=at_least("pairs", 1), default=8)
    width: float = eqx.field(static=True, converter=partial(static_number, "width", above=0.0), default=0.1)

    @property
    def cost(self) -> float:
        """Two trainings for each pair."""
        return 2.0 * self.pairs

    def __call__(self, training: Training, point: PyTree, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        """The mean value and the gradient, over the pairs of which no training failed; NaN if there are none."""
        directions_key, key = jax.random.split(key)
        draw = lambda key, shape, dtype: jax.random.normal(key, (self.pairs, *shape), dtype)
        directions = random_like(draw, directions_key, point)
        width = jnp.asarray(self.width)

        def pair(direction: PyTree) -> tuple[Float[Array, ""], PyTree]:
            ahead, behind = (training(axpy(sign * width, direction, point), key) for sign in (1, -1))
            slope = (ahead - behind) / jnp.asarray(2 * self.width, ahead.dtype)
            return (ahead + behind) / 2, scale(slope, direction)

        means, slopes = jax.vmap(pair)(directions)
        usable = jnp.isfinite(means)
        count = jnp.sum(usable)

        def mean(entries: Float[Array, "pairs ..."]) -> Float[Array, "..."]:
            kept = jnp.where(usable.reshape(-1, *(1,) * (entries.ndim - 1)), entries, 0)
            return jnp.where(count > 0, jnp.sum(kept, axis=0) / jnp.maximum(count, 1).astype(entries.dtype), jnp.nan)

        return mean(means), jax.tree.map(mean, slopes)
