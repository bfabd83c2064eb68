"""What is compiled for tuning: plain trainings at several points and seeds, and a step of the searches."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.tree import all_finite
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree, UInt32

from .._objective import as_scalar
from .._run.result import Result
from .._transform.spread import spread_vmap
from .gradient import AbstractGradient
from .search import Search, advance
from .settings import values

Keys = Key[Array, " seeds"] | UInt32[Array, "seeds 2"] | UInt32[Array, "seeds 4"]

Objective = Callable[[PyTree, PRNGKeyArray], Float[Array, ""] | Result]


class Trained(NamedTuple):
    """What is looked at of a training.

    Attributes:
        value: what is minimized: the number that the objective gives; of a `Result` its validation loss, or its loss.
        growth: how perturbations have grown in the whole training, in logarithms, if a `Result` says so.
    """

    value: Float[Array, "..."]
    growth: Float[Array, "..."] | None


def train_at(objective: Objective, rest: PyTree, point: PyTree, key: PRNGKeyArray) -> Trained:
    """A training with the settings at a point in unconstrained coordinates, at a seed."""
    found = objective(values(point, rest), key)
    if not isinstance(found, Result):
        return Trained(as_scalar("objective", found), None)
    loss = found.loss if found.valid_loss is None else found.valid_loss
    if found.sensitivity is None:
        return Trained(loss, None)
    history = found.sensitivity.history
    return Trained(loss, jnp.sum(jnp.where(jnp.isnan(history), 0, history)))


Devices = tuple[jax.Device, ...] | None


@eqx.filter_jit
def evaluate(objective: Objective, rest: PyTree, points: PyTree, keys: Keys, devices: Devices = None) -> Trained:
    """Plain trainings in one batch, each with a point and a seed of its own."""
    return _mapped(lambda point, key: train_at(objective, rest, point, key), devices)(points, keys)


@eqx.filter_jit
def step(
    objective: Objective,
    rest: PyTree,
    searches: Search,
    gradient: AbstractGradient,
    keys: Keys,
    rate: Float[Array, ""],
    quarter: Int[Array, ""],
    devices: Devices = None,
) -> tuple[Search, Float[Array, " searches"], Bool[Array, " searches"]]:
    """The searches after a step, the values that they met, and whether only the gradient there was not finite."""
    training = lambda point, key: train_at(objective, rest, point, key).value
    several = jax.tree.leaves(searches)[0].shape[0] > 1

    def one(search: Search) -> tuple[Search, Float[Array, ""], Bool[Array, ""]]:
        found, slope = _batched(lambda key: gradient(training, search.point, key), keys, None if several else devices)
        mean = lambda entries: jnp.mean(entries, axis=0)
        found, slope = mean(found), jax.tree.map(mean, slope)
        return advance(search, found, slope, rate, quarter), found, jnp.isfinite(found) & ~all_finite(slope)

    return _batched(one, searches, devices)


def _mapped(f: Callable, devices: Devices) -> Callable:
    return jax.vmap(f) if devices is None else spread_vmap(f, devices)


def _batched(f: Callable, xs: PyTree, devices: Devices) -> PyTree:
    """`f` over a batch, and for a batch of one without the cost of batching."""
    if jax.tree.leaves(xs)[0].shape[0] > 1:
        return _mapped(f, devices)(xs)
    only = f(jax.tree.map(lambda leaf: leaf[0], xs))
    return jax.tree.map(lambda leaf: leaf[None], only)
