"""Indexing of a tensor: `tensor[index]`, the functional updates `tensor.at[index]`, and checks that JAX leaves out."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .by_rank import is_tensor, of_rank
from .signatures import Item
from .to_array import TensorLike


def check_index(index: object, shape: tuple[int, ...]) -> None:
    """Refuses an index that holds a float (a TypeError), or an integer that is out of range (an IndexError).

    JAX clamps an integer out of range to the nearest element. That is all it can do for a traced one; for a number it
    would be a wrong answer given quietly.
    """
    parts: tuple[object, ...] = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if isinstance(part, float) or is_tensor(part):
            raise TypeError(f"`index` must be made of integers, slices and arrays of integers, got {part!r}.")
    if not all(isinstance(part, int | np.integer | slice) for part in parts):
        return
    for axis, (part, length) in enumerate(zip(parts, shape, strict=False)):
        if isinstance(part, int | np.integer) and not -length <= part < length:
            raise IndexError(f"`index` must be in [-{length}, {length}) along axis {axis}, got {part}.")


def indexed() -> Item:
    """Makes the method of `tensor[index]`."""

    def method(self: Any, index: Any) -> Any:
        check_index(index, self.shape)
        return of_rank(self.array[index])

    return method


class Edits:
    """What `tensor.at` gives: functional updates such as `tensor.at[index].set(value)`, as arrays have them."""

    def __init__(self, array: Array):
        self._array = array

    def __getitem__(self, index: object) -> "Edit":
        check_index(index, self._array.shape)
        return Edit(self._array, index)


class Edit:
    """Updates at one index. Each method gives an updated copy, differentiable in the tensor and in the value.

    A Python number is weakly typed, so it takes the tensor's dtype; an array keeps its own and must match it.
    """

    def __init__(self, array: Array, index: Any):
        self._at = array.at[index]

    def set(self, value: TensorLike) -> Any:
        """Replaces the elements by `value`."""
        return of_rank(self._at.set(jnp.asarray(value)))

    def add(self, value: TensorLike) -> Any:
        """Adds `value` to the elements."""
        return of_rank(self._at.add(jnp.asarray(value)))

    def multiply(self, value: TensorLike) -> Any:
        """Multiplies the elements by `value`."""
        return of_rank(self._at.multiply(jnp.asarray(value)))

    def min(self, value: TensorLike) -> Any:
        """Takes the smaller of the elements and `value`."""
        return of_rank(self._at.min(jnp.asarray(value)))

    def max(self, value: TensorLike) -> Any:
        """Takes the larger of the elements and `value`."""
        return of_rank(self._at.max(jnp.asarray(value)))
