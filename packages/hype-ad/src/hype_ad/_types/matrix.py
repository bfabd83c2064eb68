"""A matrix."""

from typing import ClassVar

from .base import AbstractTensor


class DM(AbstractTensor):
    """A matrix: an array of floats of rank 2.

    Args:
        value: a sequence of rows (sequences of numbers, or `DV`s), or an array of rank 2. Python numbers take JAX's
            default float dtype.

    Raises:
        TypeError: if `value` does not consist of real numbers.
        ValueError: if `value` has a rank other than 2, or rows of different lengths.
    """

    rank: ClassVar[int] = 2
