"""Operations that only move entries, on NumPy's arrays: on the numbers of entries they say where each comes from."""

from collections.abc import Callable
from typing import Any

import numpy as np


def _slice(params: dict[str, Any], x: np.ndarray) -> np.ndarray:
    strides = params["strides"] or [1] * x.ndim
    return x[tuple(map(slice, params["start_indices"], params["limit_indices"], strides))]


def _broadcast(params: dict[str, Any], x: np.ndarray) -> np.ndarray:
    wide = [1] * len(params["shape"])
    for axis, length in zip(params["broadcast_dimensions"], x.shape, strict=True):
        wide[axis] = length
    return np.broadcast_to(x.reshape(wide), params["shape"])


def _reshape(params: dict[str, Any], x: np.ndarray) -> np.ndarray:
    order = params["dimensions"]  # in which the axes are read, as for `reduce_prod`
    return (x if order is None else x.transpose(order)).reshape(params["new_sizes"])


MOVES: dict[str, Callable[[dict[str, Any], np.ndarray], np.ndarray]] = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "rev": lambda params, x: np.flip(x, params["dimensions"]),
    "slice": _slice,
    "squeeze": lambda params, x: np.squeeze(x, params["dimensions"]),
    "transpose": lambda params, x: x.transpose(params["permutation"]),
}
"""Those of one array, by the operation's name and parameters."""
