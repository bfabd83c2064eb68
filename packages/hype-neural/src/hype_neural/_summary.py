"""A table of a model's layers."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.text import table
from jaxtyping import Array

from ._activation import Activation
from ._equinox_layer import EquinoxLayer
from ._feed_forward import FeedForward
from ._layer import AbstractLayer


def summary(layer: AbstractLayer, x: Array | jax.ShapeDtypeStruct | tuple[int, ...]) -> str:
    """A table of what a layer is made of: the shape of each output for one example, and the number of weights.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_neural import FeedForward, Linear, summary
        >>> first, last = jax.random.split(jax.random.key(0))
        >>> print(summary(FeedForward([Linear(4, 8, key=first), jnp.tanh, Linear(8, 3, key=last)]), (4,)))
        layer     output  weights
        --------  ------  -------
        0 Linear    (8,)       40
        1 tanh      (8,)        0
        2 Linear    (3,)       27
        all         (3,)       67

    Args:
        layer: the model.
        x: one example, or its shape, which means floats. Nothing is computed.

    Returns:
        Lines of text, one for each layer, inner layers indented, and a last one for all.
    """
    example = jax.ShapeDtypeStruct(x, jnp.result_type(float)) if isinstance(x, tuple) else x
    layer = eqx.nn.inference_mode(layer)
    if not isinstance(layer, FeedForward):
        return table(_HEAD, [_row(_name(layer), layer, example)])
    return table(_HEAD, [*_rows(layer, example, ""), _row("all", layer, example)])


_HEAD = "layer", "output", "weights"


def _rows(model: FeedForward, x: Any, indent: str) -> Iterator[tuple[str, str, str]]:
    for i, layer in enumerate(model):
        yield _row(f"{indent}{i} {_name(layer)}", layer, x)
        if isinstance(layer, FeedForward):
            yield from _rows(layer, x, indent + "  ")
        x = eqx.filter_eval_shape(layer, x)


def _row(name: str, layer: AbstractLayer, x: Any) -> tuple[str, str, str]:
    return name, str(eqx.filter_eval_shape(layer, x).shape), f"{layer.num_parameters:,}"


def _name(layer: AbstractLayer) -> str:
    """The name of a function, or the class of a layer or of the module inside of it."""
    if isinstance(layer, Activation):
        return getattr(layer.function, "__name__", type(layer.function).__name__)
    return type(layer.module if isinstance(layer, EquinoxLayer) else layer).__name__
