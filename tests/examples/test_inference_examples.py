"""The examples of differentiable inference: each runs, small, and is held to numbers that are known otherwise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .running import call, example

pytestmark = pytest.mark.slow  # each compiles several samplers


def test_sensitivities_are_those_of_quadrature(tmp_path, capsys):
    found = call("posterior_sensitivity", tmp_path, num_samples=1000)
    exact, ours, errors = (found[name] for name in ("exact", "covariance", "mcse"))
    assert exact.shape == ours.shape == (8, 18)
    assert np.sqrt(np.mean((ours - exact) ** 2)) < 0.1 * np.sqrt(np.mean(exact**2))
    assert np.mean(np.abs(ours - exact) < 3 * errors) > 0.9
    assert np.corrcoef(found["differences"].ravel(), exact.ravel())[0, 1] > 0.95
    assert f"{np.sqrt(np.mean((ours - exact) ** 2)):.4f} by covariances in one run" in capsys.readouterr().out


def test_tuned_scales_of_priors_are_the_best_of_a_grid(tmp_path):
    found = call("prior_tuning", tmp_path, steps=30, num_samples=100, grid=3)
    start, tuned, grid = found.test_losses.values()
    assert tuned < start - 0.02
    assert tuned < grid + 0.02
    assert found.tuned.value < found.losses.min() + 0.01


def test_the_derivative_of_a_held_out_density_is_that_of_long_runs(tmp_path):
    prior_tuning = example("prior_tuning")
    rows, valid = prior_tuning.load((40, 200))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        loss = jax.jit(lambda scale, key: prior_tuning.loss(rows, valid, 2000, scale * jnp.array([2.0, 0.5]), key))
        keys = jax.random.split(jax.random.key(0), 4)
        slopes = np.array([jax.grad(loss)(2.0, key) for key in keys])
        differences = np.array([(loss(2.4, key) - loss(1.6, key)) / 0.8 for key in keys])
    error = np.sqrt((slopes.var(ddof=1) + differences.var(ddof=1)) / 4)
    assert abs(slopes.mean() - differences.mean()) < 3 * error + 0.1 * abs(slopes.mean())
    assert error < 0.3 * abs(slopes.mean())


def test_leapfrogs_widen_what_mean_field_makes_narrow(tmp_path):
    found = call("hmc_variational", tmp_path, lengths=(8,), rounds=30, num_samples=1000)
    bounds = [bound for bound, _ in found.values()][1:]
    assert bounds[0] + 1 < bounds[1]
    mean_field, leapfrogs = (found[name][1].std(axis=0) / found["sample"][1].std(axis=0) for name in list(found)[1:])
    assert np.all(mean_field < 0.5)
    assert np.all(leapfrogs > 0.55)


def test_empirical_bayes_is_the_maximum_of_the_closed_form(tmp_path):
    found = call("empirical_bayes", tmp_path, groups=20, steps=80, num_samples=200)
    ours, theirs = found.errors
    assert np.all(np.abs(found.path[-1] - found.best) < 0.3 * theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0.2)
    np.testing.assert_allclose(found.log_evidence[0], found.log_evidence[1], atol=1.0)
