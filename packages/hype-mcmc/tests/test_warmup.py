"""What warm-up learns, piece by piece and as a whole."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import (
    HMC,
    DenseMass,
    DiagonalMass,
    DynamicHMC,
    HMCInfo,
    HMCState,
    LowRankMass,
    Phase,
    RandomLength,
    UnitMass,
)
from hype_mcmc._warmup.agreement import BLOCK, Agreement, draws_wanted
from hype_mcmc._warmup.schedule import stop_of, windows
from hype_mcmc._warmup.step_size import DualAveraging, follow_acceptance, harmonic_mean
from hype_mcmc._warmup.trajectory_length import TrajectoryLength

from .problems import gaussian, sample, standard_normal


def test_windows_are_those_of_stan_before_a_longer_end():
    schedule = windows(1000)
    np.testing.assert_array_equal(np.flatnonzero(schedule.close) + 1, [100, 150, 250, 450, 900])
    np.testing.assert_array_equal(schedule.collect, (np.arange(1000) >= 75) & (np.arange(1000) < 900))
    np.testing.assert_array_equal(schedule.cautious, np.arange(1000) < 100)
    np.testing.assert_array_equal(schedule.short, np.arange(1000) < 150)
    assert stop_of(1000) == 900
    np.testing.assert_array_equal(np.flatnonzero(schedule.seen == 1), [100, 150, 250, 450])
    np.testing.assert_array_equal(schedule.seen[[99, 149, 249, 449, 899, 900]], [0, 50, 100, 200, 450, 0])


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
        assert stop_of(num_warmup) == last + 1


def test_dual_averaging_finds_the_step_of_a_known_acceptance():
    """Acceptance exp(-h^2) with target 0.8: h = sqrt(log 1.25), wherever it starts."""

    @jax.jit
    def end(start):
        update = lambda state, _: (state.update(jnp.exp(-jnp.exp(2 * state.log_step)), jnp.asarray(0.8)), None)
        return jax.lax.scan(update, DualAveraging.start(jnp.log(start)), length=300)[0].log_average

    for start in (1e-3, 1.0, 100.0):
        np.testing.assert_allclose(np.exp(end(start)), np.sqrt(np.log(1.25)), rtol=0.05)


def test_a_chain_that_is_stuck_takes_smaller_steps_until_it_moves():
    acceptance = np.array([0.8, 0.8, 0.8, 0.0])
    scale = np.zeros(4)
    follow = jax.jit(follow_acceptance)
    for _ in range(30):
        scale = np.asarray(follow(scale, acceptance))
    assert scale[3] < np.log(0.1)
    assert np.all(scale[:3] < np.log(10))
    np.testing.assert_allclose(np.sum(scale), 0, atol=1e-12)  # the others make up for it
    for _ in range(100):
        scale = follow(scale, np.full(4, 0.8))
    np.testing.assert_allclose(scale, 0, atol=0.05)


@pytest.mark.parametrize(
    "mass", [UnitMass(), DiagonalMass(np.ones(3)), DenseMass(np.eye(3))], ids=lambda m: type(m).__name__
)
def test_moments_are_those_of_numpy(mass):
    batches = 5.0 + np.random.default_rng(0).normal(size=(10, 4, 3)) * np.array([1.0, 2.0, 3.0])
    moments = mass.statistics(jnp.zeros(3))
    update = jax.jit(lambda moments, batch: mass.update(moments, batch, jnp.zeros_like(batch)))
    for batch in batches:
        moments = update(moments, batch)
    if isinstance(mass, UnitMass):
        assert moments == ()
        return
    moments = moments[0] if isinstance(mass, DenseMass) else moments
    flat = batches.reshape(-1, 3)
    assert moments.count == 40
    np.testing.assert_allclose(moments.mean, flat.mean(axis=0), rtol=1e-12)
    covariance = np.cov(flat.T)
    expected = covariance if isinstance(mass, DenseMass) else np.diag(covariance)
    np.testing.assert_allclose(jax.jit(lambda moments: moments.covariance())(moments), expected, rtol=1e-12)


DEVIATIONS = np.array([0.01, 1.0, 30.0])
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
COVARIANCE = ROTATION @ np.diag([0.01, 1.0, 100.0]) @ ROTATION.T


def gaussian_run(covariance, kernel, key, num_chains=4):
    logdensity = jax.tree_util.Partial(gaussian, np.linalg.inv(covariance), np.ones(3))
    run = sample(logdensity, np.zeros(3), kernel, key=key, num_samples=500, num_warmup=1000, num_chains=num_chains)
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

    def update(state, key):
        after = deviation * jax.random.normal(key, (8, 1))
        few, many, infos = jnp.asarray(1e-3), jnp.asarray(1e3), jax.vmap(back)(jnp.ones((8, 1)))
        return state.update(UnitMass(), jnp.zeros((8, 1)), after, infos, few, many, jnp.asarray(0.6)), None

    @jax.jit
    def learn(key):
        start = TrajectoryLength.start(jnp.asarray(0.01), jnp.zeros(1))
        state, _ = jax.lax.scan(update, start, jax.random.split(key, 300))
        return state, *(state.restart(UnitMass(), UnitMass(), jnp.asarray(is_last)) for is_last in (False, True))

    state, again, on = learn(key)
    np.testing.assert_allclose(np.exp(state.log_length), 0.6 * deviation, rtol=0.1)
    assert again.variance == again.count == 0
    assert (on.variance, on.count) == (state.variance, 300)


def test_a_new_mass_begins_with_a_length_that_can_grow_but_for_the_last_one():
    old, new = DiagonalMass(np.ones(1)), DiagonalMass(np.array([0.25]))

    @jax.jit
    def length(is_last):
        state = TrajectoryLength.start(jnp.asarray(30.0), jnp.zeros(1))
        return jnp.exp(state.restart(old, new, is_last).log_length)

    np.testing.assert_allclose(length(np.True_), 15.0)
    np.testing.assert_allclose(length(np.False_), 1.85)


@pytest.mark.slow
def test_the_length_follows_the_widest_direction(key):
    """With a unit mass all that can be adapted to a deviation of 10 is the length; one chain suffices for that."""
    run = gaussian_run(COVARIANCE, DynamicHMC(1.0, 1.0, UnitMass()), key, num_chains=1)
    assert isinstance(run.kernel.mass, UnitMass)
    assert 0.05 < run.kernel.step_size < 0.3
    assert 12 < run.kernel.length.mean < 30


def test_a_fixed_number_of_steps_stays(key):
    run = sample(standard_normal, np.zeros(2), HMC(1e-3, 4), key=key, num_warmup=19, num_samples=5)
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
    np.testing.assert_allclose(jax.jit(harmonic_mean)(np.array([0.5, 1.0])), 2 / 3)
    np.testing.assert_allclose(jax.jit(harmonic_mean)(np.array([0.0, 1.0, 1.0, 1.0])), 4 / 23)


@jax.jit
def agreement_of(draws):
    states = jax.vmap(jax.vmap(lambda x: HMCState(x, x[0], x)))(draws)
    learn = lambda agreement, state: (agreement.update(state), None)
    agreement, _ = jax.lax.scan(learn, Agreement.start(jax.tree.map(lambda x: x[0], states)), states)
    return agreement, agreement.is_reached()


def agrees(draws):
    """By the draws of two blocks, after one that is forgotten."""
    draws = np.concatenate([np.ones_like(draws[:BLOCK]), draws])
    agreement, is_reached = jax.device_get(agreement_of(draws))
    first, second = np.split(draws, 3)[1:]
    np.testing.assert_allclose(agreement.mean[0], second.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(agreement.squares_before[1], BLOCK * first[:, :, 0].var(axis=0), rtol=1e-9, atol=1e-12)
    return bool(is_reached)


def test_chains_agree_where_their_blocks_are_alike(key):
    draws = np.asarray(jax.random.normal(key, (2 * BLOCK, 4, 100)))

    def put(where, value):
        moved = draws.copy()
        moved[where] = value
        return moved

    assert agrees(draws)
    assert not agrees(put(np.s_[:, 2, 7], draws[:, 2, 7] + 2))  # one of them is elsewhere, in one number
    assert not agrees(put(np.s_[BLOCK:], draws[BLOCK:] + 1))  # all are on their way
    assert not agrees(put(np.s_[:, :, 7], 3.0))  # none moves
    assert not agrees(put((3, 1, 7), np.nan))
    slow = np.cumsum(draws, axis=0) / np.sqrt(2 * BLOCK)
    assert not agrees(slow)


def test_a_mass_wants_draws_for_what_it_has_of_each_dimension():
    x = jnp.zeros(100)
    masses = [UnitMass(), DiagonalMass(), LowRankMass(30), DenseMass()]
    assert [draws_wanted(mass.shaped(x), x) for mass in masses] == [200, 200, 313, 1000]


def two_modes(distance, x):
    """Normal of variance 1, at both ends of a distance."""
    return jnp.logaddexp(-0.5 * jnp.sum((x - distance) ** 2), -0.5 * jnp.sum((x + distance) ** 2))


def test_warm_up_is_as_long_as_it_takes_the_chains_to_agree(key):
    """In one program, and for each density alone as beside the other one."""

    def run(distance, **settings):
        starts = distance * np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
        target = jax.tree_util.Partial(two_modes, distance)
        return sample(target, starts, chained=True, key=key, num_samples=4, **settings)

    one, two = run(np.asarray(0.0)), run(np.asarray(10.0))
    assert 250 <= int(one.warmup_transitions) < 400
    assert int(one.warmup_steps) < 0.7 * int(two.warmup_steps)
    assert int(two.warmup_transitions) == 500
    both = jax.jit(jax.vmap(run))(np.array([0.0, 10.0]))
    np.testing.assert_array_equal(both.warmup_transitions, [one.warmup_transitions, 500])
    # Rounding differs in a batch, and may change a trajectory's length.
    np.testing.assert_allclose(both.warmup_steps, [one.warmup_steps, two.warmup_steps], rtol=0.05)


@pytest.mark.slow
def test_warm_up_is_as_long_as_is_said_or_as_few_chains_need(key):
    settings = {"key": key, "num_samples": 4}
    assert int(sample(standard_normal, jnp.zeros(2), num_warmup=330, **settings).warmup_transitions) == 330
    assert int(sample(standard_normal, jnp.zeros(2), num_chains=3, **settings).warmup_transitions) == 500


@pytest.mark.slow
@pytest.mark.parametrize("mode", [jax.grad, jax.jacfwd])
def test_a_warm_up_that_may_end_has_the_derivative_of_one_that_may_not(mode, monkeypatch):
    monkeypatch.setattr(sys.modules["hype_mcmc._sample"], "_MOST_WARMUP", 6)  # of many the derivative has no meaning

    def mean(center, num_warmup):
        logdensity = lambda x: -0.5 * jnp.sum((x - center) ** 2)
        settings = {"key": jax.random.key(0), "num_samples": 5, "num_warmup": num_warmup, "silent": True}
        return jnp.mean(sample(logdensity, jnp.zeros(2), HMC(0.5, 3), **settings).draws)

    np.testing.assert_allclose(mode(mean)(1.0, None), mode(mean)(1.0, 6), rtol=1e-9)
