"""A vector."""

from jaxtyping import Array, Float

from .base import AbstractTensor
from .by_rank import TYPE_OF_RANK, checked
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


TYPE_OF_RANK[1] = DV
