"""Where chains start: at given positions, or around one, each at a point from which a trajectory can leave."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from . import _tree
from ._kernel import HMCState
from ._logdensity import LogDensity, value_and_gradient
from ._tree import Position

_HALVINGS = 12


def start_at(position: Position, logdensity: LogDensity) -> tuple[HMCState, Bool[Array, ""]]:
    """The state of a chain at a position, and whether a trajectory can leave from there."""
    state = HMCState(position, *value_and_gradient(logdensity, position))
    return state, jnp.isfinite(state.logdensity) & _tree.all_finite(state.logdensity_grad)


def start_around(
    key: PRNGKeyArray, position: Position, logdensity: LogDensity, spread: Float[Array, ""]
) -> tuple[HMCState, Bool[Array, ""]]:
    """The state of a chain at a point near `position`, and whether a trajectory can leave `position` itself.

    The point is uniform within `spread` of each number of the position. Where a trajectory could not leave from it,
    the way to it is halved as often as needed, and at last `position` is taken. The tries do not wait for one
    another: no loop stands in the way of reverse mode.
    """
    noise = _tree.uniform(key, position)

    def usable(scale: Float[Array, ""]) -> Bool[Array, ""]:
        return start_at(_tree.axpy(scale, noise, position), logdensity)[1]

    factors = jnp.asarray([0.5**i for i in range(_HALVINGS)] + [0.0], spread.dtype)
    found = jax.lax.map(usable, jax.lax.stop_gradient(spread) * factors)
    scale = spread * jnp.where(jnp.any(found), factors[jnp.argmax(found)], 0.0)
    return start_at(_tree.axpy(scale, noise, position), logdensity)[0], found[-1]
