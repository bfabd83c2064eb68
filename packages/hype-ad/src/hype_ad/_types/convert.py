"""Between arrays and tensors."""

from .by_rank import of_rank
from .matrix import DM
from .scalar import D
from .to_array import TensorLike
from .to_array import to_array as to_array
from .vector import DV


def wrap(x: TensorLike) -> D | DV | DM:
    """Gives `x` the type of its rank.

    Args:
        x: anything that `to_array` accepts, of rank 0, 1 or 2.

    Returns:
        A `D`, `DV` or `DM` that holds the same floats.

    Raises:
        TypeError: if `x` does not consist of real numbers.
        ValueError: if the rank of `x` is above 2.
    """
    return of_rank(to_array(x))
