r"""The evidence, $Z = \int e^{\text{logdensity}}$: annealed importance sampling, and sequential Monte Carlo.

Both carry draws of a Gaussian to the density. Annealed importance sampling moves each on its own along a schedule and
weighs it. Sequential Monte Carlo weighs all of them after each small change of temperature, which it makes as large as
the weights allow, and draws anew from the weighted ones before moving them: so particles go to where the mass is, and
far modes get their share of them.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import check_key, instance, integer
from hype_ad.internal.tree import ravel, unravel
from jax.scipy.special import logsumexp
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, PyTree

from ._annealing import AnnealedHMC
from ._checks import number
from ._custom_types import ChainKeys, LogDensity, Position
from ._hmc import HMC
from ._length import FixedSteps
from ._logdensity import watched_logdensity
from ._mass import DiagonalMass
from ._position import as_gaussian

_BISECTIONS = 40
_ACCEPTANCE = 0.8
_RATE = 1.0  # of the logarithm of the step size, in the acceptance


class Evidence(eqx.Module):
    """An estimate of the evidence, with the weighted draws behind it.

    Attributes:
        log_evidence: the logarithm of the estimate.
        error: its standard error: NaN of a single run of `sequential_monte_carlo`.
        draws: positions, along the leading axis.
        log_weights: their logarithmic weights, whose exponentials add up to 1.
        num_stages: temperatures above 0, of each run.
    """

    log_evidence: Float[Array, ""]
    error: Float[Array, ""]
    draws: PyTree[Float[Array, "draws ..."]]
    log_weights: Float[Array, " draws"]
    num_stages: Int[Array, " runs"]

    def effective_size(self) -> Float[Array, ""]:
        r"""$1 / \sum_i w_i^2$: how many draws of equal weight these are worth, if they were independent."""
        return jnp.exp(-logsumexp(2 * self.log_weights))


def annealed_importance_sampling(
    sampler: AnnealedHMC, logdensity: LogDensity, *, key: PRNGKeyArray, num_draws: int = 1000
) -> Evidence:
    r"""The evidence as the mean weight of an annealed sampler's draws (Neal 2001).

    The mean of the weights has the expectation $Z$ whatever the settings; how far a run is from it is their
    variance, and `error` is their relative standard error, as an error of $\log Z$. It is no use where few draws have
    nearly all of the weight: see `effective_size`. Everything is differentiable in the sampler and in the arrays of
    `logdensity` by the paths of the draws, in reverse and forward mode.

    Args:
        sampler: what draws; `elbo` can be climbed to make it a good one.
        logdensity: from a position to one number.
        key: what the draws are made from.
        num_draws: how many, at least 2.

    Raises:
        ValueError: if `num_draws` is below 2, `key` is missing or the log density is not one number.
        TypeError: if `num_draws` is not an integer, or another argument is not of its kind.
    """
    num_draws = integer("num_draws", num_draws, 2)
    instance("sampler", sampler, AnnealedHMC, "an `AnnealedHMC`")
    return _annealed(sampler, watched_logdensity(logdensity), check_key("key", key), num_draws)


@eqx.filter_jit
def _annealed(sampler: AnnealedHMC, logdensity: LogDensity, key: PRNGKeyArray, num_draws: int) -> Evidence:
    draws, weights = jax.vmap(lambda key: sampler.draw(key, logdensity))(jax.random.split(key, num_draws))
    log_evidence, error = _mean_weight(weights)
    stages = jnp.asarray([sampler.log_step_size.size], jnp.int32)
    return Evidence(log_evidence, error, draws, jax.nn.log_softmax(weights), stages)


def _mean_weight(log_weights: Float[Array, " n"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The logarithm of a mean of weights, and its standard error."""
    n = log_weights.size
    log_mean = logsumexp(log_weights) - np.log(n)
    relative = jnp.exp(log_weights - log_mean)
    return log_mean, jnp.std(relative, ddof=1) / np.sqrt(n)


