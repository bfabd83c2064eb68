"""Log evidences that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import AnnealedHMC, annealed_importance_sampling, sequential_monte_carlo

from .problems import gaussian

PRECISION = np.array([[2.0, 0.6], [0.6, 1.0]])
MEAN = np.array([1.0, -2.0])
LOG_EVIDENCE = np.log(2 * np.pi) - 0.5 * np.log(np.linalg.det(PRECISION))
SETTINGS = {"num_particles": 500, "num_runs": 4}


def within(evidence, truth, z=4.0):
    assert evidence.error < 0.1
    assert abs(float(evidence.log_evidence) - truth) < z * float(evidence.error) + 0.005


def mean_of(evidence, f):
    return np.sum(np.exp(evidence.log_weights) * f(np.asarray(evidence.draws)))


def test_annealed_importance_sampling_of_a_gaussian(key):
    target = jax.tree_util.Partial(gaussian, PRECISION, MEAN)
    sampler = AnnealedHMC(jnp.zeros(2), 1.5, step_size=0.3, num_steps=32)
    evidence = annealed_importance_sampling(sampler, target, key=key, num_draws=2000)
    within(evidence, LOG_EVIDENCE)
    np.testing.assert_allclose(np.sum(np.exp(evidence.log_weights)), 1, rtol=1e-9)
    assert 200 < evidence.effective_size() < 2000
    assert abs(mean_of(evidence, lambda x: x[:, 1]) - MEAN[1]) < 0.1
    # A draw of too few steps has a worse weight, and the error says so.
    hasty = annealed_importance_sampling(AnnealedHMC(jnp.zeros(2), num_steps=1), target, key=key, num_draws=2000)
    assert float(hasty.error) > 2 * float(evidence.error)


def two_modes(x):
    """A quarter of the mass at -4 and the rest at 4, and of the whole 3 in two dimensions."""
    left, right = (-0.5 * jnp.sum((x / s - c / s) ** 2) - 2 * jnp.log(s) for s, c in ((0.5, -4.0), (1.0, 4.0)))
    return jnp.logaddexp(left + jnp.log(0.25), right + jnp.log(0.75)) + jnp.log(3 / (2 * jnp.pi))


def test_sequential_monte_carlo_of_two_far_modes(key):
    evidence = sequential_monte_carlo(two_modes, jnp.zeros(2), 4.0, key=key, num_particles=1000)
    within(evidence, np.log(3.0))
    assert abs(mean_of(evidence, lambda x: x[:, 0] < 0) - 0.25) < 0.05
    assert abs(mean_of(evidence, lambda x: np.where(x[:, 0] > 0, x[:, 0], 0)) - 3.0) < 0.25
    assert np.all(np.asarray(evidence.num_stages) > 2)


@pytest.mark.slow
def test_the_derivative_of_the_log_evidence_is_that_of_its_formula(key):
    """Of minus half a determinant: -inverse / 2 in the precision; none in the mean."""

    def log_evidence(parameters):
        target = jax.tree_util.Partial(gaussian, *parameters)
        return sequential_monte_carlo(target, jnp.zeros(2), 2.0, key=key, **SETTINGS).log_evidence

    value, (precision, mean) = jax.value_and_grad(log_evidence)((jnp.asarray(PRECISION), jnp.asarray(MEAN)))
    assert abs(value - LOG_EVIDENCE) < 0.15
    np.testing.assert_allclose(precision, -0.5 * np.linalg.inv(PRECISION), atol=0.06)
    np.testing.assert_allclose(mean, 0, atol=0.15)


@pytest.mark.slow
def test_logistic_regression_against_quadrature(key):
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 2))
    sign = np.where(random.random(40) < 1 / (1 + np.exp(-x @ [1.0, -2.0])), 1.0, -1.0)

    def logdensity(w):
        return -jnp.sum(jax.nn.softplus(-sign * (x @ w))) - 0.125 * jnp.sum(w**2)

    grid = np.linspace(-8, 8, 401)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    truth = jax.scipy.special.logsumexp(jax.vmap(logdensity)(points)) + 2 * np.log(grid[1] - grid[0])
    within(sequential_monte_carlo(logdensity, jnp.zeros(2), 2.0, key=key), truth)
    sampler = AnnealedHMC(jnp.zeros(2), 2.0, step_size=0.2, num_steps=64)
    within(annealed_importance_sampling(sampler, logdensity, key=key), truth)


@pytest.mark.slow
def test_positions_are_pytrees_and_a_run_that_does_not_arrive_is_nan(key):
    target = lambda x: -0.5 * ((x["a"] - 100) ** 2 + jnp.sum(x["b"] ** 2)) * 1e4
    settings = {"key": key, "num_particles": 20, "num_runs": 2, "max_stages": 1}
    evidence = sequential_monte_carlo(target, {"a": 0.0, "b": jnp.zeros(2)}, **settings)
    assert evidence.draws["b"].shape == (40, 2)
    assert np.isnan(evidence.log_evidence)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_particles": 1}, "`num_particles` must be at least 2"),
        ({"num_runs": 0}, "`num_runs` must be at least 1"),
        ({"least_effective": 1.0}, "`least_effective` must be above 0 and below 1"),
        ({"scale": -1.0}, "`scale` must be positive"),
        ({"scale": np.ones(3)}, "`scale` must have the shapes of the mean"),
    ],
)
def test_settings_out_of_range_raise(settings, message, key):
    with pytest.raises(ValueError, match=message):
        sequential_monte_carlo(two_modes, jnp.zeros(2), key=key, **settings)
    with pytest.raises(ValueError, match="`num_draws` must be at least 2"):
        annealed_importance_sampling(AnnealedHMC(jnp.zeros(2)), two_modes, key=key, num_draws=1)


RATE = {"is": jnp.array(1.0)}


def exponential(x):
    return jnp.where(x > 0, -RATE["is"] * x, -jnp.inf)


@pytest.mark.slow
def test_a_density_may_be_zero_where_most_particles_begin(key):
    """The evidence of an exponential density is one over its rate, which is read anew."""
    evidence = sequential_monte_carlo(exponential, -2.0, 2.0, key=key, num_particles=2000)
    within(evidence, 0.0)
    assert np.all(np.asarray(evidence.draws) > 0)
    RATE["is"] = jnp.array(2.0)
    within(sequential_monte_carlo(exponential, -2.0, 2.0, key=key, num_particles=2000), -np.log(2.0))
