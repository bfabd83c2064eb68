"""What warm-up learns, piece by piece and as a whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, DenseMass, DiagonalMass, DynamicHMC, HMCInfo, Phase, RandomLength, UnitMass
from hype_mcmc._warmup.schedule import windows
from hype_mcmc._warmup.step_size import DualAveraging, follow_acceptance, harmonic_mean
from hype_mcmc._warmup.trajectory_length import TrajectoryLength

from .problems import gaussian, sample, standard_normal


def test_windows_are_those_of_stan_before_a_longer_end():
    schedule = windows(1000)
    np.testing.assert_array_equal(np.flatnonzero(schedule.close) + 1, [100, 150, 250, 450, 900])
    np.testing.assert_array_equal(schedule.collect, (np.arange(1000) >= 75) & (np.arange(1000) < 900))
    np.testing.assert_array_equal(schedule.cautious, np.arange(1000) < 100)
    np.testing.assert_array_equal(schedule.lengthen, np.arange(1000) < 900)


@pytest.mark.parametrize("num_warmup", [0, 1, 19, 20, 60, 124, 125, 126, 500, 3000])
def test_windows_of_any_number_fit(num_warmup):
    schedule = windows(num_warmup)
    assert all(len(part) == num_warmup for part in schedule)
    if num_warmup < 20:
        assert not np.any(schedule.close)
    else:
        assert np.any(schedule.close)
        last = np.flatnonzero(schedule.collect)[-1]
        assert schedule.close[last]
        assert np.all(np.diff(np.flatnonzero(schedule.collect)) == 1)


@pytest.mark.parametrize("start", [1e-3, 1.0, 100.0])
def test_dual_averaging_finds_the_step_of_a_known_acceptance(start):
    """Acceptance exp(-h^2) with target 0.8: h = sqrt(log 1.25)."""
    state = DualAveraging.start(jnp.log(start))
    target = jnp.asarray(0.8)
    state, _ = jax.lax.scan(
        lambda state, _: (state.update(jnp.exp(-jnp.exp(2 * state.log_step)), target), None), state, length=300
    )
    np.testing.assert_allclose(np.exp(state.log_average), np.sqrt(np.log(1.25)), rtol=0.05)


def test_a_chain_that_is_stuck_takes_smaller_steps_until_it_moves():
    acceptance = jnp.array([0.8, 0.8, 0.8, 0.0])
    scale = jnp.zeros(4)
    for _ in range(30):
        scale = follow_acceptance(scale, acceptance)
    assert scale[3] < np.log(0.1)
    assert np.all(scale[:3] < np.log(10))
    np.testing.assert_allclose(jnp.sum(scale), 0, atol=1e-12)  # the others make up for it
    for _ in range(100):
        scale = follow_acceptance(scale, jnp.full(4, 0.8))
    np.testing.assert_allclose(scale, 0, atol=0.05)


@pytest.mark.parametrize(
    "mass", [UnitMass(), DiagonalMass(np.ones(3)), DenseMass(np.eye(3))], ids=lambda m: type(m).__name__
)
def test_moments_are_those_of_numpy(mass, key):
    batches = 5.0 + jax.random.normal(key, (10, 4, 3)) * jnp.array([[[1.0, 2.0, 3.0]]])
    moments = mass.statistics(jnp.zeros(3))
    for batch in batches:
        moments = mass.update(moments, batch, jnp.zeros_like(batch))
    if isinstance(mass, UnitMass):
        assert moments == ()
        return
    flat = np.asarray(batches).reshape(-1, 3)
    assert moments.count == 40
    np.testing.assert_allclose(moments.mean, flat.mean(axis=0), rtol=1e-12)
    covariance = np.cov(flat.T)
    expected = covariance if isinstance(mass, DenseMass) else np.diag(covariance)
    np.testing.assert_allclose(moments.covariance(), expected, rtol=1e-12)


DEVIATIONS = np.array([0.01, 1.0, 30.0])
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
COVARIANCE = ROTATION @ np.diag([0.01, 1.0, 100.0]) @ ROTATION.T


def gaussian_run(covariance, kernel, key, num_chains=4):
    logdensity = jax.tree_util.Partial(gaussian, jnp.asarray(np.linalg.inv(covariance)), jnp.ones(3))
    run = sample(logdensity, jnp.zeros(3), kernel, key=key, num_samples=500, num_warmup=1000, num_chains=num_chains)
    assert 0.7 < np.mean(np.asarray(run.acceptance)) < 0.98
    assert int(run.warmup_steps) > 1000 * num_chains
    assert np.min(run.ess()) > 100 * num_chains
    return run


def test_a_plain_call_learns_step_size_mass_and_length(key):
    """Axes of very different widths, seen in units of themselves: then h is of order 1 and the length about 1.85."""
    run = gaussian_run(np.diag(DEVIATIONS**2), None, key)
    assert isinstance(run.kernel.length, RandomLength)
    assert isinstance(run.kernel.mass, DiagonalMass)
    np.testing.assert_allclose(np.sqrt(run.kernel.mass.diagonal) * DEVIATIONS, 1, rtol=0.25)
    assert 0.5 < run.kernel.step_size < 1.5
    assert 1.2 < run.kernel.length.mean < 3.0


@pytest.mark.slow
def test_a_dense_mass_learns_a_rotation(key):
    run = gaussian_run(COVARIANCE, DynamicHMC(1.0, 1.0, DenseMass(np.eye(3))), key)
    assert isinstance(run.kernel.mass, DenseMass)
    whitened = run.kernel.mass.cholesky.T @ COVARIANCE @ run.kernel.mass.cholesky
    np.testing.assert_allclose(np.linalg.eigvalsh(whitened), 1, atol=0.3)
    assert 1.2 < run.kernel.length.mean < 3.0


def test_a_length_does_not_shrink_below_a_part_of_the_width_of_the_draws(key):
    """Though every jump goes against the velocity; from a place where it is far shorter it comes back at once."""
    deviation = 3.0

    def back(momentum):
        zero, one, yes = jnp.zeros(()), jnp.ones(()), jnp.asarray(True)
        proposal = Phase(-momentum, momentum, zero, momentum)
        return HMCInfo(momentum, one, yes, ~yes, zero, zero, proposal, jnp.ones((), jnp.int32))

    infos = jax.vmap(back)(jnp.ones((8, 1)))

    def update(state, key):
        after = deviation * jax.random.normal(key, (8, 1))
        few, many = jnp.asarray(1e-3), jnp.asarray(1e3)
        return state.update(UnitMass(), jnp.zeros((8, 1)), after, infos, few, many, jnp.asarray(0.6)), None

    start = TrajectoryLength.start(jnp.asarray(0.01), jnp.zeros(1))
    state, _ = jax.lax.scan(update, start, jax.random.split(key, 300))
    np.testing.assert_allclose(np.exp(state.log_length), 0.6 * deviation, rtol=0.1)
    assert state.restart(UnitMass(), UnitMass()).variance == 0


@pytest.mark.slow
def test_the_length_follows_the_widest_direction(key):
    """With a unit mass all that can be adapted to a deviation of 10 is the length; one chain suffices for that."""
    run = gaussian_run(COVARIANCE, DynamicHMC(1.0, 1.0, UnitMass()), key, num_chains=1)
    assert isinstance(run.kernel.mass, UnitMass)
    assert 0.05 < run.kernel.step_size < 0.3
    assert 12 < run.kernel.length.mean < 30


def test_a_fixed_number_of_steps_stays(key):
    run = sample(standard_normal, jnp.zeros(2), HMC(1e-3, 4), key=key, num_warmup=19, num_samples=5)
    assert np.all(np.asarray(run.num_steps) == 4)
    assert run.kernel.step_size > 0.05


@pytest.mark.slow
def test_a_chain_that_starts_far_up_a_steep_wall_comes_down(key):
    """One of sixteen starts where the curvature is ten thousand times that of the rest."""
    logdensity = lambda x: -0.25 * jnp.sum(x**4)
    x0 = jax.random.normal(key, (16, 2)).at[3].set(100.0)
    run = sample(logdensity, x0, chained=True, key=key, num_warmup=300, num_samples=300)
    assert np.all(np.abs(run.draws) < 4)
    assert np.max(run.rhat()) < 1.05


def test_the_chain_that_accepts_least_has_the_largest_say():
    np.testing.assert_allclose(harmonic_mean(jnp.array([0.5, 1.0])), 2 / 3)
    np.testing.assert_allclose(harmonic_mean(jnp.array([0.0, 1.0, 1.0, 1.0])), 4 / 23)