def sequential_monte_carlo(
    logdensity: LogDensity,
    mean: PyTree[Any],
    scale: PyTree[Any] = 1.0,
    *,
    key: PRNGKeyArray,
    num_particles: int = 1000,
    num_runs: int = 4,
    num_steps: int = 8,
    num_moves: int = 2,
    least_effective: ArrayLike = 0.5,
    max_stages: int = 200,
) -> Evidence:
    r"""The evidence and draws by tempering particles from a Gaussian $q$ to the density (Del Moral et al. 2006).

    A stage goes from $\pi_\beta \propto q^{1 - \beta} e^{\beta \text{logdensity}}$ to the largest next $\beta$ at
    which the effective sample size of the weights is at least `least_effective` of the particles (Jasra et al. 2011),
    resamples them systematically and moves each by transitions of Hamiltonian Monte Carlo that leave the new density
    invariant, with the particles' standard deviations for a mass and a step size that follows their acceptance. $\hat
    Z$ is the product of the mean weights. What adapts makes it biased by about one over the number of particles.

    Independent runs give the error: `log_evidence` is the logarithm of the mean of their $\hat Z$ and `error` its
    standard error. It says nothing of what all runs have missed: `mean` and `scale` must cover the density.

    `log_evidence` is differentiable in the arrays of `logdensity`, to first order, by Fisher's identity
    $\partial \log Z = E[\partial \text{logdensity}]$ over the particles of the end, and not by their paths, which
    resampling breaks. Draws and weights are constants, and nothing is differentiable in `mean` and `scale`.

    Args:
        logdensity: from a position to one number.
        mean: mean of $q$, a position.
        scale: its standard deviations, one number or built like the position.
        key: what everything is drawn from.
        num_particles: of each run, at least 2.
        num_runs: how many independent runs.
        num_steps: leapfrogs of a transition.
        num_moves: transitions of a stage.
        least_effective: $\text{ESS} / N$ that a stage may go down to, above 0 and below 1. Higher is slower and
            better.
        max_stages: bound on the number of stages. A run that has not arrived by then has a `log_evidence` of NaN.

    Raises:
        ValueError: if a number is out of its range, a shape does not fit or `key` is missing.
        TypeError: if `mean` is not made of floats, or an argument is not of its kind.
    """
    logdensity = watched_logdensity(logdensity)
    mean, scale = as_gaussian(mean, scale)
    least = number("least_effective", least_effective, lambda x: (x > 0) & (x < 1), "above 0 and below 1")
    settings = _Settings(
        integer("num_particles", num_particles, 2),
        integer("num_steps", num_steps, 1),
        integer("num_moves", num_moves, 1),
        integer("max_stages", max_stages, 1),
    )
    keys = jax.random.split(check_key("key", key), integer("num_runs", num_runs, 1))
    return _sequential(logdensity, mean, scale, keys, least, settings)


class _Settings(NamedTuple):
    num_particles: int
    num_steps: int
    num_moves: int
    max_stages: int


class _Particles(NamedTuple):
    """The particles of one run at one temperature."""

    positions: Float[Array, "particles n"]
    beta: Float[Array, ""]
    log_evidence: Float[Array, ""]
    log_step_size: Float[Array, ""]
    stage: Int[Array, ""]


@eqx.filter_jit
def _sequential(
    logdensity: LogDensity,
    mean: Position,
    scale: Position,
    keys: ChainKeys,
    least: Float[Array, ""],
    settings: _Settings,
) -> Evidence:
    fixed = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, logdensity)
    center, width = jax.lax.stop_gradient((ravel(mean), ravel(scale)))
    f = lambda x: jnp.asarray(fixed(unravel(x, mean)), x.dtype)
    runs = jax.vmap(lambda key: _run(f, center, width, key, jax.lax.stop_gradient(least), settings))(keys)
    value, error = _mean_weight(runs.log_evidence)
    draws = jax.vmap(jax.vmap(lambda x: unravel(x, mean)))(runs.positions)
    draws = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), draws)
    weights = jnp.repeat(jax.nn.log_softmax(runs.log_evidence), settings.num_particles) - np.log(settings.num_particles)
    # Fisher's identity: a term of value zero with the derivative of the mean log density.
    densities = jax.vmap(lambda x: jnp.asarray(logdensity(x), value.dtype))(draws)
    slope = jnp.sum(jnp.where(weights > -jnp.inf, jnp.exp(weights) * densities, 0))  # none of a run that found nothing
    return Evidence(value + slope - jax.lax.stop_gradient(slope), error, draws, weights, runs.stage)


