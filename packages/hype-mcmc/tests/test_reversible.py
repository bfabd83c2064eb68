"""Reverse mode by running trajectories back, against reverse mode through their steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import (
    HMC,
    CheckpointedTrajectory,
    DenseMass,
    DiagonalMass,
    DynamicHMC,
    FixedSteps,
    ReversibleTrajectory,
    UnitMass,
    leapfrog,
    mclachlan,
    yoshida,
)

from .problems import quartic, sample, standard_normal, step

KEY = jax.random.key(8)
POSITION = np.array([0.1, -1.0, 0.4])
MASSES = {
    "unit": UnitMass(),
    "diagonal": DiagonalMass(jnp.array([1.0, 2.0, 0.5])),
    "dense": DenseMass(jnp.array([[1.0, 0.0, 0.0], [0.3, 0.8, 0.0], [-0.2, 0.1, 1.2]])),
}


def scaled(scale, x):
    return quartic(scale * x)


def everything(kernel, position, logdensity):
    """One number from all that comes of a transition."""
    _, info = step(kernel, KEY, kernel.init(position, logdensity), logdensity)
    end = info.proposal
    parts = (end.position, end.momentum, end.logdensity, end.logdensity_grad, info.energy_error, info.acceptance_rate)
    return sum(jnp.sum(jnp.sin(x)) for x in jax.tree.leaves(parts))


def objective(point):
    kernel, position, scale = point
    return everything(kernel, position, jax.tree_util.Partial(scaled, scale))


def point(adjoint, mass="dense", integrator=leapfrog, num_steps=4):
    kernel = HMC(0.2, num_steps, MASSES[mass], integrator=integrator, adjoint=adjoint)
    return kernel, POSITION, jnp.array([1.0, 0.7, 1.2])


def assert_close(got, expected, rtol=1e-11):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, np.max(np.abs(b))))


@pytest.mark.parametrize(
    ("integrator", "mass", "num_steps"),
    [
        (leapfrog, "diagonal", 100),
        pytest.param(mclachlan, "dense", 4, marks=pytest.mark.slow),
        pytest.param(yoshida, "unit", 4, marks=pytest.mark.slow),
    ],
)
def test_gradients_are_those_of_checkpointed(integrator, mass, num_steps):
    gradient = jax.jit(jax.grad(objective))
    expected = gradient(point(CheckpointedTrajectory(), mass, integrator, num_steps))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(expected))
    # Rounding grows along the way back as any perturbation does: by about a hundred in the 20 units of the longest.
    assert_close(
        gradient(point(ReversibleTrajectory(), mass, integrator, num_steps)),
        expected,
        1e-11 if num_steps == 4 else 1e-8,
    )


@pytest.mark.slow
def test_second_derivatives():
    assert_derivatives_match(jax.grad(objective), point(ReversibleTrajectory(), "diagonal"), num_directions=1)


@pytest.mark.slow
def test_a_whole_run_with_data_that_the_log_density_closes_over():
    """Kernel, start and data of chains side by side."""

    def f(adjoint, w):
        kernel = HMC(w["step_size"], FixedSteps(3, jitter=0.2), DiagonalMass(w["mass"]), adjoint=adjoint)
        run = sample(lambda x: quartic(w["scale"] * x), w["x0"], kernel, key=KEY, num_samples=4, num_warmup=0)
        return jnp.sum(run.draws**2) + jnp.sum(run.acceptance)

    w = {"step_size": jnp.asarray(0.6), "mass": jnp.array([1.0, 0.6]), "x0": POSITION[:2], "scale": jnp.asarray(0.9)}
    adjoints = ReversibleTrajectory(), CheckpointedTrajectory()
    assert_close(*jax.jit(lambda w: [jax.grad(f, 1)(adjoint, w) for adjoint in adjoints])(w))


def test_single_precision_stays_single():
    x = POSITION.astype(jnp.float32)
    f = lambda h, x: everything(HMC(h, 3, adjoint=ReversibleTrajectory()), x, standard_normal)
    gradient = jax.eval_shape(jax.grad(f, (0, 1)), jnp.float32(0.1), x)
    assert [leaf.dtype for leaf in gradient] == [jnp.float32] * 2


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_steps():
    def temporary_bytes(num_steps):
        kernel = HMC(0.01, num_steps, DiagonalMass(jnp.ones(200)), adjoint=ReversibleTrajectory())
        f = lambda kernel: step(kernel, KEY, kernel.init(jnp.zeros(200), quartic), quartic)[1].energy_error
        analysis = jax.jit(jax.grad(f)).lower(kernel).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary_bytes(65_536) <= temporary_bytes(256)


@pytest.mark.slow
def test_a_random_number_of_steps_has_reverse_mode():
    """And forward over it: against forward mode of the default."""

    def f(adjoint, w):
        kernel = DynamicHMC(w["step_size"], 0.9, DiagonalMass(w["mass"]), adjoint=adjoint)
        return everything(kernel, POSITION, jax.tree_util.Partial(scaled, w["scale"]))

    w = {"step_size": jnp.asarray(0.2), "mass": jnp.array([1.0, 0.6, 2.0]), "scale": jnp.array([1.0, 0.7, 1.2])}
    direction = jax.tree.map(jnp.ones_like, w)
    reverse, along = jax.jit(lambda w: jax.jvp(jax.grad(lambda w: f(ReversibleTrajectory(), w)), (w,), (direction,)))(w)
    forward, along_forward = jax.jit(
        lambda w: jax.jvp(jax.jacfwd(lambda w: f(CheckpointedTrajectory(), w)), (w,), (direction,))
    )(w)
    assert_close(reverse, forward)
    assert_close(along, along_forward)


def test_forward_mode_alone_is_refused():
    kernel = HMC(0.1, 3, adjoint=ReversibleTrajectory())
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: everything(kernel, x, standard_normal), (POSITION,), (POSITION,))


def test_what_is_no_adjoint_raises():
    with pytest.raises(TypeError, match="adjoint"):
        HMC(0.1, 3, adjoint="reversible")
