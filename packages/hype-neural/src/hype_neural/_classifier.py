"""Classifiers: models whose outputs are scores or probabilities of classes."""

import abc
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import boolean, integer, known
from hype_optim import Dataset
from jaxtyping import Array, Float, Int

_ROWS_AT_A_TIME = 1024


def _callable(model: Callable[[Array], Any]) -> Callable[[Array], Any]:
    if isinstance(model, type) or not callable(model):
        raise TypeError(f"`model` must be a function of one example, got {model!r}.")
    return model


class AbstractClassifier(eqx.Module):
    """A model, and what its output says about the class of an example.

    Args:
        model: maps an example to what its class is decided by.
        logits: whether its outputs are logits (unnormalized log probabilities), as for the loss `CrossEntropyOnLinear`;
            else they are probabilities, as those of a model that ends with `jax.nn.softmax` or `jax.nn.sigmoid`.

    Raises:
        TypeError: if `model` cannot be called, or `logits` is not a truth value.
    """

    model: Callable[[Array], Any] = eqx.field(converter=_callable)
    logits: bool = eqx.field(static=True, converter=partial(boolean, "logits"), default=False, kw_only=True)

    @abc.abstractmethod
    def probabilities(self, x: Array) -> Float[Array, "*times classes"]:
        """The probability of each class for one example. Differentiable.

        Raises:
            ValueError: if `logits` is false, and the outputs are known to be no probabilities.
        """

    def __call__(self, x: Array) -> Array:
        """The model's output for one example."""
        return self.model(x)

    @abc.abstractmethod
    def classify(self, x: Array) -> Int[Array, "*times"]:
        """The most probable class of one example, of equals the first; -1, which is none, where an output is NaN.

        Args:
            x: the example. For many, use `classify_all`, or `jax.vmap`.
        """

    @eqx.filter_jit
    def classify_all(self, xs: Array) -> Int[Array, "rows *times"]:
        """The most probable class of each row of `xs`, computed a thousand rows at a time."""
        return jax.lax.map(self.classify, xs, batch_size=_ROWS_AT_A_TIME)

    def error(self, data: Dataset, ignored: int | None = None) -> Float[Array, ""]:
        """The fraction of examples put into another class than that of `data.labels`, by `data.weights` if there are.

        Args:
            data: the examples.
            ignored: a label that means that there is none, as for `hype_optim.CrossEntropyOnLinear`; those do not
                count. NaN if all are ignored.

        Raises:
            ValueError: if there are no examples, or an example has more labels than classes are given for it.
        """
        predicted, labels = self._predicted(data), data.labels
        wrong = (predicted != labels.astype(predicted.dtype)).astype(float)
        if ignored is None and data.weights is None:
            return jnp.mean(wrong)
        counts = jnp.ones_like(wrong) if ignored is None else (labels != ignored).astype(float)
        if data.weights is not None:
            counts = counts * data.weights.astype(float).reshape(-1, *(1,) * (counts.ndim - 1))
        return jnp.sum(counts * wrong) / jnp.sum(counts)

    def confusion_matrix(self, data: Dataset, num_classes: int | None = None) -> Int[Array, "true predicted"]:
        """How many examples of each class (row) were put into each class (column).

        Args:
            data: the examples.
            num_classes: the number of rows and columns; if not given, one more than the largest class among labels and
                predictions, which must then be known.

        Raises:
            TypeError: if `num_classes` is not an integer, or is not given under `jit`.
            ValueError: if there are no examples, an example has more labels than classes are given for it, or a class
                is known to be below 0 or not below `num_classes`.
        """
        predicted, labels = self._predicted(data), data.labels.astype(int)
        values = [np.asarray(x) for x in (predicted, labels) if known(x)]
        if num_classes is None:
            if len(values) < 2:
                raise TypeError("`num_classes` must be given under `jit`.")
            num_classes = int(max(x.max() for x in values)) + 1
        n = integer("num_classes", num_classes, 1)
        for x in values:
            if not 0 <= x.min() <= x.max() < n:
                raise ValueError(f"Classes must be from 0 to {n - 1} for {n} of them, got {x.min()} to {x.max()}.")
        return jnp.zeros((n, n), int).at[labels, predicted].add(1)

    def _predicted(self, data: Dataset) -> Int[Array, "rows *times"]:
        if len(data) == 0:
            raise ValueError("`data` must hold at least one example, got none.")
        predicted = self.classify_all(data.x)
        if predicted.shape != data.labels.shape:
            raise ValueError(
                f"The model gives classes of shape {predicted.shape} and the data have labels of shape "
                f"{data.labels.shape}; there must be one for each prediction."
            )
        return predicted


class SoftmaxClassifier(AbstractClassifier):
    """Any number of classes, by a model with one output for each of them on the last axis: the largest one decides.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_neural import Linear, SoftmaxClassifier
        >>> model = SoftmaxClassifier(Linear(4, 3, key=jax.random.key(0)), logits=True)
        >>> model.probabilities(jnp.ones((5, 4))).shape
        (5, 3)
    """

    def probabilities(self, x: Array) -> Float[Array, "*times classes"]:
        """The outputs, or their softmax if they are logits."""
        outputs = self.model(x)
        return jax.nn.softmax(outputs) if self.logits else _checked(outputs, sums_to_one=True)

    def classify(self, x: Array) -> Int[Array, "*times"]:
        """The class of the largest output, of equals the first; -1 where an output is NaN."""
        return _largest(self.model(x))


class LogisticClassifier(AbstractClassifier):
    """Classes 0 and 1, by a model whose output, or its first entry, is the probability of class 1 or its logit.

    Examples:
        >>> import jax.numpy as jnp
        >>> from hype_neural import LogisticClassifier
        >>> model = LogisticClassifier(lambda x: x - 2.0, logits=True)
        >>> model.classify(jnp.array([[1.0], [3.0]]))
        Array([0, 1], dtype=int32)
    """

    def probabilities(self, x: Array) -> Float[Array, "*times classes"]:
        """Those of classes 0 and 1."""
        output = self._first(x)
        p = jax.nn.sigmoid(output) if self.logits else _checked(output, sums_to_one=False)
        return jnp.stack([1 - p, p], axis=-1)

    def classify(self, x: Array) -> Int[Array, "*times"]:
        """1 if the probability of class 1 is above a half, else 0; -1 where the output is NaN.

        Raises:
            ValueError: if `logits` is false, and the output is known to be no probability.
        """
        output = self._first(x)
        above = output > 0 if self.logits else _checked(output, sums_to_one=False) > 0.5
        return jnp.where(jnp.isnan(output), -1, above.astype(int))

    def _first(self, x: Array) -> Float[Array, "*times"]:
        output = self.model(x)
        return output if output.ndim == 0 else output[..., 0]


def _largest(outputs: Float[Array, "*times classes"]) -> Int[Array, "*times"]:
    # A model that has diverged must not be right about class 0.
    return jnp.where(jnp.any(jnp.isnan(outputs), axis=-1), -1, jnp.argmax(outputs, axis=-1))


def _checked(outputs: Float[Array, "..."], sums_to_one: bool) -> Float[Array, "..."]:
    if not known(outputs):
        return outputs
    p = np.asarray(outputs)
    if not np.all((p >= 0) & (p <= 1)) or (sums_to_one and not np.allclose(p.sum(-1), 1, atol=1e-3)):
        raise ValueError(f"The model's output must be probabilities, got {p}; pass logits=True if it is logits.")
    return outputs
