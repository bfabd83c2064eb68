"""From an array to the tensor of its rank; apart from the types, because their operators need it."""

from typing import Any

from jaxtyping import Array, Float

from .to_array import TensorLike, to_array

TYPE_OF_RANK: dict[int, type] = {}
_KINDS = ("a number (rank 0)", "a vector (rank 1)", "a matrix (rank 2)")


def checked(name: str, value: TensorLike, rank: int) -> Float[Array, "..."]:
    """Gives what a user made a tensor from as an array, after a look at its rank.

    Raises:
        TypeError: if `value` does not consist of real numbers.
        ValueError: if the rank of `value` is not `rank`.
    """
    array = to_array(value)
    if array.ndim != rank:
        raise ValueError(f"{name} takes {_KINDS[rank]}, got rank {array.ndim}, shape {array.shape}")
    return array


def of_rank(array: Array) -> Any:
    """Gives `array` the type of its rank.

    It makes what the type's constructor makes, without the time that a dataclass takes: every operation passes here.

    Raises:
        TypeError: if `array` does not hold real numbers.
        ValueError: if the rank of `array` is above 2.
    """
    floats = to_array(array)
    if floats.ndim not in TYPE_OF_RANK:
        raise ValueError(
            f"a D, DV or DM has rank 0, 1 or 2, got rank {floats.ndim}, shape {floats.shape}: "
            "use `.array` to compute with arrays of any rank, or `jax.vmap` to add an axis"
        )
    tensor = object.__new__(TYPE_OF_RANK[floats.ndim])
    object.__setattr__(tensor, "array", floats)
    return tensor


def is_tensor(x: object) -> bool:
    """Whether `x` is a `D`, `DV` or `DM`."""
    return type(x) in TYPE_OF_RANK.values()
