"""Examples whose parts optimize: each runs, small, and shows what it claims."""

import jax.numpy as jnp
import numpy as np
import pytest

from .running import run


@pytest.mark.slow
def test_a_minimum_inside_of_a_minimum(tmp_path):
    result = run("nested_minimum", tmp_path, "--inner-steps", 10, "--outer-steps", 12)
    for through, implicit in zip(result.checkpointed, result.implicit, strict=True):
        np.testing.assert_allclose(through, implicit, atol=1e-9)
    np.testing.assert_allclose(result.outer.loss, -0.039762, atol=1e-5)


def test_the_rules_of_a_game_are_what_theory_says(tmp_path):
    result = run("game", tmp_path, "--rounds", 16, "--outer-steps", 60)
    np.testing.assert_allclose(result.tax, -4, atol=0.2)
    np.testing.assert_allclose(jnp.sum(result.after[-1]), 8, atol=0.3)


def test_adams_betas_are_tuned(tmp_path):
    result = run("adam_betas", tmp_path, "--rows", 40, "--hidden", 5, "--epochs", 4, "--outer-steps", 5)
    assert result.valid_losses[1] < result.valid_losses[0]
    assert all(each != 0 for each in (result.tuned.beta1.raw - result.default.beta1.raw, result.tuned.beta2.raw))


@pytest.mark.slow
def test_penalties_are_those_of_cross_validation(tmp_path, capsys):
    sizes = ("--rows", 150, "--folds", 3, "--outer-steps", 8, "--inner-steps", 14)
    result = run("implicit_ridge", tmp_path, *sizes)
    # Their grids have steps of 6%, and near a minimum the error hardly depends on the penalty.
    np.testing.assert_allclose(result.ridge.w.value, result.ridge_theirs[0], rtol=0.07)
    assert result.ridge.loss < result.ridge_theirs[1] + 1e-6
    assert result.net_theirs[2] * 0.98 < result.net.loss < result.net_theirs[2] + 1e-6
    assert "2,000 pairs tried" in capsys.readouterr().out


def test_control_adapts(tmp_path):
    result = run("adaptive_control", tmp_path, "--steps", 10, "--inner-steps", 6, "--tries", 6)
    assert result.costs[1] < result.costs[0]


@pytest.mark.slow
def test_a_penalty_on_sensitivity_helps_with_rotations(tmp_path):
    result = run("invariance", tmp_path, "--rows", 60, "--hidden", 10, "--steps", 30, "--outer-steps", 5)
    assert result.outer.loss < result.outer.loss_history[0]
    assert result.invariant.mean() < result.plain.mean()
