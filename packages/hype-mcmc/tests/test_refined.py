"""Trajectories whose steps are refined where the density is steep."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import DiagonalMass, DynamicHMC, FixedSteps, Phase, RandomLength, RefinedHMC
from hype_mcmc._diagnostics import frozen_for
from jax.scipy.stats import norm

from .problems import init, quartic, sample, standard_normal, step


def funnel(x):
    """Neal's funnel: x_0 ~ N(0, 3^2) is the log variance of the others."""
    return -(x[0] ** 2) / 18 - 0.5 * jnp.sum(x[1:] ** 2) * jnp.exp(-x[0]) - 0.5 * (x.size - 1) * x[0]


class Uncorrected(RefinedHMC):
    """The same, but for the ratio of the probabilities of a level from both ends."""

    def _follow(self, u, start, dynamics, num_steps):
        orbit = super()._follow(u, start, dynamics, num_steps)
        return orbit._replace(ratio=jnp.ones_like(orbit.ratio), is_possible=orbit.is_found)


def spike(x):
    """Half of the mass is N(0, 0.1^2), the other half N(0, 1)."""
    return jnp.sum(jnp.logaddexp(norm.logpdf(x, scale=0.1), norm.logpdf(x)))


@jax.jit
def time_in_the_spike(kernel, key):
    """The part of 30 transitions from exact draws, its error, the part accepted and the leapfrogs."""
    chains, transitions = 600, 30
    noise_key, half_key, key = jax.random.split(key, 3)
    width = jnp.where(jax.random.bernoulli(half_key, 0.5, (chains, 1)), 0.1, 1.0)
    start = width * jax.random.normal(noise_key, (chains, 1))

    def transition(states, key):
        states, infos = jax.vmap(kernel.step, (0, 0, None))(jax.random.split(key, chains), states, spike)
        return states, (jnp.abs(states.position[:, 0]) < 0.2, infos.is_accepted, infos.num_integration_steps)

    states = jax.vmap(kernel.init, (0, None))(start, spike)
    _, (inside, accepted, steps) = jax.lax.scan(transition, states, jax.random.split(key, transitions))
    part = jnp.mean(inside, axis=0, dtype=float)
    return jnp.mean(part), jnp.std(part) / np.sqrt(chains), jnp.mean(accepted), steps


@pytest.mark.slow
def test_the_target_stays_invariant_by_the_correction_alone(key):
    settings = {"step_size": 1.5, "length": 2, "mass": DiagonalMass(np.ones(1)), "tolerance": 1.0, "max_refinements": 5}
    truth = norm.cdf(2.0) - 0.5 + norm.cdf(0.2) - 0.5
    part, error, accepted, steps = time_in_the_spike(RefinedHMC(**settings), key)
    assert abs(part - truth) < 3.5 * error
    assert accepted > 0.6
    assert np.min(steps) == 2
    assert np.max(steps) > 16 * 2
    part, error, _, _ = time_in_the_spike(Uncorrected(**settings), key)
    assert abs(part - truth) > 5 * error


follow = eqx.filter_jit(lambda kernel, start: kernel.trajectory(start, quartic).position)


@pytest.mark.parametrize(("tolerance", "is_refined"), [(1e6, False), (0.01, True)])
def test_a_trajectory_is_that_of_hmc_with_a_finer_step(tolerance, is_refined, key):
    mass = DiagonalMass(np.array([1.0, 0.5]))
    kernel = RefinedHMC(0.3, 5, mass, tolerance=tolerance)
    state = init(kernel, jnp.array([0.3, -0.2]), quartic)
    _, info = step(kernel, key, state, quartic)
    start = Phase(state.position, info.momentum, state.logdensity, state.logdensity_grad)
    ends = np.array([follow(DynamicHMC(0.3 / 2**k, 0.3 * 4.99, mass), start) for k in range(7)])
    (level,) = np.flatnonzero(np.all(np.isclose(ends, info.proposal.position[None], rtol=1e-9), axis=1))
    assert (level > 0) == is_refined
    assert not info.is_divergent
    if is_refined:
        assert abs(info.energy_error) < 3 * tolerance
        assert int(info.num_integration_steps) > 5 * 2**level
    else:
        assert info.num_integration_steps == 5
        np.testing.assert_allclose(info.acceptance_rate, np.exp(min(0.0, -float(info.energy_error))), rtol=1e-12)


def test_where_no_level_suffices_the_chain_stays_and_says_so(key):
    kernel = RefinedHMC(0.9, 5, DiagonalMass(np.ones(2)), tolerance=1e-9, max_refinements=1)
    state = init(kernel, jnp.array([0.3, -0.2]), quartic)
    after, info = step(kernel, key, state, quartic)
    assert info.is_divergent
    assert info.acceptance_rate == 0
    np.testing.assert_array_equal(after.position, state.position)


