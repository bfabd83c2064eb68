"""How a log density is called, and how a density becomes one."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.captured import Watched, captured
from hype_ad.internal.checks import as_array, function
from jaxtyping import Array, ArrayLike, Float, PyTree

from ._custom_types import LogDensity, Position
from ._model import AbstractModel


def check_logdensity(logdensity: LogDensity) -> LogDensity:
    """`logdensity` with its numbers as arrays, if it is a function, else a TypeError."""
    return numbers_as_arrays(function("logdensity", logdensity, "a function of a position"))


def watched_logdensity(logdensity: LogDensity, name: str = "logdensity") -> Watched:
    """`logdensity` for a program that is compiled anew when what it reads beside its arguments has changed.

    Of a model that is what the user's function reads. A TypeError if it is not a function.
    """
    checked = numbers_as_arrays(function(name, logdensity, "a function of a position"))
    source: Any = logdensity.source() if isinstance(logdensity, AbstractModel) else logdensity
    return Watched(checked, captured(*(source if type(source) is tuple else (source,))))


def numbers_as_arrays(tree: PyTree) -> PyTree:
    """The tree with Python floats and NumPy arrays as JAX arrays, which a compiled program takes as arguments."""
    numbers = (float, np.ndarray, np.generic)
    return jax.tree.map(lambda leaf: as_array(leaf) if isinstance(leaf, numbers) else leaf, tree)


def as_pytree(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a pytree whose leaves are arrays alone, which a compiled program can give back."""
    return jax.tree_util.Partial(f) if jax.tree_util.all_leaves([f]) else f


def value_and_gradient(logdensity: LogDensity, position: Position) -> tuple[Float[Array, ""], Position]:
    """The log density and its gradient at a position; a ValueError or TypeError if it is not one real float."""
    return jax.value_and_grad(lambda x: value(logdensity, x))(position)


def value(logdensity: LogDensity, position: Position, name: str = "logdensity") -> Float[Array, ""]:
    """The log density at a position; a ValueError or TypeError if it is not one real float."""
    result = logdensity(position)
    try:
        number = jnp.asarray(result)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must give one number for one position, got {type(result).__name__}.") from error
    if number.shape != ():
        raise ValueError(
            f"`{name}` must give one number for one position, got an array of shape {number.shape}. "
            "Sum over the data inside it."
        )
    if not jnp.issubdtype(number.dtype, jnp.floating):
        raise TypeError(f"`{name}` must give a real float, got dtype {number.dtype}.")
    return number


def log_of(density: Callable[[Any], ArrayLike]) -> Callable[[Any], Float[Array, ""]]:
    r"""The logarithm of a density, $-\infty$ where it is zero or below.

    For those who have a density, as the original wanted it. A density underflows where its logarithm does not: write
    the log density where you can.

    Examples:
        >>> import jax.numpy as jnp
        >>> from hype_mcmc import log_of
        >>> print(f"{log_of(lambda x: jnp.exp(-x))(2.0):.1f}")
        -2.0

    Args:
        density: from a position to one number at least 0, up to a factor. A callable pytree stays one.

    Returns:
        A log density: a pytree that holds `density`.

    Raises:
        TypeError: if `density` is not callable.
    """
    return jax.tree_util.Partial(_logarithm, function("density", density, "a function of a position"))


def _logarithm(density: Callable[[Any], ArrayLike], x: Position) -> Float[Array, ""]:
    value = jnp.asarray(density(x))
    inside = value > 0
    # A NaN density stays NaN, which is then rejected; the inner `where` keeps 1 / 0 out of the derivative.
    outside = jnp.where(jnp.isnan(value), value, -jnp.inf)
    return jnp.where(inside, jnp.log(jnp.where(inside, value, jnp.ones_like(value))), outside)
