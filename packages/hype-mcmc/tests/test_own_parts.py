"""A kernel, a mass and a length of one's own go wherever those of the package go."""

import io

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import (
    HMC,
    AbstractKernelInfo,
    AbstractKernelState,
    DiagonalMass,
    RandomLength,
    expected_squared_jump,
)
from hype_mcmc._diagnostics import mean_ess

from .own_parts import MALA, ExponentialLength, ScalarMass, TwoTransitions, Unrolled
from .problems import gaussian, sample

MEAN, DEVIATION = np.array([1.0, -0.5]), np.array([1.0, 0.5])
TARGET = jax.tree_util.Partial(gaussian, np.diag(1 / DEVIATION**2), MEAN)
LANGEVIN = MALA(jnp.asarray(0.6))
FIXED = {"num_warmup": 0, "num_chains": 4}


def assert_moments(run):
    draws = np.asarray(run.draws)
    for i in range(draws.shape[2]):
        x = draws[:, :, i]
        for values, truth in ((x, MEAN[i]), ((x - MEAN[i]) ** 2, DEVIATION[i] ** 2)):
            assert abs(values.mean() - truth) < 4.5 * values.std() / np.sqrt(mean_ess(values))


@pytest.mark.slow
def test_a_kernel_has_the_right_moments_and_a_summary(key):
    run = sample(TARGET, jnp.zeros(2), LANGEVIN, key=key, num_samples=3000, thin=2, devices=jax.devices()[:1], **FIXED)
    assert_moments(run)
    assert 0.5 < np.mean(np.asarray(run.acceptance)) < 0.99
    assert np.all(np.asarray(run.num_steps) == 2)
    assert np.all(np.isnan(run.ebfmi()))  # no momentum, no energy
    assert run.summary().warnings == ()
    assert isinstance(run.state.chains, AbstractKernelState)
    assert isinstance(LANGEVIN.step(key, LANGEVIN.init(jnp.zeros(2), TARGET), TARGET)[1], AbstractKernelInfo)


@pytest.mark.slow
def test_a_run_of_it_goes_on_bit_for_bit_also_from_a_file(key):
    go = lambda num_samples, **how: sample(TARGET, jnp.zeros(2), num_samples=num_samples, **how)
    whole, first = go(20, kernel=LANGEVIN, key=key, **FIXED), go(8, kernel=LANGEVIN, key=key, **FIXED)
    keys = lambda state: jax.random.key_data(state.keys)
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, eqx.tree_at(lambda state: state.keys, first.state, keys(first.state)))
    file.seek(0)
    like = eqx.tree_at(lambda state: state.keys, whole.state, keys(whole.state))
    loaded = eqx.tree_deserialise_leaves(file, like)
    for state in (first.state, eqx.tree_at(lambda s: s.keys, loaded, jax.random.wrap_key_data(loaded.keys))):
        second = go(12, state=state)
        np.testing.assert_array_equal(whole.draws, np.concatenate([first.draws, second.draws], axis=1))


@pytest.mark.slow
def test_it_is_differentiable(key):
    def f(w):
        target = jax.tree_util.Partial(gaussian, jnp.diag(1 / w["deviation"] ** 2), jnp.asarray(MEAN))
        return sample(target, w["x0"], MALA(w["step_size"]), key=key, num_samples=5, **FIXED).draws

    point = {"step_size": jnp.asarray(0.6), "deviation": jnp.asarray(DEVIATION), "x0": jnp.zeros(2)}
    assert_derivatives_match(f, point, num_directions=1)


def test_starts_outside_of_the_support_are_drawn_in_and_unusable_ones_raise(key):
    narrow = lambda x: jnp.where(jnp.all((x > 0) & (x < 0.01)), 0.0 * jnp.sum(x), -jnp.inf)
    run = sample(narrow, jnp.array([0.005]), MALA(jnp.asarray(1e-9)), key=key, num_samples=1, **FIXED)
    assert np.all((np.asarray(run.draws) > 0) & (np.asarray(run.draws) < 0.01))
    with pytest.raises(ValueError, match="`x0` must have a finite log density"):
        sample(narrow, jnp.array([1.0]), LANGEVIN, key=key, **FIXED)


def test_what_only_kernels_with_trajectories_can_do_is_refused(key):
    with pytest.raises(ValueError, match="`num_warmup` must be 0 for a `MALA`, got 500"):
        sample(TARGET, jnp.zeros(2), LANGEVIN, key=key)
    with pytest.raises(TypeError, match="kernel"):
        expected_squared_jump(LANGEVIN, TARGET, jnp.zeros((3, 2)), key=key)


def test_a_mass_is_adapted_and_has_derivatives(key):
    round_target = lambda x: -0.5 * jnp.sum((x / 0.01) ** 2)
    run = sample(round_target, jnp.zeros(3), HMC(1.0, 4, ScalarMass(jnp.asarray(1.0))), key=key, num_samples=400)
    assert isinstance(run.kernel.mass, ScalarMass)
    np.testing.assert_allclose(np.sqrt(run.kernel.mass.scale) * 0.01, 1, rtol=0.1)
    assert 0.7 < np.mean(np.asarray(run.acceptance)) < 0.95
    with pytest.raises(ValueError, match="`position` must be a vector"):
        sample(round_target, jnp.zeros((3, 1)), run.kernel, key=key)
    positions = jax.random.normal(key, (4, 2))
    jump = lambda scale: expected_squared_jump(HMC(0.3, 3, ScalarMass(scale)), TARGET, positions, key=key)
    assert_derivatives_match(jump, jnp.asarray(1.3), modes=("reverse",), num_directions=1)


@pytest.mark.slow
def test_a_length_is_adapted_and_has_the_right_moments(key):
    kernel = HMC(1.0, ExponentialLength(jnp.asarray(0.2)), DiagonalMass(np.ones(2)))
    run = sample(TARGET, jnp.zeros(2), kernel, key=key, num_samples=1500)
    assert isinstance(run.kernel.length, ExponentialLength)
    assert run.kernel.length.mean > 0.4
    assert len(np.unique(run.num_steps)) > 3
    assert_moments(run)


@pytest.mark.slow
def test_a_kernel_with_trajectories_is_adapted(key):
    start = TwoTransitions(jnp.asarray(0.1), DiagonalMass(np.ones(2)), RandomLength(0.1))
    run = sample(TARGET, jnp.zeros(2), start, key=key, num_samples=500)
    assert isinstance(run.kernel, TwoTransitions)
    np.testing.assert_allclose(np.sqrt(run.kernel.mass.diagonal) * DEVIATION, 1, rtol=0.3)
    assert run.kernel.step_size > 0.4
    assert run.kernel.length.mean > 0.3
    assert_moments(run)


def test_an_adjoint_of_a_trajectory(key):
    def jump(step_size, adjoint):
        kernel = HMC(step_size, 5, adjoint=adjoint)
        return expected_squared_jump(kernel, TARGET, jnp.ones((2, 2)), key=key)

    gradients = [jax.grad(jump)(jnp.asarray(0.3), adjoint) for adjoint in (Unrolled(), None)]
    np.testing.assert_allclose(*gradients, rtol=1e-12)
