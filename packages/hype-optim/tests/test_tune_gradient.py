"""How `tune` finds gradients: exactly, or smoothed where trainings are chaotic or fail."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import (
    Params,
    SmoothedGradient,
    minimize,
    positive,
    tune,
    unbounded,
)


def test_a_smoothed_gradient_is_that_of_the_mean_over_perturbations():
    # The mean of a sine over a normal distribution of width s is the sine times exp(-s^2 / 2).
    gradient, point = SmoothedGradient(pairs=40_000, width=0.5), {"x": jnp.array([0.3, 2.0])}
    value, slope = jax.jit(lambda p: gradient(lambda p, key: jnp.sum(jnp.sin(p["x"])), p, jax.random.key(0)))(point)
    damped = np.exp(-(0.5**2) / 2)
    np.testing.assert_allclose(value, damped * np.sum(np.sin([0.3, 2.0])), atol=0.02)
    np.testing.assert_allclose(slope["x"], damped * np.cos([0.3, 2.0]), atol=0.03)


def test_failed_trainings_are_left_out_of_a_smoothed_gradient():
    gradient, key = SmoothedGradient(pairs=64, width=0.5), jax.random.key(0)
    value, slope = gradient(lambda x, key: jnp.where(x > 0.5, jnp.nan, x), jnp.zeros(()), key)
    assert np.isfinite(value)
    np.testing.assert_allclose(slope, 1, atol=0.9)
    assert np.isnan(gradient(lambda x, key: x * jnp.nan, jnp.zeros(()), key)[0])


def rough(settings, key):
    """Waves of length 1e-6 on a bowl, whose derivative says nothing, and is not finite."""
    x = settings["x"]
    return x**2 + 1e-3 * jnp.sin(1e6 * x) + 0 * jnp.sqrt(x - x)


@pytest.mark.slow
def test_gradients_without_a_meaning_are_smoothed_and_that_is_said():
    with pytest.warns(UserWarning, match="are smoothed from step 3 on"):
        tuned = tune(rough, {"x": unbounded(1.0)}, key=jax.random.key(0), steps=40, silent=True)
    assert abs(tuned.values["x"]) < 0.2
    assert tuned.smooths == 3
    assert "smoothed from step 3 on" in tuned.summary()


@pytest.mark.slow
def test_chaotic_trainings_are_told_from_their_growth_rate():
    def objective(settings, key):
        # Steps of the logistic map, which is chaotic: the derivative of 4 x (1 - x) has a mean logarithm of log(2).
        params = Params(
            60, learning_rate=1.0, return_best=False, keep_w_history=False, silent=True, track_sensitivity=True
        )
        f = jax.tree_util.Partial(lambda r, w: w**2 / 2 - 4 * (w**2 / 2 - w**3 / 3) + 0 * r, settings["r"])
        found = minimize(f, jnp.array(0.3) + 0.01 * settings["r"], params)
        return eqx.tree_at(lambda result: result.loss, found, (settings["r"] - 2) ** 2)

    with pytest.warns(UserWarning, match="Perturbations of a training grow by"):
        tuned = tune(objective, {"r": positive(1.0)}, key=jax.random.key(0), steps=30, silent=True)
    np.testing.assert_allclose(tuned.growth, 60 * np.log(2), rtol=0.2)
    np.testing.assert_allclose(tuned.values["r"], 2, rtol=0.1)