@pytest.mark.slow
def test_warm_up_adapts_it_and_a_run_goes_on_bit_for_bit(key):
    deviations = np.array([1.0, 0.1])
    target = lambda x: standard_normal(x / deviations)
    run = sample(target, jnp.zeros(2), RefinedHMC(), key=key, num_warmup=200, num_samples=300)
    assert isinstance(run.kernel, RefinedHMC)
    np.testing.assert_allclose(np.sqrt(run.kernel.mass.diagonal) * deviations, 1, rtol=0.3)
    assert np.min(run.ess()) > 150
    second = sample(target, jnp.zeros(2), state=run.state, num_samples=2)
    whole = sample(target, run.draws[:, 0], run.kernel, key=key, num_warmup=0, num_samples=4, chained=True)
    again = sample(target, jnp.zeros(2), state=whole.state, num_samples=2)
    assert np.all(np.isfinite(second.draws))
    once = sample(target, run.draws[:, 0], run.kernel, key=key, num_warmup=0, num_samples=6, chained=True)
    np.testing.assert_array_equal(once.draws[:, 4:], again.draws)


@pytest.mark.slow
def test_forward_mode_for_the_level_that_came_about(key):
    def f(w):
        kernel = RefinedHMC(w["step_size"], FixedSteps(4), DiagonalMass(w["mass"]), tolerance=w["tolerance"])
        info = kernel.step(key, kernel.init(w["position"], quartic), quartic)[1]
        return info.acceptance_rate, info.proposal.position, info.energy_error

    point = {
        "step_size": jnp.asarray(1.3),
        "mass": jnp.array([1.0, 0.6]),
        "tolerance": jnp.asarray(0.15),
        "position": jnp.array([0.3, -1.2]),
    }
    assert_derivatives_match(f, point, modes=("forward",), num_directions=1)
    with pytest.raises(RuntimeError, match="Reverse mode does not go back along trajectories whose number of steps"):
        jax.grad(lambda w: f(w)[0])(point)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RefinedHMC(0.0), "`step_size` must be positive"),
        (lambda: RefinedHMC(length=0), "`length` must be at least 1"),
        (lambda: RefinedHMC(tolerance=-1.0), "`tolerance` must be positive"),
        (lambda: RefinedHMC(max_refinements=-1), "`max_refinements` must be at least 0"),
        (lambda: RefinedHMC(max_refinements=30), "`max_refinements` must be at most 20"),
        (lambda: RefinedHMC().init(jnp.zeros(2), quartic), "`mass.diagonal` must be given but to `sample`"),
    ],
)
def test_settings_that_make_no_kernel_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_neals_funnel(key):
    """Ten dimensions, centered: where the chains of `HMC` freeze in the neck these do not."""
    run = sample(funnel, jnp.zeros(10), RefinedHMC(), key=key, num_samples=1000, thin=20)
    scale = np.asarray(run.draws[..., 0])
    assert np.max(run.rhat()) < 1.02
    assert abs(np.mean(scale)) < 4.5 * 3 / np.sqrt(run.ess()[0])
    assert np.mean(scale < -4.5) > 0.04  # 0.067
    standardized = np.asarray(run.draws[..., 1:]) * np.exp(-0.5 * scale)[..., None]
    np.testing.assert_allclose(np.std(standardized), 1, rtol=0.03)
    assert isinstance(run.kernel.length, RandomLength)


@pytest.mark.slow
def test_a_plain_call_whose_chains_freeze_is_run_anew_with_refined_steps():
    settings = {"key": jax.random.key(4), "num_warmup": 200, "num_samples": 300}
    with pytest.warns(UserWarning, match=r"stayed at one place for \d+ of 300 draws.*RefinedHMC"):
        run = sample(funnel, jnp.zeros(10), **settings)
    assert isinstance(run.kernel, RefinedHMC)
    refined = sample(funnel, jnp.zeros(10), RefinedHMC(), **settings)
    np.testing.assert_array_equal(run.draws, refined.draws)
    assert not np.any(frozen_for(np.moveaxis(np.asarray(run.draws), 2, 0)))
    frozen = sample(funnel, jnp.zeros(10), DynamicHMC(1.0, 1.0, DiagonalMass()), **settings)
    assert "stayed at one place" in frozen.summary().warnings[0]
    spent = np.sum(np.asarray(frozen.num_steps)) + int(frozen.warmup_steps)
    assert int(run.warmup_steps) == spent + int(refined.warmup_steps)


@pytest.mark.slow
def test_steps_are_not_refined_for_chains_that_freeze_by_rounding():
    """No step is short enough for what is no smooth function."""
    rough = lambda x: funnel(x) + jax.lax.stop_gradient(jnp.sin(1e15 * jnp.sum(x)))
    with pytest.warns(UserWarning, match=r"^Rounding in float64 moves the log density.* Compute it without"):
        run = sample(rough, jnp.zeros(10), key=jax.random.key(4), num_warmup=200, num_samples=300)
    assert not isinstance(run.kernel, RefinedHMC)
