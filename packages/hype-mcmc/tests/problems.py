"""Densities that the tests sample, as data."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import sample as sample_with_progress


@jax.jit
def quartic(x):
    """A log density that is no Gaussian: every derivative of a trajectory counts."""
    return -0.25 * jnp.sum(x**4) - 0.5 * jnp.sum((x[1:] - x[:-1]) ** 2)


@jax.jit
def quartic_of_tree(x):
    return quartic(jnp.concatenate([x["a"][None], x["b"]]))


def gaussian(precision, mean, x):
    return -0.5 * (x - mean) @ precision @ (x - mean)


@jax.jit
def standard_normal(x):
    return -0.5 * jnp.sum(x**2)


@dataclass(frozen=True)
class Posterior:
    """A density with the mean and standard deviation of some functions of its position.

    Moments are exact where there is a formula, otherwise from quadrature or a long run (said where they are given).
    """

    name: str
    logdensity: Callable[[Any], Any]
    x0: Any
    quantities: Callable[[Any], Any]  # from one position to an array
    mean: np.ndarray
    sd: np.ndarray


def _identity(x):
    return x


_deviations = np.logspace(0, -2, 100)
ILL_CONDITIONED = Posterior(
    "gaussian of condition 1e4",
    partial(lambda d, x: -0.5 * jnp.sum((x / d) ** 2), _deviations),
    np.zeros(100),
    _identity,
    np.zeros(100),
    _deviations,
)


def banana(x):
    return -0.5 * x[0] ** 2 - 0.5 * ((x[1] - x[0] ** 2) / 0.5) ** 2


BANANA = Posterior("banana", banana, np.zeros(2), _identity, np.array([0.0, 1.0]), np.array([1.0, np.sqrt(2 + 0.25)]))


_EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools(x):
    """Rubin (1981), non-centered, mu ~ N(0, 5), tau ~ half Cauchy(5) in its logarithm."""
    tau = jnp.exp(x["log_tau"])
    theta = x["mu"] + tau * x["effect"]
    prior = -0.5 * (x["mu"] / 5) ** 2 - jnp.log1p((tau / 5) ** 2) + x["log_tau"] - 0.5 * jnp.sum(x["effect"] ** 2)
    return prior - 0.5 * jnp.sum(((_EFFECTS - theta) / _ERRORS) ** 2)


def eight_schools_moments() -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of mu and log tau by quadrature: the effects are integrated out by hand."""
    mu, log_tau = np.meshgrid(np.linspace(-25, 35, 201), np.linspace(-12, 6, 301), indexing="ij")
    variance = _ERRORS[:, None, None] ** 2 + np.exp(2 * log_tau)
    logp = -0.5 * (mu / 5) ** 2 - np.log1p(np.exp(2 * log_tau) / 25) + log_tau
    logp = logp - 0.5 * np.sum((_EFFECTS[:, None, None] - mu) ** 2 / variance + np.log(variance), axis=0)
    weight = np.exp(logp - logp.max())
    weight /= weight.sum()
    means = [np.sum(weight * q) for q in (mu, log_tau)]
    return np.array(means), np.sqrt([np.sum(weight * (q - m) ** 2) for q, m in zip((mu, log_tau), means, strict=True)])


EIGHT_SCHOOLS = Posterior(
    "eight schools",
    eight_schools,
    {"mu": 0.0, "log_tau": 0.0, "effect": np.zeros(8)},
    lambda x: jnp.stack([x["mu"], x["log_tau"]]),
    *eight_schools_moments(),
)


@cache
def _breast_cancer():
    """569 cases, 30 standardized features and a constant, each times the sign of its class."""
    from sklearn.datasets import load_breast_cancer  # takes seconds, which all who import this module would spend

    x, y = load_breast_cancer(return_X_y=True)
    return np.column_stack([(x - x.mean(axis=0)) / x.std(axis=0), np.ones(len(x))]) * (2.0 * y - 1.0)[:, None]


def _logistic_regression(w):
    """With a standard normal prior."""
    return -jnp.sum(jax.nn.softplus(-_breast_cancer() @ w)) - 0.5 * jnp.sum(w**2)


# Moments from 128,000 draws of this package (smallest ESS 121,000), which agree with 16,000 of BlackJAX 1.7.1's NUTS to
# its Monte Carlo error (largest difference 0.013).
LOGISTIC = Posterior(
    "logistic regression",
    _logistic_regression,
    np.zeros(31),
    _identity,
    np.array(
        [
            -0.4699,
            -0.4712,
            -0.4624,
            -0.5498,
            -0.2389,
            0.5849,
            -0.9624,
            -1.0685,
            0.1061,
            0.4467,
            -1.4364,
            0.3222,
            -0.7811,
            -1.1787,
            -0.4337,
            0.7307,
            0.316,
            -0.3331,
            0.2991,
            0.819,
            -1.127,
            -1.4942,
            -0.9099,
            -1.121,
            -0.7202,
            -0.0234,
            -0.983,
            -1.036,
            -1.0515,
            -0.5314,
            0.2062,
        ]
    ),
    np.array(
        [
            0.8959,
            0.556,
            0.9013,
            0.921,
            0.6199,
            0.7959,
            0.8251,
            0.8273,
            0.5119,
            0.6763,
            0.7901,
            0.5014,
            0.7882,
            0.9222,
            0.4678,
            0.669,
            0.6177,
            0.6681,
            0.5302,
            0.6958,
            0.9206,
            0.6485,
            0.916,
            0.9314,
            0.6176,
            0.7775,
            0.7574,
            0.7863,
            0.5524,
            0.7144,
            0.4094,
        ]
    ),
)


sample = partial(sample_with_progress, silent=True)
step = eqx.filter_jit(lambda kernel, key, state, logdensity: kernel.step(key, state, logdensity))
init = eqx.filter_jit(lambda kernel, position, logdensity: kernel.init(position, logdensity))


def batched(function):
    """A function of one position, over chains and draws."""
    return jax.jit(jax.vmap(jax.vmap(function)))