def _run(
    f: LogDensity,
    center: Float[Array, " n"],
    width: Float[Array, " n"],
    key: PRNGKeyArray,
    least: Float[Array, ""],
    settings: _Settings,
) -> _Particles:
    size, dtype = settings.num_particles, center.dtype

    def gaussian(x: Float[Array, " n"]) -> Float[Array, ""]:
        return -0.5 * jnp.sum(((x - center) / width) ** 2) - jnp.sum(jnp.log(width)) - 0.5 * x.size * np.log(2 * np.pi)

    def stage(now: _Particles) -> _Particles:
        resample_key, move_key = jax.random.split(jax.random.fold_in(key, now.stage + 1))
        ratios = jax.vmap(lambda x: f(x) - gaussian(x))(now.positions)
        ratios = jnp.where(jnp.isfinite(ratios), ratios, -jnp.inf)

        inside = ratios > -jnp.inf  # of those outside of the density's support none is left, however small the step
        weigh = lambda step: jnp.where(inside, step * jnp.where(inside, ratios, 0), -jnp.inf)

        def is_too_far(step: Float[Array, ""]) -> Array:
            log_weights = weigh(step)
            effective = 2 * logsumexp(log_weights) - logsumexp(2 * log_weights)
            return effective < jnp.log(least * jnp.sum(inside).astype(dtype))

        def bisect(_: Int[Array, ""], bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = 0.5 * (low + high)
            too_far = is_too_far(middle)
            return jnp.where(too_far, low, middle), jnp.where(too_far, middle, high)

        rest = 1 - now.beta
        low, _ = jax.lax.fori_loop(0, _BISECTIONS, bisect, (jnp.zeros((), dtype), rest))
        last = ~is_too_far(rest)
        step = jnp.where(last, rest, low)
        beta = jnp.where(last, jnp.ones((), dtype), now.beta + step)
        log_weights = weigh(step)
        log_evidence = now.log_evidence + logsumexp(log_weights) - np.log(size)

        chosen = _systematic(resample_key, jax.nn.softmax(log_weights))
        positions = now.positions[chosen]
        bridge = lambda x: (1 - beta) * gaussian(x) + beta * f(x)
        variance = jnp.var(positions, axis=0)
        variance = jnp.where(variance > 0, variance, width**2)

        def move(carry: tuple[Array, Array], i: Array) -> tuple[tuple[Array, Array], None]:
            positions, log_step_size = carry
            length = FixedSteps(settings.num_steps, jitter=0.5)
            kernel = eqx.tree_at(
                lambda kernel: (kernel.step_size, kernel.mass.diagonal),
                HMC(1.0, length, DiagonalMass(jnp.ones_like(center))),
                (jnp.exp(log_step_size), 1 / variance),
            )
            keys = jax.random.split(jax.random.fold_in(move_key, i), size)
            states = jax.vmap(lambda x: kernel.init(x, bridge))(positions)
            states, infos = jax.vmap(lambda key, state: kernel.step(key, state, bridge))(keys, states)
            change = _RATE * (jnp.mean(infos.acceptance_rate) - _ACCEPTANCE)
            return (states.position, log_step_size + change.astype(dtype)), None

        moves = jnp.arange(settings.num_moves, dtype=jnp.int32)
        (positions, log_step_size), _ = jax.lax.scan(move, (positions, now.log_step_size), moves)
        return _Particles(positions, beta, log_evidence, log_step_size, now.stage + 1)

    noise = jax.random.normal(jax.random.fold_in(key, 0), (size, center.size), dtype)
    positions = center[None] + width[None] * noise
    step_size = jnp.asarray(np.log(0.5 * center.size**-0.25), dtype)
    zero = jnp.zeros((), dtype)
    first = _Particles(positions, zero, zero, step_size, jnp.zeros((), jnp.int32))
    last = jax.lax.while_loop(lambda now: (now.beta < 1) & (now.stage < settings.max_stages), stage, first)
    return last._replace(log_evidence=jnp.where(last.beta < 1, jnp.nan, last.log_evidence))


def _systematic(key: PRNGKeyArray, weights: Float[Array, " n"]) -> Int[Array, " n"]:
    """Indices drawn with these probabilities, as evenly as one random number allows."""
    n = weights.size
    points = (jnp.arange(n, dtype=weights.dtype) + jax.random.uniform(key, (), weights.dtype)) / n
    cumulative = jnp.cumsum(weights)
    return jnp.minimum(jnp.searchsorted(cumulative / cumulative[-1], points), n - 1)
