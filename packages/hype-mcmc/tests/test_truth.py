"""Whole runs by default settings, held to moments that are known, within Monte Carlo error at fixed keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, DiagonalMass, DynamicHMC, FixedSteps
from hype_mcmc._diagnostics import mean_ess

from .problems import BANANA, EIGHT_SCHOOLS, ILL_CONDITIONED, LOGISTIC, batched, sample

SETTINGS = {
    "banana": {"target_acceptance": 0.95, "num_samples": 2000},
    "logistic regression": {"num_warmup": 400, "num_samples": 500},
}


def assert_moments(draws, mean, sd, *, z=4.5):
    """Means of the draws and of their squared deviations, in units of their Monte Carlo errors."""
    draws = np.asarray(draws, np.float64)
    for i in range(draws.shape[2]):
        x = draws[:, :, i]
        for values, truth in ((x, mean[i]), ((x - mean[i]) ** 2, sd[i] ** 2)):
            error = values.std() / np.sqrt(mean_ess(values))
            assert abs(values.mean() - truth) < z * error, (i, values.mean(), truth, error)


@pytest.mark.parametrize(
    "posterior",
    [ILL_CONDITIONED, *(pytest.param(p, marks=pytest.mark.slow) for p in (BANANA, EIGHT_SCHOOLS, LOGISTIC))],
    ids=lambda p: p.name,
)
def test_a_plain_call_has_the_right_moments(posterior):
    run = sample(posterior.logdensity, posterior.x0, key=jax.random.key(1), **SETTINGS.get(posterior.name, {}))
    assert_moments(batched(posterior.quantities)(run.draws), posterior.mean, posterior.sd)
    assert max(np.max(leaf) for leaf in jax.tree.leaves(run.rhat())) < 1.02
    assert np.mean(np.asarray(run.divergences)) < 0.005


@pytest.mark.slow
def test_a_fixed_kernel_that_would_resonate_does_not_when_jittered():
    """Trajectories of one full turn of a standard normal: without jitter the chain stays near where it is."""
    logdensity = lambda x: -0.5 * jnp.sum(x**2)
    x0 = jnp.full((4, 5), 2.0)
    settings = {"key": jax.random.key(0), "num_warmup": 0, "num_samples": 1000, "chained": True}
    turn = 2 * np.pi / 40
    resonant = sample(logdensity, x0, HMC(turn, 40), **settings)
    jittered = sample(logdensity, x0, HMC(turn, FixedSteps(40, jitter=0.5)), **settings)
    assert np.mean(np.asarray(resonant.acceptance)) > 0.99
    assert np.max(resonant.ess()) < 100
    assert np.min(jittered.ess()) > 500
    assert_moments(jittered.draws[:, 100:], np.zeros(5), np.ones(5))


@pytest.mark.slow
def test_neals_funnel():
    """Without its centering it is a Gaussian; with it a plain call warns, and many chains of small steps are right."""
    width = 9

    def centered(x):
        return -(x[0] ** 2) / 18 - 0.5 * jnp.sum(x[1:] ** 2) * jnp.exp(-x[0]) - 0.5 * width * x[0]

    def non_centered(x):
        return -(x[0] ** 2) / 18 - 0.5 * jnp.sum(x[1:] ** 2)

    x0, key = jnp.zeros(width + 1), jax.random.key(4)
    good = sample(non_centered, x0, key=key, num_warmup=300, num_samples=500)
    assert_moments(good.draws[:, :, :1], [0.0], [3.0])
    assert not good.summary().warnings
    bad = sample(centered, x0, DynamicHMC(1.0, 1.0, DiagonalMass()), key=key, num_warmup=300, num_samples=500)
    assert bad.summary().warnings
    patient = sample(centered, x0, DynamicHMC(0.03, 6.0), key=key, num_warmup=0, num_samples=2000, num_chains=64)
    assert np.mean(np.asarray(patient.divergences)) < 1e-4
    assert patient.ess()[0] > 600
    assert_moments(patient.draws[:, 500:, :1], [0.0], [3.0])  # what is left out began near zero
