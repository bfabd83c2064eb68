"""Plain functions as layers."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray

from ._function import is_plain
from ._initializer import AbstractInitializer
from ._layer import AbstractStatelessLayer


def _plain(function: Callable[[Array], Any]) -> Callable[[Array], Any]:
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"`function` must be a function of an array, got {function!r}.")
    if not is_plain(function):
        raise TypeError(f"`function` is a pytree: make it an element of a FeedForward as it is, got {function!r}.")
    return function


class Activation(AbstractStatelessLayer):
    """A function of one example as a layer without weights.

    Args:
        function: any function of an array, such as `jnp.tanh`. It is static: another function compiles anew, and arrays
            that it closes over are baked in.

    Raises:
        TypeError: if `function` is not a function, or is a pytree, whose arrays would be lost.
    """

    function: Callable[[Array], Any] = eqx.field(static=True, converter=_plain)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """Apply the function."""
        return self.function(x)

    def init(self, key: PRNGKeyArray, initializer: AbstractInitializer | None = None) -> "Activation":
        """Itself: there is nothing to draw."""
        return self
