"""Going on with chains: what their states hold of the density must be of the density of the moment."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.captured import Watched
from hype_ad.internal.checks import known
from hype_ad.internal.tree import all_finite
from jaxtyping import Array, Bool, Float, PyTree

from ._custom_types import LogDensity, Position
from ._devices import can_be_read
from ._kernel import AbstractKernel
from ._position import check_same_shape
from ._samples import SamplerState

_OTHER_COORDINATES = (
    "`state` is of a run whose parameters had other coordinates than `logdensity` gives them: its chains would go on "
    "elsewhere."
)
_REMEDY = (
    "Give the same `transform`, or a model with the centeredness of the run, `run.model.centeredness`; or start at the "
    "parameters, with `x0=state.parameters` and `chained=True`."
)


def resume(kernel: AbstractKernel[Any, Any], logdensity: LogDensity, chains: PyTree) -> PyTree:
    """The states of chains, along the leading axis, to go on from with a density.

    With the density that they come from they are the same bit for bit, and their derivatives are with respect to the
    arrays of `logdensity` too. With another one they are new states at the same positions; a ValueError if it is known
    that a chain cannot leave its own.
    """
    states, usable = _states(kernel, logdensity, chains)
    if known(usable) and not np.all(np.asarray(usable)):
        wrong = np.flatnonzero(~np.asarray(usable))
        raise ValueError(
            f"`logdensity` and its gradient must be finite where the chains of `state` are; chains {wrong.tolist()} "
            f"have log densities {np.asarray(states.logdensity)[wrong].tolist()}. To sample a density of another "
            "support, start anew inside of it, without `state`."
        )
    return states


def check_same_coordinates(watched: Watched, state: SamplerState) -> None:
    """A ValueError if the positions of a state are known to stand for other parameters by the model of the moment."""
    if state.parameters is None:
        return
    try:
        moved = _moves(watched, state.chains.position, state.parameters)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{_OTHER_COORDINATES} {_REMEDY} {error}") from error
    if can_be_read(moved) and bool(moved):
        raise ValueError(f"{_OTHER_COORDINATES} {_REMEDY}")


@eqx.filter_jit
def _moves(watched: Watched, position: Position, parameters: PyTree[Array]) -> Bool[Array, ""]:
    """Whether the way there and the way back both lead elsewhere.

    One of them may: there by other data, of which a model tells something beside its parameters, back by the rounding
    of numbers that are next to a bound.
    """
    model: Any = watched.function
    there = jax.vmap(model.unconstrain)(parameters)
    check_same_shape("the unconstrained parameters", there, position, "positions of `state`")
    back = jax.vmap(model.constrain)(position)
    if isinstance(back, dict):
        names = [name for name in back if name in parameters and back[name].shape == parameters[name].shape]
        back, parameters = ({name: tree[name] for name in names} for tree in (back, parameters))
    return _differ(there, position) & _differ(back, parameters)


def _differ(trees: PyTree[Array], others: PyTree[Array]) -> Bool[Array, ""]:
    close = jax.tree.map(lambda x, y: jnp.all(jnp.isclose(x, y, rtol=1e-3, atol=1e-6)), trees, others)
    return ~jnp.all(jnp.stack(jax.tree.leaves(close)))


@eqx.filter_jit
def _states(
    kernel: AbstractKernel[Any, Any], logdensity: LogDensity, old: PyTree
) -> tuple[PyTree, Bool[Array, " chains"]]:
    new = jax.vmap(lambda position: kernel.init(position, logdensity))(old.position)
    floats = lambda state: eqx.filter(state, eqx.is_inexact_array)
    usable = jax.vmap(lambda state: jnp.isfinite(state.logdensity) & all_finite(floats(state)))
    if list(map(jnp.result_type, jax.tree.leaves(new))) != list(map(jnp.result_type, jax.tree.leaves(old))):
        return new, usable(new)
    same = _close(new.logdensity, old.logdensity)

    def choose(new: Array, old: Array) -> Array:
        if not eqx.is_inexact_array(new):
            return jnp.where(same, old, new)
        # What is not made of the position, such as a momentum that a kernel keeps, has its own derivative.
        kept = jnp.where(_close(new, old), _with_value(new, old), old)
        return jnp.where(same, kept, new)

    states = jax.tree.map(choose, new, old)
    return states, usable(states)


def _close(new: Float[Array, "chains ..."], old: Float[Array, "chains ..."]) -> Bool[Array, ""]:
    """Whether numbers of all chains differ by no more than rounding, which is relative to the largest of them."""
    finite = jnp.where(jnp.isfinite(old), jnp.abs(old), 0)
    rounding = float(jnp.finfo(old.dtype).eps) ** 0.75 * jnp.max(finite)
    return jnp.all((jnp.abs(new - old) <= rounding) | (new == old))


@jax.custom_jvp
def _with_value(of_derivative: Array, value: Array) -> Array:
    return value


@_with_value.defjvp
def _with_value_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return primals[1], tangents[0]
