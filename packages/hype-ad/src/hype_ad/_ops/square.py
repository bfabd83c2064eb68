"""The argument check that linear algebra shares."""

from jaxtyping import Array, Float

from .._types.to_array import TensorLike, to_array


def square_matrix(name: str, a: TensorLike) -> Float[Array, "n n"]:
    """Gives `a` as an array.

    Raises:
        ValueError: if `a` is not a square matrix.
    """
    array = to_array(a)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"{name} must be a square matrix, got shape {array.shape}")
    return array


def matrix(name: str, a: TensorLike) -> Float[Array, "rows cols"]:
    """Gives `a` as an array.

    Raises:
        ValueError: if `a` is not a matrix.
    """
    array = to_array(a)
    if array.ndim != 2:
        raise ValueError(f"{name} must be a matrix, got rank {array.ndim}, shape {array.shape}")
    return array
