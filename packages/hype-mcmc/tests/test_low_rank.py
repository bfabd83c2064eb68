"""A mass of a diagonal and a few directions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import HMC, DynamicHMC, LowRankMass, expected_squared_jump

from .problems import gaussian, quartic, sample

N = 12
AXES = np.linalg.qr(np.random.default_rng(1).normal(size=(N, N)))[0]
DEVIATIONS = np.r_[20.0, 6.0, np.ones(N - 3), 0.1]
SCALE = np.geomspace(0.1, 10, N)
FACTOR = SCALE[:, None] * AXES * DEVIATIONS[None]
COVARIANCE = FACTOR @ FACTOR.T
TARGET = jax.tree_util.Partial(gaussian, jnp.asarray(np.linalg.inv(COVARIANCE)), jnp.ones(N))


def condition(mass, covariance):
    """Of a Gaussian in the coordinates that the mass makes."""
    root = np.linalg.cholesky(covariance)
    values = np.linalg.eigvalsh(root.T @ jax.vmap(mass.momentum)(jnp.eye(N)) @ root)
    return values[-1] / values[0]


@jax.jit
def fitted(mass, factor, noise):
    """The mass after draws and scores of a Gaussian."""
    draws = 1.0 + jnp.einsum("ij,tcj->tci", factor, noise)
    scores = -jnp.einsum("ij,tcj->tci", jnp.linalg.inv(factor @ factor.T), draws - 1.0)
    update = lambda statistics, pair: (mass.update(statistics, *pair), None)
    return mass.adapted(jax.lax.scan(update, mass.statistics(jnp.zeros(N)), (draws, scores))[0])


@pytest.mark.slow
def test_draws_and_scores_find_few_directions(key):
    """20,000 becomes less than 40: what is left is the noise of 60 draws, and the cutoff."""
    mass = LowRankMass(3).shaped(jnp.zeros(N))
    noise = jax.random.normal(key, (50, 4, N))
    assert condition(mass, COVARIANCE) > 20_000
    assert condition(fitted(mass, FACTOR, noise), COVARIANCE) < 40
    # Without a draw, and of draws that are all the same, nothing is learned and all is finite.
    for few in (noise[:0], 0 * noise):
        np.testing.assert_allclose(fitted(mass, FACTOR, few).scale, 1, rtol=1e-6)
        np.testing.assert_allclose(fitted(mass, FACTOR, few).stretch, 1, rtol=1e-6)


@pytest.mark.slow
def test_all_directions_are_found_where_none_stands_out(key):
    factor = AXES * np.geomspace(1.0, 0.01, N)
    found = {
        rank: fitted(LowRankMass(rank).shaped(jnp.zeros(N)), factor, jax.random.normal(key, (50, 4, N)))
        for rank in (3, N)
    }
    assert condition(found[N], factor @ factor.T) < 8 < 100 < condition(found[3], factor @ factor.T)


@pytest.mark.slow
def test_warm_up_finds_it(key):
    settings = {"key": key, "num_warmup": 400, "num_samples": 300}
    run = sample(TARGET, jnp.zeros(N), DynamicHMC(1.0, 1.0, LowRankMass(3)), **settings)
    assert condition(run.kernel.mass, COVARIANCE) < 40
    assert np.min(run.ess()) > 300
    assert np.mean(np.asarray(run.num_steps)) < 30
    assert np.max(np.abs(np.mean(np.asarray(run.draws), axis=(0, 1)) - 1) / np.sqrt(np.diag(COVARIANCE))) < 0.2


def test_a_rank_above_the_number_of_dimensions_is_that_number(key):
    mass = LowRankMass(10).shaped({"a": jnp.zeros(()), "b": jnp.zeros(2)})
    assert mass.rank == 3
    mass.check({"a": jnp.zeros(()), "b": jnp.zeros(2)})


def test_derivatives(key):
    positions = jax.random.normal(key, (3, 3))

    def jump(w):
        kernel = HMC(0.3, 3, LowRankMass(2, w["scale"], w["directions"], w["stretch"]))
        return expected_squared_jump(kernel, quartic, positions, key=key)

    point = {
        "scale": jnp.array([1.0, 0.5, 2.0]),
        "directions": jnp.array([[0.6, 0.8, 0.1], [0.0, 0.2, 1.0]]),
        "stretch": jnp.array([2.0, 0.5]),
    }
    assert_derivatives_match(jump, point, num_directions=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LowRankMass(0), "`rank` must be at least 1"),
        (lambda: LowRankMass(1, scale=np.ones(3)), "must be given together"),
        (lambda: LowRankMass(1, np.ones(3), np.ones((2, 3)), np.ones(1)), r"must have shapes \(n,\), \(1, n\) and"),
        (lambda: LowRankMass(1, -np.ones(3), np.ones((1, 3)), np.ones(1)), "`scale` must be positive"),
        (lambda: LowRankMass(1, np.ones(3), np.ones((1, 3)), np.zeros(1)), "`stretch` must be positive"),
        (lambda: HMC(0.1, 3, LowRankMass(2)).init(jnp.zeros(3), quartic), "`mass.scale` must be given but to `sample`"),
        (
            lambda: HMC(0.1, 3, LowRankMass(1, np.ones(2), np.ones((1, 2)), np.ones(1))).init(jnp.zeros(3), quartic),
            "`mass.scale` must have a number for each of the position, 3",
        ),
    ],
)
def test_what_is_no_mass_raises(make, message):
    with pytest.raises(ValueError, match=message):
        make()
