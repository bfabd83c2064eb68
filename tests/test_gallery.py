"""Each example of the first half of the gallery runs, small, and shows what it claims."""

import importlib.util
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path, capsys):
    """Runs an example, and gives what it found and what it printed, if it has drawn a picture."""

    def run(name, *arguments):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        picture = tmp_path / "new folder" / "picture.png"
        result = module.main([*arguments, "--out", str(picture)])
        assert matplotlib.image.imread(picture).std() > 0.05
        return result, capsys.readouterr().out

    return run


def test_pixel_penalties(run):
    result, printed = run("pixel_penalties", "--steps", "60", "--outer-steps", "40")
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
    assert result.history[-1] < 0.7 * result.history[0]
    assert result.learned < 0.5 * result.random.mean()
    assert result.learned < result.random.min()
    assert f"ten learned images          {result.learned:7.2%}" in printed
