"""Which entries a window sees: convolutions and sums over windows as boolean matrices."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from .pattern import Pattern, kronecker, of_entries, of_matrix
from .programs import shape_of


def _seen(length: int, out: int, window: int, stride: int, low: int, dilation: int, own_dilation: int) -> Pattern:
    """Which of `length` entries each of `out` windows sees, along one axis."""
    place = np.arange(out)[:, None] * stride + np.arange(window)[None] * dilation - low
    entry = place // own_dilation
    there = (place % own_dilation == 0) & (entry >= 0) & (entry < length)
    rows = np.broadcast_to(np.arange(out)[:, None], place.shape)[there]
    return of_entries(rows, entry[there], (out, length))


def window_sums(equation: JaxprEqn) -> Pattern:
    """The entries that each sum over a window has."""
    shapes = zip(shape_of(equation.invars[0]), shape_of(equation.outvars[0]), strict=True)
    names = ("window_dimensions", "window_strides", "padding", "window_dilation", "base_dilation")
    settings = zip(*(equation.params[name] for name in names), strict=True)
    axes = zip(shapes, settings, strict=True)
    return reduce(kronecker, [_seen(n, out, size, s, low, d, own) for (n, out), (size, s, (low, _), d, own) in axes])


def convolution(equation: JaxprEqn) -> Pattern:
    """The entries that each entry of a convolution sees, with any kernel."""
    params: dict[str, Any] = equation.params
    dims = params["dimension_numbers"]
    x, kernel, out = (shape_of(atom) for atom in (*equation.invars, equation.outvars[0]))
    features, channels = x[dims.lhs_spec[1]], out[dims.out_spec[1]]
    batch, batch_out = x[dims.lhs_spec[0]], out[dims.out_spec[0]]
    groups, batch_groups = params["feature_group_count"], params["batch_group_count"]
    # group by group: a block of channels sees a block of features, or of the batch
    seen = of_matrix(np.kron(np.eye(groups), np.ones((channels // groups, features // groups))).astype(bool))
    same = of_matrix(np.eye(batch, dtype=bool))
    if batch_groups > 1:
        same = of_matrix(np.ones((batch_out, batch), bool))
    axes = []
    for i, (low, _) in enumerate(params["padding"]):
        window = kernel[dims.rhs_spec[2 + i]]
        settings = params["window_strides"][i], low, params["rhs_dilation"][i], params["lhs_dilation"][i]
        axes.append(_seen(x[dims.lhs_spec[2 + i]], out[dims.out_spec[2 + i]], window, *settings))
    terms = reduce(kronecker, [same, seen, *axes])
    return terms[_order(out, dims.out_spec)][:, _order(x, dims.lhs_spec)]


def _order(shape: Sequence[int], spec: Sequence[int]) -> np.ndarray:
    """For each entry its number when the axes are those of batch, channel, space."""
    turned = np.arange(np.prod(shape, dtype=int)).reshape([shape[axis] for axis in spec])
    return turned.transpose(np.argsort(spec)).reshape(-1)
