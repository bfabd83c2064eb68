"""In what order the examples of an epoch are drawn."""

import abc
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import check_entries, float_array, known
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._data.dataset import Dataset
from .._data.stream import Stream
from .._transform.nondifferentiable import nondifferentiable


class AbstractSampling(eqx.Module):
    """Draws the order in which an epoch goes through the examples."""

    @abc.abstractmethod
    def order(self, key: PRNGKeyArray, data: Dataset | Stream) -> Int[Array, " rows"]:
        """The row numbers of an epoch, as many as there are rows; batches are cut from it one after the other."""


class Shuffled(AbstractSampling):
    """Each example once an epoch, in a random order."""

    def order(self, key: PRNGKeyArray, data: Dataset | Stream) -> Int[Array, " rows"]:
        """A permutation of the rows."""
        return jax.random.permutation(key, len(data))


class Stratified(AbstractSampling):
    """Each example once an epoch, in a random order in which every batch has each class in proportion.

    A batch of $n$ examples has $n p$ of a class that is the fraction $p$ of the data, rounded up or down.

    Raises:
        TypeError: in training, if the data have no class labels.
    """

    def order(self, key: PRNGKeyArray, data: Dataset | Stream) -> Int[Array, " rows"]:
        """A permutation of the rows: the k-th of a class, in random order, is about k / (size of the class) in."""
        labels, rows = data.labels, len(data)
        if labels.ndim != 1:
            raise TypeError(f"Stratified() takes one class label an example, got labels of shape {labels.shape}.")
        of_order, of_place = jax.random.split(key)
        shuffled = jax.random.permutation(of_order, rows)
        by_class = shuffled[jnp.argsort(labels[shuffled], stable=True)]
        classes = labels[by_class]
        first = jnp.searchsorted(classes, classes, side="left")
        last = jnp.searchsorted(classes, classes, side="right")
        place = jax.random.uniform(of_place, (rows,))[first]  # one for each class
        rank = jnp.arange(rows, dtype=first.dtype) - first
        return by_class[jnp.argsort((rank.astype(place.dtype) + place) / (last - first).astype(place.dtype))]


class Weighted(AbstractSampling):
    """Examples drawn with replacement, each as often as its weight says: to balance rare classes, for example.

    The mean over the examples that is minimized is then the weighted one. Not differentiable in the weights, which
    raises: for that give a `Dataset` its `weights`.

    Args:
        weights: one for each example, at least 0; only their ratios matter.

    Raises:
        TypeError: if `weights` is not made of real numbers.
        ValueError: if one is known to be negative or not finite, or, in training, if there is not one for each example.
    """

    weights: Float[Array, " rows"]

    def __init__(self, weights: ArrayLike | Sequence[float | int]):
        self.weights = float_array("weights", weights)
        check_entries("weights", self.weights, lambda x: x >= 0, "at least 0 and finite")
        if known(self.weights) and not np.any(np.asarray(self.weights)):
            raise ValueError("`weights` must not all be 0: there would be nothing to draw.")

    def order(self, key: PRNGKeyArray, data: Dataset | Stream) -> Int[Array, " rows"]:
        """Row numbers, each drawn by itself."""
        rows = len(data)
        if self.weights.shape != (rows,):
            raise ValueError(f"`weights` must have one number for each of {rows} examples, got {self.weights.shape}.")
        weights = nondifferentiable(self.weights, "Weighted() sampling has no derivative with respect to its weights.")
        total = jnp.cumsum(weights)
        drawn = jax.random.uniform(key, (rows,), total.dtype) * total[-1]
        return jnp.searchsorted(total, drawn, side="right").clip(0, rows - 1)
