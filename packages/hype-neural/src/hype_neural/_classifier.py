"""Models whose outputs mean classes."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import Dataset
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from ._checks import positive_size

_ROWS_AT_A_TIME = 1024


class AbstractClassifier(eqx.Module):
    """A model, and what its output says about the class of an example."""

    model: eqx.AbstractVar[Callable[[Array], Array]]

    @abc.abstractmethod
    def probabilities(self, x: Array) -> Float[Array, "*times classes"]:
        """The probability of each class for one example. Differentiable."""

    def __call__(self, x: Array) -> Array:
        """The model's output for one example."""
        return self.model(x)

    def classify(self, x: Array) -> Int[Array, "*times"]:
        """The most probable class of one example, of equals the first; -1, which is none, where an output is NaN.

        Args:
            x: the example. For many, use `classify_all`, or `jax.vmap`.
        """
        return _largest(self.probabilities(x))

    def classify_all(self, xs: Array) -> Int[Array, "rows *times"]:
        """The most probable class of each row of `xs`, computed a thousand rows at a time."""
        return _classify_all(self, xs)

    def error(self, data: Dataset) -> Float[Array, ""]:
        """The fraction of examples put into another class than that of `data.labels`.

        Raises:
            ValueError: if there are no examples, or an example has more labels than classes are given for it.
        """
        predicted = self._predicted(data)
        return jnp.mean((predicted != data.labels.astype(predicted.dtype)).astype(float))

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
        known = [np.asarray(x) for x in (predicted, labels) if not isinstance(x, Tracer)]
        if num_classes is None:
            if len(known) < 2:
                raise TypeError("`num_classes` must be given under `jit`.")
            num_classes = int(max(x.max() for x in known)) + 1
        n = positive_size("num_classes", num_classes)
        for x in known:
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
    """A classifier by the largest of a model's outputs, one for each class.

    Args:
        model: maps an example to one number a class on the last axis.
        logits: whether the outputs are unnormalized log probabilities, as for the loss `CrossEntropyOnLinear`; else
            they are probabilities, as those of a model that ends with `jax.nn.softmax`.

    Raises:
        TypeError: if `model` cannot be called.
    """

    model: Callable[[Array], Array]
    logits: bool = eqx.field(static=True)

    def __init__(self, model: Callable[[Array], Any], *, logits: bool = False):
        self.model, self.logits = _callable(model), bool(logits)

    def probabilities(self, x: Array) -> Float[Array, "*times classes"]:
        """The probability of each class for one example. Differentiable.

        Raises:
            ValueError: if `logits` is false, and the outputs are known to be no probabilities.
        """
        outputs = self.model(x)
        return jax.nn.softmax(outputs) if self.logits else _checked(outputs, sums_to_one=True)

    def classify(self, x: Array) -> Int[Array, "*times"]:
        """The class of the largest output for one example, of equals the first; -1 where an output is NaN.

        Args:
            x: the example. For many, use `classify_all`, or `jax.vmap`.
        """
        return _largest(self.model(x))


class LogisticClassifier(AbstractClassifier):
    """A classifier into classes 0 and 1 by a model's first output.

    Args:
        model: maps an example to a vector whose first entry counts, or to a single number.
        logits: whether that is the logit of the probability of class 1; else it is the probability, as that of a model
            that ends with `jax.nn.sigmoid`.

    Raises:
        TypeError: if `model` cannot be called.
    """

    model: Callable[[Array], Array]
    logits: bool = eqx.field(static=True)

    def __init__(self, model: Callable[[Array], Any], *, logits: bool = False):
        self.model, self.logits = _callable(model), bool(logits)

    def probabilities(self, x: Array) -> Float[Array, "*times classes"]:
        """The probabilities of classes 0 and 1 for one example. Differentiable.

        Raises:
            ValueError: if `logits` is false, and the output is known to be no probability.
        """
        output = self._first(x)
        p = jax.nn.sigmoid(output) if self.logits else _checked(output, sums_to_one=False)
        return jnp.stack([1 - p, p], axis=-1)

    def classify(self, x: Array) -> Int[Array, "*times"]:
        """1 if the probability of class 1 is above a half, else 0; -1 where the output is NaN.

        Args:
            x: the example. For many, use `classify_all`, or `jax.vmap`.

        Raises:
            ValueError: if `logits` is false, and the output is known to be no probability.
        """
        output = self._first(x)
        above = output > 0 if self.logits else _checked(output, sums_to_one=False) > 0.5
        return jnp.where(jnp.isnan(output), -1, above.astype(int))

    def _first(self, x: Array) -> Float[Array, "*times"]:
        output = self.model(x)
        return output if output.ndim == 0 else output[..., 0]


@eqx.filter_jit
def _classify_all(classifier: AbstractClassifier, xs: Array) -> Int[Array, "rows *times"]:
    return jax.lax.map(classifier.classify, xs, batch_size=_ROWS_AT_A_TIME)


def _largest(outputs: Float[Array, "*times classes"]) -> Int[Array, "*times"]:
    # A model that has diverged must not be right about class 0.
    return jnp.where(jnp.any(jnp.isnan(outputs), axis=-1), -1, jnp.argmax(outputs, axis=-1))


def _callable(model: Any) -> Any:
    if isinstance(model, type) or not callable(model):
        raise TypeError(f"`model` must be a function of one example, got {model!r}.")
    return model


def _checked(outputs: Float[Array, "..."], sums_to_one: bool) -> Float[Array, "..."]:
    if isinstance(outputs, Tracer):
        return outputs
    known = np.asarray(outputs)
    inside = np.all((known >= 0) & (known <= 1)) and (not sums_to_one or np.allclose(known.sum(-1), 1, atol=1e-3))
    if not inside:
        raise ValueError(f"The model's output must be probabilities, got {known}; pass logits=True if it is logits.")
    return outputs
