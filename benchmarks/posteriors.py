"""Twelve posteriors of different kinds, to compare samplers on: log densities of one unconstrained vector each.

Data are from scikit-learn or simulated with a fixed seed. Priors are proper, scales are sampled as logarithms.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softplus
from jaxtyping import Array, Float
from sklearn.datasets import load_breast_cancer

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


class Posterior(NamedTuple):
    """A log density, and of how many numbers."""

    logdensity: Callable[[Float[Array, " n"]], Float[Array, ""]]
    dimensions: int


def normal(x: Array, scale: Array | float = 1.0) -> Array:
    """Log density of zero-mean normal numbers, up to a constant."""
    return -0.5 * jnp.sum((x / scale) ** 2) - jnp.sum(jnp.log(scale) * jnp.ones_like(x))


def half_cauchy(log_scale: Array, width: float) -> Array:
    """Log density of the logarithm of half-Cauchy numbers, up to a constant."""
    return jnp.sum(log_scale - softplus(2 * (log_scale - np.log(width))))


def single(x: np.ndarray) -> Array:
    return jnp.asarray(x, jnp.float32)


def ill_conditioned() -> Posterior:
    deviations = single(np.geomspace(1.0, 0.01, 100))
    return Posterior(lambda x: normal(x, deviations), 100)


def rotated() -> Posterior:
    n = 50
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    whiten = single(axes / np.geomspace(1.0, 1000**-0.5, n))
    return Posterior(lambda x: -0.5 * jnp.sum((x @ whiten) ** 2), n)


def autoregression() -> Posterior:
    """A stationary Gaussian sequence with correlation 0.95 from one to the next."""
    return Posterior(lambda x: -0.5 * x[0] ** 2 - 0.5 * jnp.sum((x[1:] - 0.95 * x[:-1]) ** 2) / (1 - 0.95**2), 100)


def banana() -> Posterior:
    return Posterior(lambda x: -0.5 * x[0] ** 2 - 0.5 * ((x[1] - x[0] ** 2) / 0.5) ** 2, 2)


def cancer() -> tuple[Array, Array]:
    x, y = load_breast_cancer(return_X_y=True)
    return single((x - x.mean(0)) / x.std(0)), single(2.0 * y - 1.0)


def logistic_regression() -> Posterior:
    x, sign = cancer()
    return Posterior(lambda w: normal(w) - jnp.sum(softplus(-sign * (x @ w[1:] + w[0]))), 31)


def sparse_regression() -> Posterior:
    """The same regression with a horseshoe prior (Carvalho, Polson and Scott 2010)."""
    x, sign = cancer()

    def logdensity(z: Array) -> Array:
        intercept, log_global, log_local, raw = z[0], z[1], z[2:32], z[32:]
        w = raw * jnp.exp(log_local + log_global)
        prior = normal(intercept, 2.5) + half_cauchy(log_global, 0.1) + half_cauchy(log_local, 1.0) + normal(raw)
        return prior - jnp.sum(softplus(-sign * (x @ w + intercept)))

    return Posterior(logdensity, 62)


def eight_schools() -> Posterior:
    """Rubin (1981), non-centered."""
    effects, errors = single(EFFECTS), single(ERRORS)

    def logdensity(z: Array) -> Array:
        mu, log_tau, raw = z[0], z[1], z[2:]
        prior = normal(mu, 5.0) + half_cauchy(log_tau, 5.0) + normal(raw)
        return prior + normal(effects - mu - jnp.exp(log_tau) * raw, errors)

    return Posterior(logdensity, 10)


def eight_schools_centered() -> Posterior:
    effects, errors = single(EFFECTS), single(ERRORS)

    def logdensity(z: Array) -> Array:
        mu, log_tau, theta = z[0], z[1], z[2:]
        prior = normal(mu, 5.0) + half_cauchy(log_tau, 5.0) + normal(theta - mu, jnp.exp(log_tau))
        return prior + normal(effects - theta, errors)

    return Posterior(logdensity, 10)


def eight_schools_moments() -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of mu and log tau by quadrature: the effects are integrated out by hand."""
    mu, log_tau = np.meshgrid(np.linspace(-25, 35, 401), np.linspace(-14, 6, 801), indexing="ij")
    variance = ERRORS[:, None, None] ** 2 + np.exp(2 * log_tau)
    logp = -0.5 * (mu / 5) ** 2 - np.log1p(np.exp(2 * log_tau) / 25) + log_tau
    logp = logp - 0.5 * np.sum((EFFECTS[:, None, None] - mu) ** 2 / variance + np.log(variance), axis=0)
    weight = np.exp(logp - logp.max())
    weight /= weight.sum()
    means = [np.sum(weight * q) for q in (mu, log_tau)]
    return np.array(means), np.sqrt([np.sum(weight * (q - m) ** 2) for q, m in zip((mu, log_tau), means, strict=True)])


