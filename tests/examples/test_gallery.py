"""Each example of the first half of the gallery runs, small, and shows what it claims."""

import jax
import matplotlib.image
import numpy as np
import pytest

from .running import example


@pytest.fixture
def run(tmp_path, capsys):
    """Runs an example, and gives what it found and what it printed, once it has drawn its picture."""

    def run(name, *arguments):
        picture = tmp_path / "new folder" / "picture.png"
        result = example(name).main([*arguments, "--out", str(picture)])
        assert matplotlib.image.imread(picture).std() > 0.05  # something is drawn
        return result, capsys.readouterr().out

    return run


def test_pixel_penalties(run):
    result, printed = run("pixel_penalties", "--steps", "40", "--outer-steps", "60")
    assert result.penalties.shape == (10, 64)
    assert np.all(result.penalties > 0)
    assert np.ptp(np.log(result.penalties)) > 1
    assert result.learned.valid_loss < 0.95 * result.shared.valid_loss
    assert result.errors[1] < result.errors[0]  # on images that neither training nor penalties have seen
    assert f"{result.learned.valid_loss:.4f}" in printed
    assert f"{result.errors[1]:.2%}" in printed


def test_hyper_cleaning(run):
    arguments = ("--rows", "300", "--trusted", "200", "--steps", "30", "--outer-steps", "25")
    result, printed = run("hyper_cleaning", *arguments)
    assert result.images.wrong.sum() == 150
    found, wrong = result.found, result.images.wrong
    assert result.f1 == pytest.approx(2 * (found & wrong).sum() / (found.sum() + wrong.sum()))
    assert result.f1 > 0.8  # finding all would give 0.67, and half of them at random 0.5
    oracle, cleaned, baseline, _ = result.accuracies.values()
    assert oracle > baseline
    assert cleaned > baseline
    assert f"F1 {result.f1:.3f}" in printed
    assert f"{cleaned:.2%}" in printed


def test_learned_examples(run):
    result, printed = run("learned_examples", "--steps", "15", "--outer-steps", "60", "--draws", "20")
    assert result.images.shape == (10, 64)
    assert result.history[0] == pytest.approx(np.log(10), abs=0.05)  # blank images teach nothing
    assert np.mean(result.history[-3:]) < 0.7 * result.history[0]
    assert result.learned < 0.5 * result.random.mean()
    assert result.learned < result.random.min()
    assert f"ten learned images          {result.learned:7.2%}" in printed


@pytest.mark.slow
def test_initialization_scales(run):
    arguments = ("--hidden", "16", "--steps", "12", "--outer-steps", "40", "--seeds", "2")
    result, printed = run("initialization_scales", *arguments)
    small, large = result.searches["small"], result.searches["large"]
    for search in (small, large):
        assert search.losses[-1] < 0.6 * search.losses[0]
        assert f"{search.losses[-1]:.4f}" in printed
    # The two searches approach each other, and the rule of thumb.
    ratio = large.scales / small.scales
    assert np.all(ratio[-1] < 0.3 * ratio[0])
    assert np.all(np.abs(np.log(small.scales[-1] / result.rule)) < np.abs(np.log(small.scales[0] / result.rule)))


def test_training_sensitivities(run):
    result, printed = run("training_sensitivities", "--rows", "100", "--steps", "20", "--checked", "9")
    assert result.predicted.shape == (100,)
    assert result.correlation > 0.9
    assert f"{result.correlation:.4f}" in printed
    # To first order, and so in the mean, what was predicted is what came.
    np.testing.assert_allclose(result.predicted[result.checked], result.actual, atol=0.3 * np.abs(result.actual).max())


@pytest.mark.slow
def test_layer_schedules(run):
    result, printed = run("layer_schedules", "--hidden", "8", "--steps", "10", "--outer-steps", "15", "--seeds", "2")
    rates = jax.tree.leaves(result.rates)
    assert [rate.shape for rate in rates] == [(10,)] * 8
    assert np.all(np.concatenate(rates) > 0)
    assert len({np.asarray(rate).tobytes() for rate in rates}) == 8  # each array has its own
    assert np.mean(result.history[-3:]) < result.history[0] - 0.05
    assert f"end {result.factor:.2f} times lower" in printed


@pytest.mark.slow
def test_reversible_schedule(run):
    result, printed = run("reversible_schedule", "--hidden", "8", "--steps", "20", "--outer-steps", "8")
    assert [rate.shape for rate in jax.tree.leaves(result.rates)] == [(20,)] * 8
    assert result.after.loss < result.before.loss
    assert result.difference < 1e-3  # in float32 and with the momentum rounded
    assert f"{result.after.loss:.4f} with the learned ones" in printed


@pytest.mark.slow
def test_poisson(run):
    arguments = "--dimension", "100", "--steps", "500", "--batch", "32", "--samples", "4", "--hidden", "16"
    result, printed = run("poisson", *arguments)
    assert result.error < 0.25
    assert np.mean(result.residuals[-20:]) < 0.1 * result.residuals[0]
    assert f"{result.error:.2%}" in printed
