"""Simulation-based calibration (Talts et al. 2018), and biased samplers that it finds out.

Draw parameters from the prior and data from those; then the rank of the parameters among draws of the posterior is
uniform, whatever the model, if the sampler is right. So it is for any function of parameters and data; the log density
is one that sees much (Modrak et al. 2023).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, AbstractKernel, Bijection, FixedSteps, HMCState, Interval, Positive, Simplex
from jax.scipy.special import gammaln, xlogy
from scipy.stats import chi2

from .problems import sample

BINS = 8


@dataclass(frozen=True)
class Model:
    """A prior to draw from, data to draw given parameters, and the log density of both."""

    name: str
    prior: Callable[[Any], Any]
    data: Callable[[Any, Any], Any]
    logdensity: Callable[[Any, Any], Any]  # of data and parameters
    transform: Any = None


def normal(key, *shape):
    return jax.random.normal(key, shape)


def of_normal(x, mean=0.0, sd=1.0):
    return jnp.sum(-0.5 * ((x - mean) / sd) ** 2 - jnp.log(sd))


def split(function):
    """A function of several keys as one of a key."""
    return lambda key, *arguments: function(*jax.random.split(key, 4), *arguments)


SCALE = Model(
    "mean and scale",
    split(lambda a, b, c, d: {"mean": normal(a), "log_sd": 0.5 * normal(b)}),
    lambda key, x: x["mean"] + jnp.exp(x["log_sd"]) * normal(key, 5),
    lambda y, x: (
        of_normal(x["mean"])
        + of_normal(x["log_sd"], 0.0, 0.5)
        + of_normal(y, x["mean"], jnp.exp(x["log_sd"]) * jnp.ones(5))
    ),
)

ERRORS = np.array([0.5, 1.0, 1.5, 2.0])
SCHOOLS = Model(
    "varying effects",
    split(lambda a, b, c, d: {"mu": normal(a), "tau": jnp.abs(normal(b)), "effect": normal(c, 4)}),
    lambda key, x: x["mu"] + x["tau"] * x["effect"] + ERRORS * normal(key, 4),
    lambda y, x: sum(map(of_normal, x.values())) + of_normal(y, x["mu"] + x["tau"] * x["effect"], ERRORS),
    {"mu": None, "tau": Positive(), "effect": None},
)

FEATURES = np.random.default_rng(5).normal(size=(20, 3))
LOGISTIC = Model(
    "logistic regression",
    lambda key: 1.5 * normal(key, 3),
    lambda key, w: jnp.sign(jax.nn.sigmoid(FEATURES @ w) - jax.random.uniform(key, (20,))),
    lambda y, w: of_normal(w, 0.0, 1.5 * jnp.ones(3)) + jnp.sum(jax.nn.log_sigmoid(y * (FEATURES @ w))),
)


def series(key, x):
    step = lambda now, noise: (x["phi"] * now + x["sd"] * noise,) * 2
    return jax.lax.scan(step, jnp.zeros(()), normal(key, 12))[1]


def of_series(y, x):
    before = jnp.concatenate([jnp.zeros(1), y[:-1]])
    return of_normal(y, x["phi"] * before, x["sd"] * jnp.ones(12)) + jnp.log(x["sd"]) - x["sd"]


AUTOREGRESSION = Model(
    "autoregression",
    split(lambda a, b, c, d: {"phi": jax.random.uniform(a, minval=-1.0), "sd": jax.random.gamma(b, 2.0)}),
    series,
    of_series,
    {"phi": Interval(-1.0, 1.0), "sd": Positive()},
)

CONCENTRATION = np.array([0.8, 1.0, 3.0])
COUNTS = Model(
    "counts",
    lambda key: jax.random.dirichlet(key, CONCENTRATION),
    lambda key, p: jnp.sum(jax.nn.one_hot(jax.random.categorical(key, jnp.log(p), shape=(10,)), 3), axis=0),
    lambda y, p: jnp.sum(xlogy(CONCENTRATION - 1 + y, p) - gammaln(y + 1)),
    Simplex(),
)


def ranks_of(model, runs, settings, thin=1, transform=None):
    """Ranks of each number, and of the log density, among draws: of runs and quantities, and the most they can be.

    Draws are thinned, all chains together, to one less than a multiple of the bins.
    """
    transform = model.transform if transform is None else transform

    @jax.jit
    @jax.vmap
    def rank(key):
        prior_key, data_key, key = jax.random.split(key, 3)
        truth = model.prior(prior_key)
        posterior = jax.tree_util.Partial(model.logdensity, model.data(data_key, truth))
        start = model.prior(jax.random.key(1))
        draws = sample(posterior, start, key=key, transform=transform, **settings).draws
        flat = jax.tree.map(lambda x: x[:, ::thin].reshape(-1, *x.shape[2:]), draws)
        number = len(jax.tree.leaves(flat)[0])
        flat = jax.tree.map(lambda x: x[: number // BINS * BINS - 1], flat)
        below = jax.tree.map(lambda x, t: jnp.sum(x < t[None], axis=0).reshape(-1), flat, truth)
        below_density = jnp.sum(jax.vmap(posterior)(flat) < posterior(truth))
        return jnp.concatenate([*jax.tree.leaves(below), below_density[None]]), len(jax.tree.leaves(flat)[0])

    ranks, largest = rank(jax.random.split(jax.random.key(3), runs))
    return np.asarray(ranks), int(largest[0])


def deviance(ranks, largest):
    """The largest chi-square of any quantity's ranks in bins, and the bound that it passes once in a thousand."""
    counts = np.stack([np.bincount(column * BINS // (largest + 1), minlength=BINS) for column in ranks.T])
    expected = len(ranks) / BINS
    return np.max(np.sum((counts - expected) ** 2 / expected, axis=1)), chi2.ppf(1 - 1e-3 / len(counts), BINS - 1)


@pytest.mark.slow
@pytest.mark.parametrize("model", [SCALE, SCHOOLS, LOGISTIC, AUTOREGRESSION, COUNTS], ids=lambda m: m.name)
def test_a_plain_call_is_calibrated(model):
    found, bound = deviance(*ranks_of(model, 256, {}, thin=15))
    assert found < bound


class Unadjusted(AbstractKernel):
    """Hamiltonian Monte Carlo that takes every proposal: what it draws from is of another density."""

    kernel: HMC

    def init(self, position, logdensity):
        return self.kernel.init(position, logdensity)

    def step(self, key, state, logdensity):
        _, info = self.kernel.step(key, state, logdensity)
        end = info.proposal
        return HMCState(end.position, end.logdensity, end.logdensity_grad), info


def test_a_sampler_is_calibrated_and_without_its_accept_step_it_is_found_out():
    kernel = HMC(0.25, FixedSteps(6, jitter=0.3))
    settings: dict[str, Any] = {"num_warmup": 0, "num_samples": 64, "num_chains": 1, "thin": 2}
    found, bound = deviance(*ranks_of(SCALE, 256, settings | {"kernel": kernel}))
    assert found < bound
    found, bound = deviance(*ranks_of(SCALE, 256, settings | {"kernel": Unadjusted(kernel)}))
    assert found > 10 * bound


@pytest.mark.slow
def test_a_jacobian_left_out_is_found_out():
    wrong = {**SCHOOLS.transform, "tau": Bijection(jnp.exp, jnp.log, jnp.zeros_like)}
    settings: dict[str, Any] = {"num_warmup": 100, "num_samples": 64, "num_chains": 1, "thin": 3}
    found, bound = deviance(*ranks_of(SCHOOLS, 256, settings, transform=wrong))
    assert found > 2 * bound