def varying_intercepts() -> Posterior:
    """A line with an intercept of its own for each of 60 groups of 2 to 20 measurements, centered."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(60), rng.integers(2, 21, 60))
    slope_of = rng.normal(size=group.size)
    y = single(1.0 + rng.normal(0, 0.5, 60)[group] - 0.7 * slope_of + rng.normal(0, 0.8, group.size))
    x, group = single(slope_of), jnp.asarray(group)

    def logdensity(z: Array) -> Array:
        mu, slope, log_tau, log_sigma, intercept = z[0], z[1], z[2], z[3], z[4:]
        prior = normal(z[:2], 2.5) + half_cauchy(z[2:4], 1.0) + normal(intercept - mu, jnp.exp(log_tau))
        return prior + normal(y - intercept[group] - slope * x, jnp.exp(log_sigma))

    return Posterior(logdensity, 64)


def item_response() -> Posterior:
    """Two parameters for each of 20 questions, answered by 60 people of unknown ability."""
    rng = np.random.default_rng(2)
    ability, difficulty, log_slope = rng.normal(size=60), rng.normal(size=20), rng.normal(0, 0.4, 20)
    logits = np.exp(log_slope) * (ability[:, None] - difficulty)
    sign = single(np.where(rng.random((60, 20)) < 1 / (1 + np.exp(-logits)), 1.0, -1.0))

    def logdensity(z: Array) -> Array:
        ability, difficulty, log_slope = z[:60], z[60:80], z[80:]
        prior = normal(ability) + normal(difficulty, 1.5) + normal(log_slope, 0.5)
        return prior - jnp.sum(softplus(-sign * jnp.exp(log_slope) * (ability[:, None] - difficulty)))

    return Posterior(logdensity, 100)


def stochastic_volatility() -> Posterior:
    """100 returns whose log variance is a stationary sequence (Kim, Shephard and Chib 1998), non-centered."""
    rng = np.random.default_rng(3)
    h = np.zeros(100)
    for t in range(1, 100):
        h[t] = 0.95 * h[t - 1] + 0.3 * rng.normal()
    y = single(np.exp(-0.5 + h / 2) * rng.normal(size=100))

    def logdensity(z: Array) -> Array:
        mu, logit_phi, log_sigma, raw = z[0], z[1], z[2], z[3:]
        phi, sigma = jnp.tanh(logit_phi / 2), jnp.exp(log_sigma)
        first = raw[0] * sigma / jnp.sqrt(1 - phi**2)
        h = mu + jnp.append(first, sigma * raw[1:])
        h, _ = jax.lax.associative_scan(
            lambda a, b: (a[0] * b[1] + b[0], a[1] * b[1]), (h - mu, jnp.full_like(h, phi).at[0].set(0.0))
        )
        prior = normal(mu, 2.0) + normal(logit_phi - 3.0) + normal(log_sigma + 1.5, 0.7) + normal(raw)
        return prior + normal(y, jnp.exp((mu + h) / 2))

    return Posterior(logdensity, 103)


def local_level() -> Posterior:
    """100 counts whose log rate is a random walk of unknown step, centered."""
    rng = np.random.default_rng(4)
    counts = single(rng.poisson(np.exp(1.0 + np.cumsum(rng.normal(0, 0.15, 100)))))

    def logdensity(z: Array) -> Array:
        log_step, level = z[0], z[1:]
        prior = half_cauchy(log_step, 0.2) + normal(level[0], 2.0) + normal(level[1:] - level[:-1], jnp.exp(log_step))
        return prior + jnp.sum(counts * level - jnp.exp(level))

    return Posterior(logdensity, 101)


POSTERIORS = {
    "Gaussian, condition 1e4": ill_conditioned,
    "Gaussian, rotated": rotated,
    "autoregression": autoregression,
    "banana": banana,
    "logistic regression": logistic_regression,
    "sparse regression": sparse_regression,
    "eight schools": eight_schools,
    "eight schools, centered": eight_schools_centered,
    "varying intercepts": varying_intercepts,
    "item response": item_response,
    "stochastic volatility": stochastic_volatility,
    "local level": local_level,
}
