"""Layers, functions and Equinox layers composed: each takes what the one before gives."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, overload

import jax
from hype_ad.internal.checks import check_key
from jaxtyping import Array, PRNGKeyArray, PyTree

from ._activation import Activation
from ._equinox_layer import EquinoxLayer
from ._function import is_plain
from ._initializer import AbstractInitializer
from ._layer import AbstractLayer


class FeedForward(AbstractLayer):
    """Layers, each of which takes what the one before gives. Without any it is the identity.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_neural import FeedForward, Linear
        >>> first, last = jax.random.split(jax.random.key(0))
        >>> model = FeedForward([Linear(4, 8, key=first), jnp.tanh, Linear(8, 3, key=last)])
        >>> model(jnp.ones(4)).shape
        (3,)

    Args:
        elements: layers; plain functions, each of which becomes an `Activation`; Equinox layers or other callable
            pytrees, each of which becomes an `EquinoxLayer`.

    Raises:
        TypeError: if an element is something else, or keeps state.
    """

    layers: tuple[AbstractLayer, ...]

    def __init__(self, elements: Iterable[AbstractLayer | Callable[..., Any]] = ()):
        self.layers = tuple(as_layer(f"elements[{i}]", element) for i, element in enumerate(elements))

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """Apply the layers in order.

        Args:
            x: one example.
            key: split among the layers.
        """
        keys = [None] * len(self) if key is None else jax.random.split(check_key("key", key), len(self))
        for layer, layer_key in zip(self.layers, keys, strict=True):
            x = layer(x, key=layer_key)
        return x

    def init(self, key: PRNGKeyArray, initializer: AbstractInitializer | None = None) -> "FeedForward":
        """The same layers with weights drawn anew.

        Args:
            key: split among the layers.
            initializer: for all of them; if not given, each layer's own default. Differentiable.

        Raises:
            TypeError: if there is an Equinox layer with weights.
        """
        keys = jax.random.split(check_key("key", key), max(1, len(self)))
        return FeedForward(layer.init(k, initializer) for layer, k in zip(self.layers, keys, strict=False))

    def run(self, xs: Array, state: tuple[PyTree, ...] | None = None) -> tuple[Array, tuple[PyTree, ...]]:
        """The output, and the states of the layers to go on from with the next piece of a sequence.

        Args:
            xs: the next piece of a sequence, with time on the leading axis.
            state: where a run over the piece before has ended; `None` for the beginning.

        Raises:
            ValueError: if `state` does not have an entry for each layer.
        """
        states = (None,) * len(self) if state is None else state
        if len(states) != len(self):
            raise ValueError(f"`state` must have an entry for each of {len(self)} layers, got {len(states)}.")
        after = []
        for layer, layer_state in zip(self.layers, states, strict=True):
            xs, layer_state = layer.run(xs, layer_state)
            after.append(layer_state)
        return xs, tuple(after)

    def add(self, element: AbstractLayer | Callable[..., Any]) -> "FeedForward":
        """With one more layer or function at the end."""
        return self.insert(len(self), element)

    def insert(self, i: int, element: AbstractLayer | Callable[..., Any]) -> "FeedForward":
        """With one more layer or function, which then has place `i`.

        Raises:
            IndexError: if `i` is not from 0 to the number of layers.
        """
        if not 0 <= i <= len(self):
            raise IndexError(f"`i` must be from 0 to {len(self)}, the number of layers, got {i}.")
        return FeedForward((*self.layers[:i], element, *self.layers[i:]))

    def remove(self, i: int) -> "FeedForward":
        """Without the layer at place `i`, which may count from the end.

        Raises:
            IndexError: if there is no such layer.
        """
        if not -len(self) <= i < len(self):
            raise IndexError(f"`i` must be the place of one of {len(self)} layers, got {i}.")
        place = i % len(self)
        return FeedForward((*self.layers[:place], *self.layers[place + 1 :]))

    def __len__(self) -> int:
        return len(self.layers)

    @overload
    def __getitem__(self, index: int) -> AbstractLayer: ...

    @overload
    def __getitem__(self, index: slice) -> "FeedForward": ...

    def __getitem__(self, index: int | slice) -> "AbstractLayer | FeedForward":
        """One layer, or a `FeedForward` of several for a slice."""
        return FeedForward(self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __iter__(self) -> Iterator[AbstractLayer]:
        return iter(self.layers)


def as_layer(name: str, element: AbstractLayer | Callable[..., Any]) -> AbstractLayer:
    """What `FeedForward` makes of an element."""
    if isinstance(element, AbstractLayer):
        return element
    if isinstance(element, type) or not callable(element):
        raise TypeError(f"`{name}` must be a layer or a function (an instance, not a class), got {element!r}.")
    return Activation(element) if is_plain(element) else EquinoxLayer(element)
