"""Checks of ranks, axes and lengths that the operations share."""

from typing import Any, SupportsIndex

from jaxtyping import Array, Float

from .._types.to_array import TensorLike, to_array
from ..internal.checks import integer

DESCRIPTIONS = ("a number", "a vector", "a matrix")
"""What a user calls an array of each rank."""


def check_rank(name: str, x: TensorLike, rank: int) -> Float[Array, "..."]:
    """`x` as an array; raises a ValueError unless it has this rank."""
    array = to_array(x, name)
    if array.ndim != rank:
        raise ValueError(f"`{name}` must be {DESCRIPTIONS[rank]}, got rank {array.ndim}, shape {array.shape}.")
    return array


def vector(name: str, x: TensorLike) -> Float[Array, " n"]:
    """`x` as an array; raises a ValueError unless it is a vector."""
    return check_rank(name, x, 1)


def matrix(name: str, x: TensorLike) -> Float[Array, "rows cols"]:
    """`x` as an array; raises a ValueError unless it is a matrix."""
    return check_rank(name, x, 2)


def square_matrix(name: str, x: TensorLike) -> Float[Array, "n n"]:
    """`x` as an array; raises a ValueError unless it is a square matrix."""
    array = to_array(x, name)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"`{name}` must be a square matrix, got shape {array.shape}.")
    return array


def check_axis(axis: Any, array: Float[Array, "..."], accepted: str = "an axis of `x`") -> None:
    """Raises a TypeError unless `axis` is an integer, and a ValueError unless `array` has this axis."""
    number = integer("axis", axis)
    if not -array.ndim <= number < array.ndim:
        raise ValueError(f"`axis` must be {accepted}, got {axis} for shape {array.shape}.")


def divisor(name: str, value: SupportsIndex, length: int, whole: str) -> int:
    """`value` as a Python integer; raises unless it divides `length`, the length of `whole`."""
    number = integer(name, value, 1)
    if length % number:
        raise ValueError(f"`{name}` must divide the length {length} of {whole}, got {number}.")
    return number
