"""A matrix."""

from collections.abc import Iterator

from jaxtyping import Array, Float

from .base import AbstractTensor
from .by_rank import TYPE_OF_RANK, checked, of_rank
from .to_array import TensorLike
from .vector import DV


class DM(AbstractTensor):
    """A matrix: an array of floats of rank 2.

    Args:
        value: a sequence of rows (sequences of numbers, or `DV`s), or an array of rank 2. Python numbers take JAX's
            default float dtype.

    Raises:
        TypeError: if `value` does not consist of real numbers.
        ValueError: if `value` has a rank other than 2, or rows of different lengths.
    """

    array: Float[Array, "rows cols"]

    def __init__(self, value: TensorLike):
        self.array = checked("DM", value, 2)

    # Said again for type checkers: they know the rows by it.
    def __iter__(self) -> Iterator[DV]:
        return map(of_rank, self.array)


TYPE_OF_RANK[2] = DM
