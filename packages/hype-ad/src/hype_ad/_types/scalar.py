"""A number."""

from jaxtyping import Array, Float

from .base import AbstractTensor
from .by_rank import TYPE_OF_RANK, checked
from .to_array import TensorLike


class D(AbstractTensor):
    """A scalar: an array of floats of rank 0.

    Args:
        value: a number, or an array of rank 0. Python numbers take JAX's default float dtype.

    Raises:
        TypeError: if `value` is not a real number.
        ValueError: if `value` has a rank other than 0.
    """

    array: Float[Array, ""]

    def __init__(self, value: TensorLike):
        self.array = checked("D", value, 0)


TYPE_OF_RANK[0] = D
