r"""Expectations over draws, as functions of the density that they are draws of.

Draws come from a program with accept and reject decisions, through which no derivative of an expectation passes. It
passes through weights instead: every draw gets the weight $w = p_a(x) / p_{a_0}(x)$, with $a_0$ the value of $a$ that
the draws were made with. At $a = a_0$ all weights are 1, so the value is the mean, and the derivative of
$\sum w g / \sum w$ is the covariance identity $E[\partial_a g] + \mathrm{Cov}(g, \partial_a \log p_a)$ (Gustafson
1996; Giordano, Broderick and Jordan 2018), whose constants of normalization cancel. Written with a `stop_gradient` for
$a_0$ (Foerster et al. 2018, "DiCE") it holds to any order, in reverse and forward mode.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.captured import watched
from hype_ad.internal.checks import function, integer, known
from hype_ad.internal.tree import at_least_single, cast_like
from jaxtyping import Array, Float, PyTree

from ._constrained import Constrained
from ._custom_types import LogDensity, Position
from ._devices import can_be_read
from ._logdensity import numbers_as_arrays, value, watched_logdensity
from ._model import AbstractModel
from ._position import as_position
from ._samples import Samples

_MIN_WORTH = 0.1  # of all draws: below, a few of them decide


def expectation(
    g: Callable[[Any], PyTree[Any]],
    draws: PyTree[Any],
    logdensity: LogDensity,
    *,
    drawn_from: LogDensity | None = None,
    batch_size: int = 128,
) -> PyTree[Array]:
    r"""The mean of `g` over draws, whose derivative is that of the expectation $E[g(x)]$ under the density.

    Its derivative in the floats of `logdensity` (a prior's scale, data, weights of examples) is their covariance with
    `g`, $\mathrm{Cov}(g, \partial \log p)$, and that in the floats of `g` the mean of $\partial g$; of higher orders
    likewise. Differentiable in both, in reverse and forward mode, to any order. The draws are constants: how they came
    about plays no part. It is as exact as the draws are many; `mcse` says how exact.

    Args:
        g: from a draw to a pytree of numbers; `True` and `False` count as 1 and 0.
        draws: a run of `sample`, or positions along two leading axes, chains and draws, that `logdensity` takes. For a
            model it has to be the run, which has both coordinates: those that the model takes, and those of its draws,
            which `g` is given.
        logdensity: from a position to one number, up to a constant, or a model. To have its derivatives, be inside of
            `jax.grad` with it: `jax.grad(lambda prior: expectation(g, run, Posterior(prior, data)))(prior)`.
        drawn_from: the log density that the draws are of, if that is not `logdensity`: then the draws have the
            weights of self-normalized importance sampling. Without a derivative.
        batch_size: how many draws are looked at together; memory grows with it.

    Returns:
        A pytree built like `g`'s. NaN if the weights are worth less than a tenth of the draws (their effective number
        is $(\sum w)^2 / \sum w^2$), or if the log density is not finite at one of its own draws; with a warning where
        values can be seen (not under `jit`).

    Raises:
        ValueError: if the draws do not share two leading axes, are no run and a density is a model, or are the run of a
            model and a density is none; if the log density is not one number or `batch_size` is below 1.
        TypeError: if `draws` is not made of floats, or an argument is not of its kind.
    """
    g = numbers_as_arrays(function("g", g, "a function of a position"))
    mean, worth = _expectation(watched(g), _check(draws, logdensity, drawn_from, batch_size))
    _warn(worth, "The expectation")
    return mean


def log_evidence_ratio(
    draws: PyTree[Any], logdensity: LogDensity, *, drawn_from: LogDensity | None = None, batch_size: int = 128
) -> Float[Array, ""]:
    r"""The logarithm of $Z / Z_0$, the evidence $Z = \int e^{\text{logdensity}}$ beside that of what was drawn from.

    Its value is 0 unless there is a `drawn_from`. What it is for is its derivative, that of the log evidence itself:
    by Fisher's identity $\partial \log Z = E[\partial \log p]$, with a normalized prior the derivative of the log
    marginal likelihood. Differentiable in the floats of `logdensity`, in reverse and forward mode, to any order (the
    second is Louis' identity).

    Args:
        draws: as in `expectation`.
        logdensity: with all constants that depend on what is differentiated; otherwise as in `expectation`.
        drawn_from: as in `expectation`.
        batch_size: as in `expectation`.

    Returns:
        The logarithm of the mean weight; NaN as in `expectation`.

    Raises:
        ValueError: as in `expectation`.
        TypeError: as in `expectation`.
    """
    ratio, worth = _log_evidence_ratio(_check(draws, logdensity, drawn_from, batch_size))
    _warn(worth, "The log evidence ratio")
    return ratio


def _warn(worth: Float[Array, ""], what: str) -> None:
    """Say why something is NaN, where values can be seen, and what helps."""
    worth = jax.lax.stop_gradient(worth)  # so that a derivative does not hide it
    if not can_be_read(worth) or worth >= _MIN_WORTH:
        return
    if np.isnan(worth):
        why = "`logdensity` or `drawn_from` is not finite at one of the draws"
    else:
        why = (
            f"the weights of the draws are worth {float(worth):.2g} of them, as `logdensity` is too far from what they "
            "were drawn from. Draw from a density nearer to it, such as itself, or go there in several steps; of the "
            "same model `logdensity` and `drawn_from` must have the same coordinates, `decentered` alike"
        )
    warnings.warn(f"{what} is NaN: {why}.", stacklevel=3)


def check_draws(draws: PyTree[Any]) -> Position:
    """The draws as arrays, if all of them have two leading axes of the same lengths."""
    draws = as_position("draws", draws)
    shapes = [leaf.shape for leaf in jax.tree.leaves(draws)]
    if len({shape[:2] for shape in shapes}) != 1 or len(shapes[0]) < 2:
        raise ValueError(f"`draws` must share two leading axes, chains and draws, got shapes {shapes}.")
    return draws


def _positions(draws: PyTree[Any], *densities: LogDensity) -> PyTree[Any]:
    """The draws in the coordinates that the densities take, which a number does not tell."""
    models = [isinstance(density, AbstractModel) for density in densities]
    if not isinstance(draws, Samples):
        if any(models):
            raise ValueError(
                "`draws` must be the run itself where a density is a model, as `sample` gives it: the draws alone do "
                "not say whether they are in the unconstrained coordinates that a model takes."
            )
        return draws
    if all(models):
        _check_centeredness(draws.model, densities[-1])
        return draws.unconstrained
    if any(models) or not (draws.model is None or isinstance(draws.model, Constrained)):
        raise ValueError(
            "`logdensity` and `drawn_from` must be models, such as `from_numpyro(model, data)`, for the run of one: a "
            "function does not say which coordinates it takes."
        )
    return draws.draws  # with a `transform` both are of the parameters themselves


def _check_centeredness(model: Any, source: Any) -> None:
    """A ValueError if the coordinates of a model that the draws are said to be of are called the same and are not."""
    before, now = (getattr(of, "centeredness", {}) for of in (model, source))
    for name in set(before) & set(now):
        if known(before[name]) and known(now[name]) and not np.allclose(before[name], now[name], rtol=0, atol=1e-3):
            raise ValueError(
                "The density that the draws are of (`drawn_from`, or else `logdensity`) must have the centeredness of "
                f"the run, {before[name]} for {name!r}, got {now[name]}: its coordinates are others. Give `decentered` "
                "that of the run, `run.model.centeredness`."
            )


class _Weighing(NamedTuple):
    """Draws of all chains along one axis, and the densities that weigh them."""

    draws: Position
    logdensity: LogDensity
    drawn_from: LogDensity | None
    batch_size: int


def _check(draws: PyTree[Any], logdensity: LogDensity, drawn_from: LogDensity | None, batch_size: int) -> _Weighing:
    """The arguments, with the draws cut off from what they were computed of."""
    positions = check_draws(_positions(draws, logdensity, logdensity if drawn_from is None else drawn_from))
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), positions)
    if drawn_from is not None:
        drawn_from = watched_logdensity(drawn_from, "drawn_from")
    number = jax.tree.leaves(flat)[0].shape[0]
    batch_size = min(integer("batch_size", batch_size, 1), number)
    return _Weighing(jax.lax.stop_gradient(flat), watched_logdensity(logdensity), drawn_from, batch_size)


@eqx.filter_jit
def _expectation(g: Callable[[Any], PyTree[Any]], given: _Weighing) -> tuple[PyTree[Array], Float[Array, ""]]:
    weights, worth, _, values = _weigh(g, given)

    def mean(values: Float[Array, "draws ..."]) -> Float[Array, "..."]:
        # About the mean, so that in the covariance nothing large cancels.
        center = jax.lax.stop_gradient(jnp.mean(values, axis=0, keepdims=True))
        w = weights.astype(values.dtype)
        return center[0] + jnp.tensordot(w, values - center, 1) / jnp.sum(w)

    return cast_like(jax.tree.map(mean, at_least_single(values)), values), worth


@eqx.filter_jit
def _log_evidence_ratio(given: _Weighing) -> tuple[Float[Array, ""], Float[Array, ""]]:
    weights, worth, log_scale, _ = _weigh(lambda x: (), given)
    return jnp.log(jnp.mean(weights)) + log_scale, worth


def _weigh(
    g: Callable[[Any], PyTree[Any]], given: _Weighing
) -> tuple[Float[Array, " draws"], Float[Array, ""], Float[Array, ""], PyTree[Float[Array, "draws ..."]]]:
    """The weights up to a factor, what part of the draws they are worth, the logarithm of the factor, and `g`."""
    draws, logdensity, drawn_from, batch_size = given
    model: Any = getattr(logdensity, "function", logdensity)
    as_draw = model.constrain if isinstance(model, AbstractModel) else lambda x: x

    @jax.checkpoint  # reverse mode keeps the draws, and nothing that the log density computes on its way
    def at(x: Position) -> tuple[Float[Array, ""], PyTree[Float[Array, "..."]]]:
        here = value(logdensity, x)
        reference = here if drawn_from is None else value(drawn_from, x, "drawn_from").astype(here.dtype)
        as_float = lambda y: y if jnp.issubdtype(y.dtype, jnp.floating) else y.astype(here.dtype)
        values = jax.tree.map(lambda y: as_float(jnp.asarray(y)), g(as_draw(x)))
        return here - jax.lax.stop_gradient(reference), values

    number = jax.tree.leaves(draws)[0].shape[0]
    # The last batch is filled up with the last draw, so that `at` is compiled once.
    rows = jnp.minimum(jnp.arange(-(-number // batch_size) * batch_size), number - 1).reshape(-1, batch_size)
    found = jax.lax.map(lambda rows: jax.vmap(at)(jax.tree.map(lambda x: x[rows], draws)), rows)
    log_ratios, values = jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:])[:number], found)
    log_ratios = at_least_single(log_ratios)
    log_scale = jax.lax.stop_gradient(jnp.max(log_ratios))
    weights = jnp.exp(log_ratios - log_scale)
    constant = jax.lax.stop_gradient(weights)
    worth = jnp.sum(constant) ** 2 / (weights.size * jnp.sum(constant**2))
    return weights * jnp.where(worth >= _MIN_WORTH, 1, jnp.nan), worth, log_scale, values
