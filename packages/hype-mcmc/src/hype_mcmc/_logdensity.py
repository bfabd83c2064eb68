"""How a log density is called, and how a density becomes one."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from . import _tree
from ._tree import Position

LogDensity = Callable[[Any], Any]
"""From a position to one number, up to a constant.

Of a pytree that is callable (`jax.tree_util.Partial`, an Equinox module) the arrays are passed as arguments, so that
new data of the same shapes does not recompile.
"""


def check_logdensity(logdensity: LogDensity) -> LogDensity:
    """`logdensity` with its numbers as arrays, if it is a function.

    Raises:
        TypeError: if it is not.
    """
    if not callable(logdensity):
        raise TypeError(f"`logdensity` must be a function of a position, got {type(logdensity).__name__}.")
    return _tree.numbers_as_arrays(logdensity)


def value_and_gradient(logdensity: LogDensity, position: Position) -> tuple[Float[Array, ""], Position]:
    """The log density and its gradient at a position.

    Raises:
        ValueError: if the log density is not one number.
        TypeError: if it is no number, or not a real float.
    """

    def checked(x: Position) -> Float[Array, ""]:
        result = logdensity(x)
        try:
            value = jnp.asarray(result)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"`logdensity` must give one number for one position, got {type(result).__name__}."
            ) from error
        if value.shape != ():
            raise ValueError(
                f"`logdensity` must give one number for one position, got an array of shape {value.shape}. "
                "Sum over the data inside it."
            )
        if not jnp.issubdtype(value.dtype, jnp.floating):
            raise TypeError(f"`logdensity` must give a real float, got dtype {value.dtype}.")
        return value

    return jax.value_and_grad(checked)(position)


class _LogOf(eqx.Module):
    density: Callable[[Any], ArrayLike]

    def __call__(self, x: Position) -> Float[Array, ""]:
        value = jnp.asarray(self.density(x))
        inside = value > 0
        # A NaN density stays NaN, which is then rejected; the inner `where` keeps 1 / 0 out of the derivative.
        outside = jnp.where(jnp.isnan(value), value, -jnp.inf)
        return jnp.where(inside, jnp.log(jnp.where(inside, value, jnp.ones_like(value))), outside)


def log_of(density: Callable[[Any], ArrayLike]) -> Callable[[Any], Float[Array, ""]]:
    r"""The logarithm of a density, $-\infty$ where it is zero or below.

    For those who have a density, as the original wanted it. A density underflows where its logarithm does not: write
    the log density where you can.

    Args:
        density: from a position to one number at least 0, up to a factor. A callable pytree stays one.

    Returns:
        A log density: a pytree that holds `density`.

    Raises:
        TypeError: if `density` is not callable.
    """
    if not callable(density):
        raise TypeError(f"`density` must be a function of a position, got {type(density).__name__}.")
    return _LogOf(density)
