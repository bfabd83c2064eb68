"""The tensor type of an array's rank, looked up in a table: methods need it, which are defined before the types are."""

from typing import Any

from jaxtyping import Array, Float

from .to_array import TensorLike, to_array

TYPE_OF_RANK: dict[int, type] = {}
"""Filled where the types are defined (`tensors.py`)."""

_DESCRIPTIONS = ("a number (rank 0)", "a vector (rank 1)", "a matrix (rank 2)")


def checked(name: str, value: TensorLike, rank: int) -> Float[Array, "..."]:
    """The argument of the constructor of `name`, as an array; raises a ValueError unless it has this rank."""
    array = to_array(value, "value")
    if array.ndim != rank:
        got = f"rank {array.ndim}, shape {array.shape}"
        raise ValueError(f"`value` of `{name}` must be {_DESCRIPTIONS[rank]}, got {got}.")
    return array


def of_rank(x: TensorLike) -> Any:
    """`x` as the tensor of its rank; raises a ValueError if that is above 2.

    It makes what the type's constructor makes, without the time that a dataclass takes: every operation ends here.
    """
    array = to_array(x)
    if array.ndim not in TYPE_OF_RANK:
        raise ValueError(
            f"A `D`, `DV` or `DM` must have rank 0, 1 or 2, got rank {array.ndim}, shape {array.shape}. "
            "Use `.array` to compute with arrays of any rank, or `jax.vmap` to add an axis."
        )
    tensor = object.__new__(TYPE_OF_RANK[array.ndim])
    object.__setattr__(tensor, "array", array)
    return tensor


def is_tensor(x: object) -> bool:
    """Whether `x` is a `D`, `DV` or `DM`."""
    return type(x) in TYPE_OF_RANK.values()


def in_kind(result: Float[Array, "..."], *operands: object) -> Any:
    """`result` as the tensor of its rank if one of `operands` is a tensor, else as it is."""
    return of_rank(result) if any(map(is_tensor, operands)) else result
