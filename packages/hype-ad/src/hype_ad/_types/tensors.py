"""The three tensor types, `D`, `DV` and `DM`, and `wrap`, which chooses among them by rank."""

from collections.abc import Iterator

from jaxtyping import Array, Float

from .base import AbstractTensor
from .by_rank import TYPE_OF_RANK, checked, of_rank
from .to_array import TensorLike


class D(AbstractTensor):
    """A scalar: an array of floats of rank 0.

    Examples:
        >>> from hype_ad import D
        >>> D(2.0) * 3 + 1
        D(7.0)

    Args:
        value: a number, or an array of rank 0. Python numbers take JAX's default float dtype.

    Raises:
        TypeError: if `value` is not a real number.
        ValueError: if `value` has a rank other than 0.
    """

    array: Float[Array, ""]

    def __init__(self, value: TensorLike):
        self.array = checked("D", value, 0)

    def __iter__(self) -> Iterator[AbstractTensor]:
        if self.ndim == 0:
            raise TypeError("A number has no elements to iterate over.")
        return map(of_rank, self.array)  # of a `D` that `vmap` gave an axis


class DV(AbstractTensor):
    """A vector: an array of floats of rank 1.

    Examples:
        >>> from hype_ad import DV
        >>> v = DV([1.0, 2.0])
        >>> v + 1, v @ v
        (DV([2. 3.]), D(5.0))

    Args:
        value: a sequence of numbers or of `D`s, or an array of rank 1. Python numbers take JAX's default float dtype.

    Raises:
        TypeError: if `value` does not consist of real numbers.
        ValueError: if `value` has a rank other than 1.
    """

    array: Float[Array, " n"]

    def __init__(self, value: TensorLike):
        self.array = checked("DV", value, 1)

    def __iter__(self) -> Iterator[D]:
        return map(of_rank, self.array)


class DM(AbstractTensor):
    """A matrix: an array of floats of rank 2.

    Examples:
        >>> from hype_ad import DM, DV
        >>> DM([[1.0, 2.0], [3.0, 4.0]]) @ DV([1.0, 1.0])
        DV([3. 7.])

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

    def __iter__(self) -> Iterator[DV]:
        return map(of_rank, self.array)


TYPE_OF_RANK.update({0: D, 1: DV, 2: DM})


def wrap(x: TensorLike) -> D | DV | DM:
    """Gives `x` the tensor type of its rank.

    Args:
        x: anything that `to_array` accepts, of rank 0, 1 or 2.

    Returns:
        A `D`, `DV` or `DM` that holds the same floats.

    Raises:
        TypeError: if `x` does not consist of real numbers.
        ValueError: if the rank of `x` is above 2.
    """
    return of_rank(x)
