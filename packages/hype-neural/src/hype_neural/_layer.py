"""The interface of a layer, and what all layers can do: weights as a vector and back, and training."""

import abc
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad import DV
from hype_ad.internal import tree
from hype_ad.internal.checks import as_array
from hype_optim import Dataset, Params, Result, Stream, train
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ._initializer import AbstractInitializer

AnyLayer = TypeVar("AnyLayer", bound="AbstractLayer")


class AbstractLayer(eqx.Module):
    """A function of one example, with weights: an Equinox module that JAX's transformations take as it is.

    Batches are mapped over by `jax.vmap`. A layer is immutable: `init`, `decode` and `train` give new ones.
    """

    @abc.abstractmethod
    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """The output for one example.

        Args:
            x: the example.
            key: for layers that draw, such as `equinox.nn.Dropout` inside of a `FeedForward`.
        """

    @abc.abstractmethod
    def init(self: AnyLayer, key: PRNGKeyArray, initializer: AbstractInitializer | None = None) -> AnyLayer:
        """The same layer with weights drawn anew.

        Args:
            key: decides what is drawn.
            initializer: how; if not given, as the layer's constructor does by default. Differentiable.
        """

    @abc.abstractmethod
    def run(self, xs: Array, state: PyTree = None) -> tuple[Array, PyTree]:
        """The output, and the state to go on from with the next piece of a sequence.

        Args:
            xs: the example; for a recurrent layer the next piece of a sequence, with time on the leading axis.
            state: where a run over the piece before has ended; `None` for the beginning.

        Returns:
            The output and the new state, which is `None` for a layer that has none.
        """

    @property
    def num_parameters(self) -> int:
        """The number of weights."""
        return tree.size(_weights(self))

    def encode(self) -> DV:
        """All weights as one vector, in the order of the fields and of their entries, row by row.

        The vector has the widest dtype among the weights; it is empty if there are none. Differentiable.
        """
        weights = _weights(self)
        return DV(tree.ravel(weights) if weights else jnp.zeros(0))

    def decode(self: AnyLayer, w: DV | ArrayLike | Sequence[float]) -> AnyLayer:
        """The same layer with the weights that `encode` has made into a vector.

        Args:
            w: the vector. Differentiable.

        Raises:
            ValueError: if the vector does not have as many entries as the layer has weights.
        """
        vector = w.array if isinstance(w, DV) else as_array(w)
        if vector.shape != (self.num_parameters,):
            raise ValueError(
                f"`w` must be a vector of the layer's {self.num_parameters} weights, got shape {vector.shape}."
            )
        weights, rest = eqx.partition(self, eqx.is_inexact_array)
        return eqx.combine(tree.unravel(vector, weights), rest)

    def train(
        self,
        data: Dataset | Stream,
        params: Params | None = None,
        *,
        valid: Dataset | Stream | None = None,
        key: PRNGKeyArray | None = None,
        keyed: bool = False,
        where: Callable[[Any], PyTree] | PyTree | None = None,
        state: PyTree = None,
    ) -> Result:
        """Fit the weights to data: `hype_optim.train`, which says more.

        Args:
            data: the training examples.
            params: how to optimize.
            valid: other examples, by which the best weights and early stopping are judged.
            key: if given, every epoch goes through the examples in a new random order.
            keyed: whether the layer draws at random in training, as `equinox.nn.Dropout` does; it needs `key` then.
            where: which part of the layer is trained: a function that gives it, or a pytree of truth values.
            state: the `state` of an earlier result, to go on where that run stopped.

        Returns:
            A `hype_optim.Result` whose `w` is the layer trained, differentiable with respect to this layer's weights,
            `params` and the data.
        """
        return train(self, data, params, valid=valid, key=key, keyed=keyed, where=where, state=state)


class AbstractStatelessLayer(AbstractLayer):
    """A layer whose output follows from its input alone: there is no state to go on from."""

    def run(self, xs: Array, state: PyTree = None) -> tuple[Array, None]:
        """The output for one example, and no state."""
        return self(xs), None


def _weights(layer: PyTree) -> list[Float[Array, "..."]]:
    return jax.tree.leaves(eqx.filter(layer, eqx.is_inexact_array))
