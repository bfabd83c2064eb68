from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, DenseMass, DiagonalMass, Integrator, Phase, UnitMass, leapfrog, mclachlan, yoshida

from .problems import quartic, standard_normal

INTEGRATORS = {"leapfrog": leapfrog, "mclachlan": mclachlan, "yoshida": yoshida}
ORDERS = {"leapfrog": 2, "mclachlan": 2, "yoshida": 4}
MASSES = {
    "unit": UnitMass(),
    "diagonal": DiagonalMass(np.array([1.0, 2.0, 0.5])),
    "dense": DenseMass(np.array([[1.0, 0.0, 0.0], [0.3, 0.8, 0.0], [-0.2, 0.1, 1.2]])),
}
# Each mass with the leapfrog, each integrator with a dense mass.
CASES = [
    ("leapfrog", "unit"),
    ("leapfrog", "diagonal"),
    ("leapfrog", "dense"),
    ("mclachlan", "dense"),
    ("yoshida", "dense"),
]
POSITION, MOMENTUM = jax.device_put([np.array([0.3, -0.2, 1.0]), np.array([0.5, 1.0, -0.7])])


def phase(position, momentum, logdensity=quartic):
    return Phase(position, momentum, *jax.value_and_grad(logdensity)(position))


@pytest.mark.parametrize(("name", "mass"), CASES)
def test_a_trajectory_run_back_returns(name, mass):
    kernel = HMC(0.1, 20, MASSES[mass], integrator=INTEGRATORS[name])
    follow = jax.jit(lambda q, p: kernel.trajectory(phase(q, p), quartic))
    end = follow(POSITION, MOMENTUM)
    back = follow(end.position, -end.momentum)
    np.testing.assert_allclose(back.position, POSITION, atol=1e-12)
    np.testing.assert_allclose(back.momentum, -np.asarray(MOMENTUM), atol=1e-12)


@pytest.mark.parametrize(("name", "mass"), CASES)
def test_a_trajectory_keeps_volume(name, mass):
    kernel = HMC(0.2, 5, MASSES[mass], integrator=INTEGRATORS[name])

    def flow(z):
        end = kernel.trajectory(phase(z[:3], z[3:]), quartic)
        return jnp.concatenate([end.position, end.momentum])

    jacobian = np.asarray(jax.jit(jax.jacfwd(flow))(np.concatenate([POSITION, MOMENTUM])))
    assert abs(np.linalg.det(jacobian) - 1) < 1e-10
    # Symplectic, which is more than keeping volume.
    form = np.block([[np.zeros((3, 3)), np.eye(3)], [-np.eye(3), np.zeros((3, 3))]])
    np.testing.assert_allclose(jacobian.T @ form @ jacobian, form, atol=1e-10)


@pytest.mark.parametrize("name", INTEGRATORS)
def test_energy_error_has_the_order_of_the_integrator(name):
    mass = MASSES["dense"]

    @partial(jax.jit, static_argnums=0)
    def error(num_steps):
        start = phase(POSITION, MOMENTUM)
        kernel = HMC(1.0 / num_steps, num_steps, mass, integrator=INTEGRATORS[name])
        return abs(kernel.trajectory(start, quartic).energy(mass) - start.energy(mass))

    rate = np.log2(error(10) / error(20))
    assert abs(rate - ORDERS[name]) < 0.2


def test_the_leapfrog_is_the_usual_one():
    """Against the three lines that every text on HMC has, in NumPy."""
    q, p, h = np.array(POSITION), np.array(MOMENTUM), 0.1
    for _ in range(7):
        p = p - h / 2 * q
        q = q + h * p
        p = p - h / 2 * q
    run = lambda q, p: HMC(h, 7).trajectory(phase(q, p, standard_normal), standard_normal)
    end = jax.jit(run)(POSITION, MOMENTUM)
    np.testing.assert_allclose(end.position, q, rtol=1e-13)
    np.testing.assert_allclose(end.momentum, p, rtol=1e-13)
    np.testing.assert_allclose(end.logdensity, standard_normal(q), rtol=1e-13)
    np.testing.assert_allclose(end.logdensity_grad, -q, rtol=1e-13)


def test_one_gradient_a_step():
    calls = []

    def counted(x):
        jax.debug.callback(lambda: calls.append(1))
        return quartic(x)

    start = phase(POSITION, MOMENTUM)
    jax.block_until_ready(HMC(0.1, 13).trajectory(start, counted))
    jax.effects_barrier()
    assert len(calls) == 13


def test_coefficients_must_be_numbers():
    with pytest.raises(TypeError, match="kicks"):
        Integrator("ab", "a")


def test_a_momentum_that_does_not_fit_raises():
    start = Phase(POSITION, jax.device_put(np.ones(2)), jnp.asarray(0.0), POSITION)
    with pytest.raises(ValueError, match=r"`start.momentum` must have the shapes of the position"):
        HMC(0.1, 3).trajectory(start, quartic)


@pytest.mark.parametrize(
    ("kicks", "drifts", "message"),
    [
        ((1.0,), (1.0,), "one entry more"),
        ((0.5, 0.5), (0.9,), "`drifts` must add up to 1"),
        ((0.2, 0.5), (1.0,), "`kicks` must add up to 1"),
        ((0.2, 0.8), (1.0,), "same from both ends"),
    ],
)
def test_coefficients_that_are_no_integrator_raise(kicks, drifts, message):
    with pytest.raises(ValueError, match=message):
        Integrator(kicks, drifts)
