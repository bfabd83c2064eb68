"""A number."""

from typing import ClassVar

from .base import AbstractTensor


class D(AbstractTensor):
    """A scalar: an array of floats of rank 0.

    Args:
        value: a number, or an array of rank 0. Python numbers take JAX's default float dtype.

    Raises:
        TypeError: if `value` is not a real number.
        ValueError: if `value` has a rank other than 0.
    """

    rank: ClassVar[int] = 0
