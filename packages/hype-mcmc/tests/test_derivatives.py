"""Everything computed from a trajectory, differentiated by everything that it is made with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import HMC, DenseMass, DiagonalMass, DynamicHMC, FixedSteps, leapfrog, yoshida

from .problems import gaussian, quartic, sample, step

KEY = jax.random.key(8)
START = {
    "step_size": np.asarray(0.3),
    "position": np.array([0.1, -1.0]),
}
MASSES = {
    "diagonal": ({"mass": np.array([1.0, 0.6])}, lambda w: DiagonalMass(w["mass"])),
    "dense": ({"mass": np.array([[1.0, 0.0], [0.4, 0.8]])}, lambda w: DenseMass(w["mass"])),
}


def outputs(kernel, position, logdensity):
    _, info = step(kernel, KEY, kernel.init(position, logdensity), logdensity)
    end = info.proposal
    return end.position, end.momentum, end.logdensity, info.energy_error, info.acceptance_rate


def transition(name):
    """A function of everything that a transition is made with, and a point where it is smooth."""
    extra, mass = MASSES[name]
    point = {**START, **extra}

    def f(w):
        return outputs(HMC(w["step_size"], 4, mass(w)), w["position"], quartic)

    assert 0.1 < jax.jit(f)(point)[-1] < 0.999  # an acceptance with a derivative
    return f, point


def test_a_transition_in_both_modes():
    f, point = transition("diagonal")
    assert_derivatives_match(f, point, num_directions=1)


@pytest.mark.slow
def test_a_transition_in_reverse_over_reverse():
    f, point = transition("diagonal")
    assert_derivatives_match(f, point, order=2, modes=("reverse",), num_directions=1)


def test_a_transition_in_a_cholesky_factor():
    f, point = transition("dense")
    assert_derivatives_match(f, point, modes=("reverse",), num_directions=1)


@pytest.mark.slow
def test_second_derivatives_in_a_cholesky_factor_in_forward_over_reverse():
    f, point = transition("dense")
    weighted = lambda w: sum(jnp.sum(x) for x in f(w))
    assert_derivatives_match(jax.grad(weighted), point, modes=("forward",), num_directions=1)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"length": 100}, marks=pytest.mark.slow),
        {"length": FixedSteps(3, jitter=0.5), "integrator": yoshida},
    ],
    ids=["checkpointed", "jittered yoshida"],
)
def test_other_settings_have_derivatives_too(settings):
    def f(w):
        return outputs(HMC(w["step_size"], mass=DiagonalMass(w["mass"]), **settings), w["position"], quartic)

    step_size = 1.2 / (3 if "integrator" in settings else 100)
    point = {**START, "mass": jnp.array([1.0, 0.6]), "step_size": jnp.asarray(step_size)}
    assert_derivatives_match(f, point, modes=("reverse",), num_directions=1)


def test_forward_mode_through_a_random_number_of_steps():
    def f(w):
        kernel = DynamicHMC(w["step_size"], 0.9, DiagonalMass(w["mass"]))
        return outputs(kernel, w["position"], quartic)

    point = {**START, "mass": jnp.array([1.0, 0.6])}
    assert_derivatives_match(f, point, modes=("forward",), num_directions=1)


def test_closed_form_for_a_standard_normal():
    """n leapfrogs rotate by n arccos(1 - h^2 / 2), in coordinates that h stretches."""
    h, n, x = 0.7, 6, jnp.array([0.8])
    logdensity = lambda q: -0.5 * jnp.sum(q**2)

    def end(h):
        kernel = HMC(h, n)
        return step(kernel, KEY, kernel.init(x, logdensity), logdensity)[1].proposal.position[0]

    momentum = step(HMC(h, n), KEY, HMC(h, n).init(x, logdensity), logdensity)[1].momentum[0]

    def closed_form(h):
        angle = n * jnp.arccos(1 - h**2 / 2)
        return x[0] * jnp.cos(angle) + momentum * jnp.sin(angle) / jnp.sqrt(1 - h**2 / 4)

    second = lambda f: jax.jit(jax.jvp, static_argnums=0)(jax.value_and_grad(f), (h,), (1.0,))
    np.testing.assert_allclose(second(end), second(closed_form), rtol=1e-9)


def test_a_kernel_is_the_gradient_of_a_kernel():
    """All hyperparameters at once, as a kernel."""
    kernel = HMC(0.3, 4, DiagonalMass(jnp.array([1.0, 0.6])))
    gradient = jax.jit(jax.grad(lambda kernel: outputs(kernel, START["position"], quartic)[3]))(kernel)
    assert isinstance(gradient, HMC)
    assert gradient.step_size.shape == ()
    assert isinstance(gradient.mass, DiagonalMass)
    assert gradient.mass.diagonal.shape == (2,)
    assert all(np.all(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(gradient))


def test_a_whole_run_in_kernel_start_and_data():
    """Draws of a chain. Acceptances and rejections are those that came about."""

    def f(w):
        logdensity = jax.tree_util.Partial(gaussian, w["precision"], w["mean"])
        kernel = HMC(w["step_size"], 3, DiagonalMass(w["mass"]))
        run = sample(logdensity, w["x0"], kernel, key=KEY, num_samples=6, num_warmup=0, num_chains=2)
        return run.draws, run.energy, run.acceptance

    point = {
        "step_size": jnp.asarray(0.9),
        "mass": jnp.array([1.0, 0.6]),
        "x0": jnp.array([0.1, -1.0]),
        "precision": jnp.array([[1.0, 0.3], [0.3, 2.0]]),
        "mean": jnp.array([0.5, 0.1]),
    }
    assert_derivatives_match(f, point, modes=("reverse",), num_directions=1)


@pytest.mark.slow
def test_reverse_mode_keeps_few_states():
    """The memory of a gradient grows with the root of the number of steps: by 4 from 256 to 4,096, not by 16."""
    x = jnp.zeros(200)

    def temporary_bytes(num_steps):
        def f(h):
            kernel = HMC(h, num_steps, integrator=leapfrog)
            return step(kernel, KEY, kernel.init(x, quartic), quartic)[1].energy_error

        analysis = jax.jit(jax.grad(f)).lower(0.01).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary_bytes(4096) < 5 * temporary_bytes(256)
