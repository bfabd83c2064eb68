"""Losses: how far one prediction is from its target; a training minimizes the mean over the examples."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad import absolute
from hype_ad.internal.tree import norm
from jaxtyping import Array, Float, Num


class AbstractLoss(eqx.Module):
    """A function of one prediction and one target."""

    @abc.abstractmethod
    def __call__(self, prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Float[Array, ""]:
        """The loss of one example, differentiable in both where they are floats."""


class L1Loss(AbstractLoss):
    r"""The 1-norm of the error, $\|y - f(x)\|_1$; for a sequence of vectors the mean over time."""

    def __call__(self, prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Float[Array, ""]:
        """The 1-norm of the error; its derivative where the error is zero is 0."""
        return jnp.mean(jnp.sum(absolute(_error(prediction, target)), axis=-1))


class L2Loss(AbstractLoss):
    r"""The 2-norm of the error, $\|y - f(x)\|_2$; for a sequence of vectors the mean over time.

    The name is the original's. The squared norm is `Quadratic`, and half of it is what Optax calls `l2_loss`.
    """

    def __call__(self, prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Float[Array, ""]:
        """The 2-norm of the error; its derivative where the error is zero is 0."""
        return jnp.mean(jnp.vectorize(norm, signature="(features)->()")(_error(prediction, target)))


class Quadratic(AbstractLoss):
    r"""The squared 2-norm of the error, $\|y - f(x)\|_2^2$; for a sequence of vectors the mean over time."""

    def __call__(self, prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Float[Array, ""]:
        """The squared 2-norm of the error."""
        return jnp.mean(jnp.sum(_error(prediction, target) ** 2, axis=-1))


class CrossEntropyOnLinear(AbstractLoss):
    r"""Cross entropy on unnormalized log probabilities $z$: $\log \sum_k e^{z_k} - z_y$.

    For a sequence the mean over time. The target is a class number per prediction, or a vector of class probabilities.
    """

    def __call__(self, prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Float[Array, ""]:
        """The cross entropy."""
        return jnp.mean(_cross_entropy(jax.nn.log_softmax(prediction), target))


class CrossEntropyOnSoftmax(AbstractLoss):
    r"""Cross entropy on probabilities $q$ that sum to one: $-\log q_y$.

    For a sequence the mean over time. The target is a class number per prediction, or a vector of class
    probabilities. A probability below the smallest normal number of its dtype counts as that number, so that the loss
    stays finite where a softmax has underflowed. Derivatives of a training hold $1 / q^2$, which is not finite where
    $q$ is below the root of that number (1e-19 in float32); `CrossEntropyOnLinear` loses neither digits nor those.
    """

    def __call__(self, prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Float[Array, ""]:
        """The cross entropy; its derivative is 0 where the probability counts as the smallest number."""
        tiny = jnp.finfo(prediction.dtype).tiny
        above = prediction > tiny
        # The second derivative of a logarithm at the smallest number is infinite, and NaN even times zero.
        logarithm = jnp.where(above, jnp.log(jnp.where(above, prediction, 1)), jnp.log(tiny).astype(prediction.dtype))
        return jnp.mean(_cross_entropy(logarithm, target))


class FunctionLoss(AbstractLoss):
    """Any function of one prediction and one target."""

    function: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Array:
        """What the function gives."""
        return self.function(prediction, target)


def _error(prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Float[Array, "... features"]:
    """Target minus prediction with the features on the last axis."""
    if prediction.shape != target.shape:
        raise ValueError(
            f"The model's prediction of one example has shape {prediction.shape} and its target {target.shape}; "
            "they must be equal (reshape `y`, or the model's output)."
        )
    return jnp.atleast_1d(target.astype(prediction.dtype) - prediction)


def _cross_entropy(log_probabilities: Float[Array, "... classes"], target: Num[Array, "..."]) -> Float[Array, "..."]:
    classes = log_probabilities.shape
    if target.shape == classes and jnp.issubdtype(target.dtype, jnp.floating):
        return -jnp.sum(target.astype(log_probabilities.dtype) * log_probabilities, axis=-1)
    if target.shape == classes[:-1] and jnp.issubdtype(target.dtype, jnp.integer):
        picked = jnp.take_along_axis(log_probabilities, target[..., None], axis=-1, mode="fill")[..., 0]
        # A negative index would count from the end; like one beyond the end it must not pass for a class.
        return jnp.where(target < 0, jnp.nan, -picked)
    raise ValueError(
        f"Cross entropy of a prediction of shape {classes} takes integer class numbers of shape {classes[:-1]} or "
        f"class probabilities of shape {classes}, got a target of dtype {target.dtype} and shape {target.shape}."
    )
