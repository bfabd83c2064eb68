"""What a transform is: the way between numbers without bounds, where chains move, and values that have them."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PyTree


class AbstractTransform(eqx.Module):
    """A smooth bijection from unconstrained numbers onto the values that are allowed. A pytree: its floats are leaves.

    Those of this package act on one array. One of your own may act on a pytree of them: `sample(..., transform=)` hands
    it the part of the position at which it stands.
    """

    @abstractmethod
    def forward_and_log_det(self, y: PyTree[Array]) -> tuple[PyTree[Any], Float[Array, ""]]:
        """The value at `y`, and the logarithm of the absolute determinant of its Jacobian, of all numbers together."""

    @abstractmethod
    def inverse(self, x: PyTree[Any]) -> PyTree[Array]:
        """Where the value is `x`; not finite where `x` is not allowed."""
