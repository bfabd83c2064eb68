"""A table of a model's layers."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._layer import Layer


def summary(layer: Layer, x: Array | jax.ShapeDtypeStruct | tuple[int, ...]) -> str:
    """A table of what a layer is made of: the shape of each output for one example, and the number of weights.

    Args:
        layer: the model.
        x: one example, or its shape, which means floats. Nothing is computed.

    Returns:
        Lines of text, one for each layer, inner layers indented, and a last one for all.
    """
    example = jax.ShapeDtypeStruct(x, jnp.result_type(float)) if isinstance(x, tuple) else x
    layer = eqx.nn.inference_mode(layer)
    rows = [("layer", "output", "weights"), *_rows(layer, example, 0)]
    if layer.parts:
        rows.append(("all", _shape(eqx.filter_eval_shape(layer, example)), f"{layer.num_parameters:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}" for name, shape, count in rows]
    return "\n".join(lines)


def _rows(layer: Layer, x: Any, depth: int) -> Iterator[tuple[str, str, str]]:
    if not layer.parts:
        output = eqx.filter_eval_shape(layer, x)
        yield "  " * depth + layer.name, _shape(output), f"{layer.num_parameters:,}"
    for i, part in enumerate(layer.parts):
        output = eqx.filter_eval_shape(part, x)
        indent = "  " * depth
        yield f"{indent}{i} {part.name}", _shape(output), f"{part.num_parameters:,}"
        if part.parts:
            yield from _rows(part, x, depth + 1)
        x = output


def _shape(output: Any) -> str:
    return str(tuple(output.shape))
