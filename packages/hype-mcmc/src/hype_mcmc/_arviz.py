"""Draws and what belongs to them as ArviZ's data, of either of its generations."""

import importlib.metadata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.captured import watched
from hype_ad.internal.checks import as_array, check_key, function
from jaxtyping import Array, PRNGKeyArray, PyTree

from ._model import Predictive
from ._names import named

_CHUNK = 64  # draws that a function is mapped over at once, so that what it computes on the way stays small


def inference_data(
    draws: PyTree[Array],
    statistics: Mapping[str, np.ndarray],
    predictive: Predictive,
    key: PRNGKeyArray | None,
    coords: Mapping[str, Sequence[Any]],
    dims: Mapping[str, Sequence[str]],
    groups: Collection[str] | None,
) -> Any:
    """An `InferenceData` or a `DataTree` with the groups that are wanted, of those that can be made.

    An ImportError if ArviZ is not installed; a ValueError if a key is missing or a group cannot be made.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError("`to_arviz` needs ArviZ: `pip install 'hype-mcmc[arviz]'`.") from error

    makers = _makers(draws, predictive, key)
    if groups is not None and (unknown := sorted({*groups} - {*makers, "posterior", "sample_stats"})):
        hint = " Predictions and draws of the prior need a `key`." if key is None else ""
        raise ValueError(f"`groups` must be of {['posterior', 'sample_stats', *makers]}, got {unknown}.{hint}")
    wanted = lambda name: groups is None or name in groups
    made = {"posterior": named(draws), "sample_stats": dict(statistics)}
    if taken := sorted({"chain", "draw"} & {*made["posterior"]}):
        raise ValueError(f"ArviZ has no place for quantities called {taken}, its dimensions: give them other names.")
    made = {name: group for name, group in made.items() if wanted(name)}
    bare = lambda name: "x" if name == "prior" else "y"  # an array is a draw, or data
    made |= {name: named(make(), bare(name), 0) for name, make in makers.items() if wanted(name)}
    named_axes = {"coords": dict(coords), "dims": {name: list(axes) for name, axes in dims.items()}}
    if int(importlib.metadata.version("arviz").split(".")[0]) >= 1:
        return arviz.from_dict(made, **named_axes)
    return arviz.from_dict(**made, **named_axes)


def _makers(
    draws: PyTree[Array], predictive: Predictive, key: PRNGKeyArray | None
) -> dict[str, Callable[[], PyTree[np.ndarray]]]:
    """What can be made beside the draws: for the name of a group a function that makes it."""
    shape = jax.tree.leaves(draws)[0].shape[:2]
    makers: dict[str, Callable[[], PyTree[np.ndarray]]] = {}
    if (log_likelihood := predictive.log_likelihood) is not None:
        function("log_likelihood", log_likelihood, "a function of a draw")
        makers["log_likelihood"] = lambda: _over_draws(log_likelihood, draws, shape)
    if predictive.observed_data is not None:
        makers["observed_data"] = lambda: jax.tree.map(np.asarray, predictive.observed_data)
    if predictive.posterior_predictive is None and predictive.prior is None:
        return makers

    keys = jax.random.split(check_key("key", key), 3)
    keys_for = lambda i, shape: jax.random.split(keys[i], shape)
    if (predict := predictive.posterior_predictive) is not None:
        function("posterior_predictive", predict, "a function of a key and a draw")
        new = lambda x: predict(*x)
        makers["posterior_predictive"] = lambda: _over_draws(new, (keys_for(0, shape), draws), shape)
    once = (1, shape[1])
    if (prior := predictive.prior) is not None:
        function("prior", prior, "a function of a key")
        makers["prior"] = lambda: _over_draws(prior, keys_for(1, once), once)
    if predict is not None and prior is not None:
        both = lambda x: predict(x[1], prior(x[0]))
        makers["prior_predictive"] = lambda: _over_draws(both, (keys_for(1, once), keys_for(2, once)), once)
    return makers


def _over_draws(f: Callable[[Any], Any], draws: PyTree[Array], shape: tuple[int, int]) -> PyTree[np.ndarray]:
    """A function of each draw, along two leading axes of this shape."""
    flat = jax.tree.map(lambda x: as_array(x).reshape(shape[0] * shape[1], *x.shape[2:]), draws)
    results = _mapped(watched(f), flat)
    return jax.tree.map(lambda x: np.asarray(x).reshape(*shape, *x.shape[1:]), results)


@eqx.filter_jit
def _mapped(f: Callable[[Any], Any], draws: PyTree[Array]) -> PyTree[Array]:
    """In batches of one size, of which the last is filled up with the last draw: so `f` is compiled once."""
    number = jax.tree.leaves(draws)[0].shape[0]
    batches = -(-number // _CHUNK)
    rows = jnp.minimum(jnp.arange(batches * -(-number // batches)), number - 1).reshape(batches, -1)
    results = jax.lax.map(lambda rows: jax.vmap(f)(jax.tree.map(lambda x: x[rows], draws)), rows)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:number], results)
