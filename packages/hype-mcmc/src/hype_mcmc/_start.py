"""Where chains start: at given positions, or around one, each at a point from which a transition can leave."""

import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.captured import Watched
from hype_ad.internal.checks import integer, known
from hype_ad.internal.tree import all_finite, axpy
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from ._custom_types import ChainKeys, LogDensity, Position
from ._kernel import AbstractKernel
from ._logdensity import watched_logdensity
from ._model import AbstractModel
from ._position import as_position, leading_axis
from ._random import uniform
from ._rounding import rounding
from ._samples import SamplerState, Samples

_NUM_CHAINS = 4
_HALVINGS = 12


class Start(NamedTuple):
    """What chains begin with, along the leading axis."""

    states: PyTree
    usable: Bool[Array, "..."]  # whether a transition can leave from the position that was given
    warmup_keys: ChainKeys  # what each draws from in warm-up
    keys: ChainKeys  # what each draws from afterwards


@eqx.filter_jit
def start(
    kernel: AbstractKernel[Any, Any],
    logdensity: LogDensity,
    x0: Position,
    key: PRNGKeyArray,
    spread: Float[Array, ""],
    chains: Int[Array, " chains"],
    chained: bool,
    given: bool,
) -> Start:
    """Start chains with these numbers, at `x0` if it is `chained`, else around it.

    A transition must be able to leave `x0` itself if it was `given`, else one of the points that are tried.
    """

    def start_one(chain: Int[Array, ""], position: Position) -> Start:
        start_key, warmup_key, draw_key = jax.random.split(jax.random.fold_in(key, chain), 3)
        if chained:
            state, usable = _start_at(kernel, position, logdensity)
        else:
            state, found = _start_around(start_key, kernel, position, logdensity, spread)
            usable = found[-1] if given else jnp.any(found)
        return Start(state, usable, warmup_key, draw_key)

    return jax.vmap(start_one, (0, 0 if chained else None))(chains, x0)


def _start_at(
    kernel: AbstractKernel[Any, Any], position: Position, logdensity: LogDensity
) -> tuple[PyTree, Bool[Array, ""]]:
    """The state of a chain at a position, and whether a transition can leave from there."""
    state = kernel.init(position, logdensity)
    return state, jnp.isfinite(state.logdensity) & all_finite(eqx.filter(state, eqx.is_inexact_array))


def _start_around(
    key: PRNGKeyArray,
    kernel: AbstractKernel[Any, Any],
    position: Position,
    logdensity: LogDensity,
    spread: Float[Array, ""],
) -> tuple[PyTree, Bool[Array, " tries"]]:
    """The state of a chain at a point near `position`, and from which of those tried a transition can leave.

    The last of them is `position` itself. The point is uniform within `spread` of each number of the position. Where a
    transition could not leave from it, the way to it is halved as often as needed, and at last `position` is taken.
    The tries do not wait for one another: no loop stands in the way of reverse mode.
    """
    noise = uniform(key, position)

    def usable(scale: Float[Array, ""]) -> Bool[Array, ""]:
        return _start_at(kernel, axpy(scale, noise, position), logdensity)[1]

    factors = jnp.asarray([0.5**i for i in range(_HALVINGS)] + [0.0], spread.dtype)
    found = jax.lax.map(usable, jax.lax.stop_gradient(spread) * factors)
    scale = spread * jnp.where(jnp.any(found), factors[jnp.argmax(found)], 0.0)
    return _start_at(kernel, axpy(scale, noise, position), logdensity)[0], found


def number_of_chains(x0: Position, num_chains: int | None, chained: bool) -> int:
    """How many chains start at `x0`; a ValueError if that is not `num_chains`, or if leading axes differ."""
    if num_chains is not None:
        num_chains = integer("num_chains", num_chains, 1)
    if not chained:
        return _NUM_CHAINS if num_chains is None else num_chains
    size = leading_axis("With `chained=True` the arrays of `x0`", x0)
    if num_chains not in (None, size):
        raise ValueError(f"`num_chains` must be the leading axis of `x0`, {size}, or be left out; got {num_chains}.")
    return size


def start_at(model: AbstractModel | None, x0: PyTree[Any], state: Any, chained: bool) -> Position:
    """The position that is meant by `x0`, in unconstrained coordinates.

    A ValueError if it is not given and not known, or if it is known not to be what the model allows; a TypeError if it
    is not made of floats.
    """
    if x0 is None:
        x0 = None if model is None or chained else model.initial()
        if x0 is None:
            raise ValueError(
                "`x0` must be given, a position around which chains start: it is not known from a model. A NumPyro "
                "model is given as `from_numpyro(model, data)`."
            )
        return x0
    if isinstance(x0, Samples | SamplerState):
        raise TypeError(
            f"`x0` must be a position, got {type(x0).__name__}. To go on with a run give `state=run.state`; to start "
            "at its last draws `x0=jax.tree.map(lambda x: x[:, -1], run.draws)` and `chained=True`."
        )
    x0 = as_position("x0", x0)
    if model is None:
        return x0
    position, back = _there_and_back(watched_logdensity(model), x0, chained)
    if state is None:
        if isinstance(x0, dict):  # both may tell more than what is looked at, which depends on other things as well
            looked_at = set(position) if isinstance(position, dict) and set(position) <= set(x0) else set(x0)
            x0, back = ({name: tree[name] for name in sorted(looked_at & set(back))} for tree in (x0, back))
        differs = lambda x, y: known(x) and known(y) and not np.allclose(x, y, rtol=1e-3, atol=1e-6)
        if any(jax.tree.leaves(jax.tree.map(differs, x0, back))):
            raise ValueError(f"`x0` must be within the constraints of its parameters, got {x0}.")
    return position


@eqx.filter_jit
def _there_and_back(watched: Watched, x0: PyTree[Array], chained: bool) -> tuple[Position, PyTree[Array]]:
    """The unconstrained coordinates of parameters, and the parameters that these stand for.

    In a compiled program, where no distribution of NumPyro complains of the NaN of a value that is not allowed.
    """
    batch = jax.vmap if chained else lambda function: function
    model: Any = watched.function
    position = batch(model.unconstrain)(x0)
    return position, batch(model.constrain)(position)


def check_start(start: Start, chained: bool, given: bool) -> None:
    """Check that chains can leave from where they were told to start: a ValueError if it is known that one cannot.

    A warning if all of them start at log densities that are too large for their precision.
    """
    values = jax.lax.stop_gradient(start.states.logdensity)  # so that a derivative does not hide them
    if not known(start.usable) or not known(values):
        return
    values = np.asarray(values)
    if np.all(np.asarray(start.usable)):
        smallest = float(np.min(np.abs(values)))
        if warning := rounding("Log densities at the start", smallest, values.dtype, 1.0):
            warnings.warn(warning, stacklevel=3)
        return
    if not given:
        raise ValueError(
            "`x0` must be given: around zero, in unconstrained coordinates, no point has a finite log density and "
            "gradient."
        )
    if not chained:
        raise ValueError(
            "`x0` must have a finite log density and gradient, got NaN or infinity there. "
            "Choose a position inside the support."
        )
    wrong = np.flatnonzero(~np.asarray(start.usable))
    raise ValueError(
        f"Each position of `x0` must have a finite log density and gradient; chains {wrong.tolist()} start with "
        f"log densities {values[wrong].tolist()}. Choose positions inside the support."
    )
