"""The state of a tuning, which goes on from it bit for bit, also from a file."""

import os
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import instance
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from .._file.save import load
from .search import Search


class TuneState(eqx.Module):
    """Where a tuning is; a pytree of arrays.

    Attributes:
        searches: the searches, along a leading axis.
        start: where the tuning started, in unconstrained coordinates.
        key: what its seeds are drawn from.
        step: how many steps of the present schedule are made.
        values: the values of the steps of the present schedule, NaN where none is made.
        lost: in how many of the last steps, one after the other, only the gradients were not finite.
        trainings: what was computed, in plain trainings.
        seconds: how long it took, without compiling.
        compiling: how long compiling took, in seconds.
        smooths: from which step on gradients are smoothed; the number of steps, if they are not.
    """

    searches: Search
    start: PyTree
    key: PRNGKeyArray
    step: Int[Array, ""]
    values: Float[Array, "steps searches"]
    lost: Int[Array, ""]
    trainings: Float[Array, ""]
    seconds: Float[Array, ""]
    compiling: Float[Array, ""]
    smooths: Int[Array, ""]

    @property
    def is_done(self) -> bool:
        """Whether all steps of the schedule are made."""
        return int(self.step) >= self.values.shape[0]


def begin(points: PyTree, start: PyTree, key: PRNGKeyArray, steps: int) -> TuneState:
    """The state before the first step of searches from points along a leading axis."""
    searches = jax.vmap(Search.begin)(points)
    number = searches.returns.shape[0]
    zero = jnp.zeros(())
    integer = lambda n: jnp.full((), n, int)
    return TuneState(
        searches=searches,
        start=start,
        key=key,
        step=integer(0),
        values=jnp.full((steps, number), jnp.nan, float),
        lost=integer(0),
        trainings=zero,
        seconds=zero,
        compiling=zero,
        smooths=integer(steps),
    )


def read(path: str | os.PathLike[str], like: TuneState) -> TuneState | None:
    """The state in a file, if it is there; a ValueError if it is that of a tuning from another start or key."""
    if not Path(path).exists():
        return None
    try:
        found = load(path, like)
    except ValueError as error:
        error.add_note("To go on from a file, `steps` and `starts` must be those of the tuning in it, as `start` must.")
        raise
    data = lambda key: jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    same = eqx.tree_equal((found.start, data(found.key)), (like.start, data(like.key)))
    if not same:
        raise ValueError(
            f"`path` must be that of a tuning from this `start` with this `key`, or of no file yet; {path} is that of "
            "another one."
        )
    return found


def again(state: TuneState, key: PRNGKeyArray, steps: int) -> TuneState:
    """The state with another schedule before it, if its own is at its end."""
    if not state.is_done:
        return state
    fresh = begin(state.searches.point, state.start, key, steps)
    searches = replace(
        state.searches, sums=fresh.searches.sums, counts=fresh.searches.counts, damping=fresh.searches.damping
    )
    return replace(
        state,
        searches=searches,
        key=key,
        step=fresh.step,
        values=fresh.values,
        smooths=jnp.array(0 if int(state.smooths) < len(state.values) else steps),
    )


def check_state(state: TuneState, fresh: TuneState) -> TuneState:
    """The state, if it is that of a tuning of settings of these shapes."""
    instance("state", state, TuneState, "the `state` of what `tune` gave")
    shapes = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree)
    if shapes(state.start) != shapes(fresh.start):
        raise ValueError(
            f"`state` must be that of settings with the ranges {shapes(fresh.start)}, got one with "
            f"{shapes(state.start)}."
        )
    return state
