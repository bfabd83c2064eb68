"""The growth rate of perturbations is what linear algebra says, and following them changes nothing else."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import Constant, CrossEntropyOnLinear, Minibatch, Momentum, Newton, Params, minimize, train

from .problems import classes, network, valley

CURVES = np.array([1.0, 3.0])
bowl = lambda w: 0.5 * jnp.sum(CURVES * w**2)
START = np.array([-0.4, 0.8])
track = partial(Params, silent=True, track_sensitivity=True)


def test_gradient_descent_on_a_quadratic():
    # A step multiplies the perturbation by 1 - rate * curvature; the largest of these wins.
    for rate, factor in ((0.1, 0.9), (0.6, 0.8), (0.8, 1.4)):
        sensitivity = minimize(bowl, START, track(60, learning_rate=Constant(rate))).sensitivity
        np.testing.assert_allclose(sensitivity.history[-1], np.log(factor), rtol=1e-4)
        np.testing.assert_allclose(sensitivity.growth, np.mean(sensitivity.history), rtol=1e-12)
        assert (sensitivity.growth > 0) == (factor > 1)


def test_momentum_is_part_of_what_is_perturbed():
    # w' = w + v', v' = m v - r w in one dimension; complex eigenvalues of modulus sqrt(m).
    sensitivity = minimize(
        lambda w: 0.5 * w**2, jnp.array(1.0), track(400, learning_rate=Constant(0.5), momentum=Momentum(0.5))
    ).sensitivity
    np.testing.assert_allclose(sensitivity.growth, 0.5 * np.log(0.5), rtol=0.01)


@pytest.mark.slow
def test_steps_not_made_have_no_growth():
    stopped = minimize(bowl, START, track(50, learning_rate=Constant(0.5), tolerance=1e-3))
    made = int(stopped.steps)
    assert 0 < made < 50
    assert np.all(np.isfinite(stopped.sensitivity.history[:made]))
    assert np.all(np.isnan(stopped.sensitivity.history[made:]))
    np.testing.assert_allclose(stopped.sensitivity.growth, np.mean(stopped.sensitivity.history[:made]), rtol=1e-12)
    # Newton's method forgets where it came from.
    forgotten = minimize(bowl, START, track(2, method=Newton(), learning_rate=Constant(1.0))).sensitivity
    assert forgotten.growth < -30
    assert minimize(bowl, START, replace(track(2), track_sensitivity=False)).sensitivity is None


def minimized(params):
    return minimize(valley, START, params)


def trained(params):
    return train(network(), classes(12), replace(params, loss=CrossEntropyOnLinear(), batch=Minibatch(4)))


@pytest.mark.parametrize(("run", "rate"), [(minimized, 0.03), pytest.param(trained, 0.3, marks=pytest.mark.slow)])
def test_following_a_perturbation_changes_nothing_else(run, rate):
    plain = Params(6, learning_rate=Constant(rate), momentum=Momentum(0.7), silent=True)

    def outcome(rate, params):
        result = run(replace(params, learning_rate=Constant(rate)))
        return result.loss, result.loss_history

    both = jax.jit(jax.grad(outcome, has_aux=True))
    untracked, tracked = (both(rate, p) for p in (plain, replace(plain, track_sensitivity=True)))
    np.testing.assert_allclose(tracked[0], untracked[0], rtol=1e-11)
    np.testing.assert_allclose(tracked[1], untracked[1], rtol=1e-13)


@pytest.mark.slow
def test_under_vmap_and_without_derivatives():
    growth = lambda rate: minimize(valley, START, track(20, learning_rate=rate)).sensitivity.growth
    rates = jnp.array([0.02, 0.2])
    batch, slope = jax.jit(lambda rates: (jax.vmap(growth)(rates), jax.grad(growth)(rates[0])))(rates)
    np.testing.assert_allclose(batch, [growth(rate) for rate in rates], rtol=1e-12)
    assert slope == 0


def test_single_precision():
    sensitivity = minimize(lambda w: jnp.sum(w**2), jnp.ones(2, jnp.float32), track(3, learning_rate=0.1)).sensitivity
    assert sensitivity.growth.dtype == sensitivity.history.dtype == jnp.float32
    np.testing.assert_allclose(sensitivity.growth, np.log(0.8), rtol=1e-5)
