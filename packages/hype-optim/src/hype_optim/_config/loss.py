"""Losses: how far one prediction is from its target; a training minimizes the mean over the examples."""

import abc
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad import absolute
from hype_ad.internal.checks import integer
from hype_ad.internal.tree import norm
from jaxtyping import Array, Float, Num

from .._hyperparameter.converters import optional


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


class AbstractClassLoss(AbstractLoss):
    """A loss of class numbers, one of which can stand for no class, such as that of padding.

    Attributes:
        ignored: the number of targets that do not count; the loss is the mean over the others.
    """

    ignored: eqx.AbstractVar[int | None]


class CrossEntropyOnLinear(AbstractClassLoss):
    r"""Cross entropy on unnormalized log probabilities $z$: $\log \sum_k e^{z_k} - z_y$.

    For a sequence the mean over time. The target is a class number per prediction, or a vector of class probabilities.

    Args:
        ignored: a class number that means that there is none, such as -1 for padding. The loss is the mean over the
            targets that count, in training over those of all examples; the prediction elsewhere may be anything, NaN
            too. With all of one example ignored it is 0.

    Raises:
        TypeError: if `ignored` is not an integer.
    """

    ignored: int | None = eqx.field(static=True, converter=optional(partial(integer, "ignored")), default=None)

    def __call__(self, prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Float[Array, ""]:
        """The cross entropy."""
        return _mean_where_counted(lambda p, y: _cross_entropy(jax.nn.log_softmax(p), y), prediction, target, self)


class CrossEntropyOnSoftmax(AbstractClassLoss):
    r"""Cross entropy on probabilities $q$ that sum to one: $-\log q_y$.

    For a sequence the mean over time. The target is a class number per prediction, or a vector of class
    probabilities. A probability below the smallest normal number of its dtype counts as that number, so that the loss
    stays finite where a softmax has underflowed. Derivatives of a training hold $1 / q^2$, which is not finite where
    $q$ is below the root of that number (1e-19 in float32); `CrossEntropyOnLinear` loses neither digits nor those.

    Args:
        ignored: as for `CrossEntropyOnLinear`.

    Raises:
        TypeError: if `ignored` is not an integer.
    """

    ignored: int | None = eqx.field(static=True, converter=optional(partial(integer, "ignored")), default=None)

    def __call__(self, prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Float[Array, ""]:
        """The cross entropy; its derivative is 0 where the probability counts as the smallest number."""
        return _mean_where_counted(lambda p, y: _cross_entropy(_logarithm(p), y), prediction, target, self)


class FunctionLoss(AbstractLoss):
    """Any function of one prediction and one target."""

    function: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, prediction: Float[Array, "..."], target: Num[Array, "..."]) -> Array:
        """What the function gives."""
        return self.function(prediction, target)


def number_counted(loss: Any, target: Num[Array, "..."]) -> Float[Array, ""] | None:
    """How many targets of one example count, if the loss ignores some; else `None`."""
    if not isinstance(loss, AbstractClassLoss) or loss.ignored is None:
        return None
    return jnp.sum(target != loss.ignored).astype(jnp.result_type(float))


def _mean_where_counted(
    each: Callable[[Array, Array], Array],
    prediction: Float[Array, "..."],
    target: Num[Array, "..."],
    loss: AbstractClassLoss,
) -> Float[Array, ""]:
    if loss.ignored is None:
        return jnp.mean(each(prediction, target))
    if not jnp.issubdtype(target.dtype, jnp.integer) or target.shape != prediction.shape[:-1]:
        raise ValueError(
            f"`ignored` takes integer class numbers of shape {prediction.shape[:-1]}, got a target of dtype "
            f"{target.dtype} and shape {target.shape}."
        )
    counts = target != loss.ignored
    # Ones in place of predictions that do not count, for what is NaN there to have no derivative.
    losses = each(jnp.where(counts[..., None], prediction, 1), jnp.where(counts, target, 0))
    number = jnp.sum(counts).astype(losses.dtype)
    return jnp.sum(jnp.where(counts, losses, 0)) / jnp.maximum(number, 1)


def _logarithm(probabilities: Float[Array, "..."]) -> Float[Array, "..."]:
    tiny = jnp.finfo(probabilities.dtype).tiny
    above = probabilities > tiny
    # The second derivative of a logarithm at the smallest number is infinite, and NaN even times zero.
    lowest = jnp.log(tiny).astype(probabilities.dtype)
    return jnp.where(above, jnp.log(jnp.where(above, probabilities, 1)), lowest)


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
