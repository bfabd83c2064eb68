"""What one transition does, and what it refuses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, DiagonalMass, DynamicHMC, FixedSteps, HMCState, RandomLength, UnitMass, log_of

from .problems import init, quartic, standard_normal, step

X = np.array([0.3, -0.2, 1.0])


@pytest.fixture(scope="module")
def transitions():
    """4000 from one state."""
    kernel = HMC(0.8, 3)
    step_from = lambda state, key: kernel.step(key, state, quartic)

    @jax.jit
    def make(key):
        return jax.vmap(step_from, (None, 0))(kernel.init(X, quartic), jax.random.split(key, 4000))

    return jax.device_get(make(jax.random.key(0)))


def test_a_transition_accepts_with_its_probability(transitions):
    """Flags are drawn with the probabilities that are reported, and a rejected chain stays."""
    states, infos = transitions
    mean = np.mean(infos.acceptance_rate)
    assert 0.2 < mean < 0.9
    assert abs(np.mean(infos.is_accepted) - mean) < 3 * np.sqrt(0.25 / 4000)
    np.testing.assert_allclose(
        infos.acceptance_rate, np.exp(np.minimum(0, -infos.energy_error)), rtol=1e-12, atol=1e-300
    )
    moved = np.any(states.position != X[None], axis=1)
    np.testing.assert_array_equal(moved, infos.is_accepted)
    np.testing.assert_array_equal(states.position[moved], infos.proposal.position[moved])
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(quartic)))(states.position)
    np.testing.assert_allclose(states.logdensity, values, rtol=1e-12)
    np.testing.assert_allclose(states.logdensity_grad, slopes, rtol=1e-12)


def test_energy_is_that_of_the_state_that_was_kept(transitions):
    _, infos = transitions
    start = 0.5 * np.sum(infos.momentum**2, axis=1) - quartic(X)
    end = 0.5 * np.sum(infos.proposal.momentum**2, axis=1) - infos.proposal.logdensity
    np.testing.assert_allclose(infos.energy, np.where(infos.is_accepted, end, start), rtol=1e-12)
    np.testing.assert_allclose(infos.energy_error, end - start, atol=1e-12)


@jax.jit
def nan_outside(x):
    return jnp.where(jnp.sum(x**2) < 2, standard_normal(x), jnp.nan)


@jax.jit
def infinite_outside(x):
    return jnp.where(jnp.sum(x**2) < 2, standard_normal(x), jnp.inf)


@jax.jit
def zero_outside(x):
    return jnp.where(jnp.sum(x**2) < 2, standard_normal(x), -jnp.inf)


@jax.jit
def bad_gradient_outside(x):
    """Finite everywhere, but a chain could not leave from outside."""
    radius = jnp.sum(x**2)
    return jnp.where(radius < 2, standard_normal(x), -1.0 + 0.0 * jnp.sqrt(2 - radius + jnp.abs(2 - radius)))


OUTSIDE = [nan_outside, infinite_outside, zero_outside, bad_gradient_outside]


@jax.jit
def chain(kernel, which, key):
    """200 transitions; one program for all densities."""
    logdensity = lambda x: jax.lax.switch(which, OUTSIDE, x)

    def transition(state, key):
        state, info = kernel.step(key, state, logdensity)
        return state, (state, info)

    start = kernel.init(jnp.array([0.1, 0.2]), logdensity)
    return jax.lax.scan(transition, start, jax.random.split(key, 200))[1]


@pytest.mark.parametrize(
    ("kernel", "logdensity"),
    [
        *(pytest.param(HMC(0.9, 4), logdensity, marks=pytest.mark.slow) for logdensity in OUTSIDE),
        (DynamicHMC(0.9, 4.0), nan_outside),
    ],
)
def test_where_the_density_is_not_finite_no_chain_goes(kernel, logdensity, key):
    states, infos = jax.device_get(chain(kernel, OUTSIDE.index(logdensity), key))
    rejected = ~infos.is_accepted
    assert 10 < np.sum(rejected) < 190
    assert np.all(np.sum(states.position**2, axis=1) < 2)
    # Every float is a number; the energy error may be infinity, and then counts as divergent.
    for leaf in jax.tree.leaves((states, infos)):
        assert not np.any(np.isnan(leaf))
    infinite = np.isinf(infos.energy_error)
    assert infinite.any()
    assert np.all(infos.is_divergent[infinite])
    assert np.all(infos.acceptance_rate[infinite] == 0)


def test_divergence_is_judged_by_the_energy_error(key):
    steep = lambda x: -50.0 * jnp.sum(x**2)
    for threshold, divergent in ((1e12, False), (1.0, True)):
        kernel = HMC(0.25, 5, divergence_threshold=threshold)
        _, info = step(kernel, key, init(kernel, X, steep), steep)
        assert np.isfinite(info.energy_error)
        assert info.energy_error > 1
        assert info.is_divergent == divergent


def test_number_of_steps_fills_the_range_and_stays_in_bounds():
    length = RandomLength(2.0, max_steps=30)
    jitter = np.linspace(0.001, 0.999, 1001)
    steps = np.asarray(jax.jit(jax.vmap(lambda u: length.pick(u, jnp.asarray(0.1))[0]))(jitter))
    assert steps.min() == 1
    assert steps.max() == 30
    np.testing.assert_array_equal(steps, np.clip(np.ceil(2 * jitter * 2.0 / 0.1), 1, 30))


def test_jitter_scales_the_step_size_evenly(key):
    """On a flat density the jump is momentum times length, so lengths can be read off."""
    flat = lambda x: 0.0 * jnp.sum(x)
    kernel = HMC(0.5, FixedSteps(4, jitter=0.4))

    @jax.jit
    def transitions(key):
        state = kernel.init(jnp.zeros(1), flat)
        return jax.vmap(lambda key: kernel.step(key, state, flat))(jax.random.split(key, 2000))

    _, infos = jax.device_get(transitions(key))
    lengths = (infos.proposal.position / infos.momentum)[:, 0]
    assert np.all(np.abs(lengths / 2 - 1) <= 0.4 + 1e-12)
    assert abs(np.mean(lengths) / 2 - 1) < 0.03
    assert abs(np.std(lengths / 2) - 0.4 / np.sqrt(3)) < 0.02


def test_single_precision_stays_single(key):
    x = {"a": np.float32(0.5), "b": np.ones(2, np.float32)}
    logdensity = lambda x: -0.5 * (x["a"] ** 2 + jnp.sum(x["b"] ** 2))
    for kernel in (HMC(0.3, 3, DiagonalMass({"a": 1.0, "b": np.ones(2)})), DynamicHMC(0.3, 1.0)):
        transition = lambda x, kernel=kernel: kernel.step(key, kernel.init(x, logdensity), logdensity)
        state, info = jax.eval_shape(transition, x)
        assert {leaf.dtype for leaf in jax.tree.leaves((state, info.momentum, info.energy_error))} == {
            jnp.dtype("float32")
        }


def test_compiled_steps_with_the_kernel_and_the_data_as_arguments(key):
    """New settings and new data of the same shapes: one compilation."""
    traces = []

    def logdensity(data, x):
        traces.append(1)
        return -0.5 * jnp.sum((x - data) ** 2)

    state = HMC(0.1, 3).init(X, standard_normal)
    step(HMC(0.1, 3), key, state, jax.tree_util.Partial(logdensity, np.zeros(3)))
    before = len(traces)
    step(HMC(0.2, 3), key, state, jax.tree_util.Partial(logdensity, np.ones(3)))
    assert len(traces) == before


def test_log_of_a_density(key):
    density = lambda x: jnp.where(x > 0, x * jnp.exp(-x), 0.0)  # Gamma(2, 1)
    value_and_slope = jax.jit(jax.value_and_grad(log_of(density)))
    value, slope = value_and_slope(0.7)
    np.testing.assert_allclose(value, np.log(0.7) - 0.7, rtol=1e-14)
    np.testing.assert_allclose(slope, 1 / 0.7 - 1, rtol=1e-13)
    assert value_and_slope(-1.0) == (-np.inf, 0)
    assert np.isnan(jax.jit(log_of(lambda x: x * jnp.nan))(1.0))
    # A callable pytree stays one, so its arrays remain arguments.
    scaled = log_of(jax.tree_util.Partial(lambda scale, x: jnp.exp(-x / scale), np.asarray(2.0)))
    assert len(jax.tree.leaves(scaled)) == 1


def wrong(x) -> Any:
    return x


# For a wrong type the annotation speaks before the message here, and both name the argument.
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: HMC(0.0, 3), ValueError, "`step_size` must be positive and finite, got 0.0"),
        (lambda: HMC(jnp.nan, 3), ValueError, "`step_size` must be positive"),
        (lambda: HMC(np.ones(3), 3), ValueError, r"`step_size` must be one number, got an array of shape \(3,\)"),
        (lambda: HMC(wrong("0.1"), 3), TypeError, "step_size"),
        (lambda: HMC(0.1, 0), ValueError, "`length` must be at least 1, got 0"),
        (lambda: HMC(0.1, wrong(2.0)), TypeError, "length"),
        (lambda: HMC(0.1, 3, wrong(np.ones(3))), TypeError, "mass"),
        (lambda: FixedSteps(0), ValueError, "`num_steps` must be at least 1, got 0"),
        (lambda: FixedSteps(wrong(2.0)), TypeError, "num_steps"),
        (lambda: FixedSteps(3, jitter=1.0), ValueError, "`jitter` must be at least 0 and below 1, got 1.0"),
        (lambda: FixedSteps(3, jitter=wrong("0.1")), TypeError, "jitter"),
        (lambda: RandomLength(0.0), ValueError, "`mean` must be positive and finite, got 0.0"),
        (lambda: RandomLength(1.0, max_steps=0), ValueError, "`max_steps` must be at least 1"),
        (lambda: RandomLength(wrong("1"), max_steps=2), TypeError, "mean"),
        (lambda: HMC(0.1, 3, integrator=wrong("leapfrog")), TypeError, "integrator"),
        (lambda: HMC(0.1, 3, divergence_threshold=-1.0), ValueError, "`divergence_threshold` must be at least 0"),
        (lambda: DynamicHMC(-0.1, 1.0), ValueError, "`step_size` must be positive"),
        (lambda: DynamicHMC(0.1, 0.0), ValueError, "`trajectory_length` must be positive"),
        (lambda: DynamicHMC(0.1, 1.0, max_steps=0), ValueError, "`max_steps` must be at least 1"),
        (lambda: log_of(wrong(3.0)), TypeError, "density"),
    ],
)
def test_settings_that_make_no_kernel_raise(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("position", "logdensity", "error", "message"),
    [
        (np.array([3.0, 0.0]), nan_outside, ValueError, "`position` must have a finite log density"),
        (np.array([3.0, 0.0]), zero_outside, ValueError, "got log density -inf"),
        (np.array([3.0, 0.0]), bad_gradient_outside, ValueError, "log density and gradient"),
        (np.arange(3), quartic, TypeError, "`position` must hold floats, got an array of int"),
        (np.array([1j]), quartic, TypeError, "`position` must be a real number or an array of them"),
        ({"a": "b"}, quartic, TypeError, "position"),
        ({}, quartic, ValueError, "`position` must hold at least one number"),
        (
            X,
            lambda x: x,
            ValueError,
            r"`logdensity` must give one number for one position, got an array of shape \(3,\)",
        ),
        (X, lambda x: jnp.sum(x) > 0, TypeError, "`logdensity` must give a real float"),
    ],
)
def test_places_where_no_chain_can_start_raise(position, logdensity, error, message):
    with pytest.raises(error, match=message):
        HMC(0.1, 3, UnitMass()).init(position, logdensity)


def test_python_numbers_are_positions(key):
    kernel = HMC(0.1, 3)
    logdensity = jax.jit(lambda x: -(x["a"] ** 2) - x["b"][0] ** 2 - x["b"][1] ** 2)
    state = kernel.init({"a": 1.0, "b": [2, 3.0]}, logdensity)
    assert isinstance(state, HMCState)
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float64")}
