"""A vector."""

from collections.abc import Iterator

from jaxtyping import Array, Float

from .base import AbstractTensor
from .by_rank import TYPE_OF_RANK, checked, of_rank
from .scalar import D
from .to_array import TensorLike


class DV(AbstractTensor):
    """A vector: an array of floats of rank 1.

    Args:
        value: a sequence of numbers or of `D`s, or an array of rank 1. Python numbers take JAX's default float dtype.

    Raises:
        TypeError: if `value` does not consist of real numbers.
        ValueError: if `value` has a rank other than 1.
    """

    array: Float[Array, " n"]

    def __init__(self, value: TensorLike):
        self.array = checked("DV", value, 1)

    # Said again for type checkers: they know the elements by it.
    def __iter__(self) -> Iterator[D]:
        return map(of_rank, self.array)


TYPE_OF_RANK[1] = DV
