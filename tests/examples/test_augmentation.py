"""Tuned strengths of augmentation are worth something where training images are few."""

import pytest

from .running import run


@pytest.mark.slow
def test_augmentation(tmp_path, capsys):
    arguments = ("--rows", 50, "--hidden", 8, "--epochs", 60, "--steps", 12, "--seeds", 4)
    result = run("augmentation", tmp_path, *arguments)
    printed = capsys.readouterr().out
    assert result.tuned.value < result.tuned.start_value
    tuned, none = result.tested["tuned"], result.tested["no augmentation"]
    assert tuned.losses.mean() < none.losses.mean()
    assert f"test loss {tuned.losses.mean():.3f}" in printed
