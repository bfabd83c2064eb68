"""A vector."""

from typing import ClassVar

from .base import AbstractTensor


class DV(AbstractTensor):
    """A vector: an array of floats of rank 1.

    Args:
        value: a sequence of numbers or of `D`s, or an array of rank 1. Python numbers take JAX's default float dtype.

    Raises:
        TypeError: if `value` does not consist of real numbers.
        ValueError: if `value` has a rank other than 1.
    """

    rank: ClassVar[int] = 1
