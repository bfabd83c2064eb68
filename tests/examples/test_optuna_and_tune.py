"""Optuna picks what is discrete, and `tune` improves the rest within its trials."""

import numpy as np
import pytest

from .running import run


@pytest.mark.slow
def test_optuna_and_tune(tmp_path, capsys):
    pytest.importorskip("optuna")
    result = run("optuna_and_tune", tmp_path, "--trials", 2, "--steps", 8, "--seeds", 2)
    printed = capsys.readouterr().out
    assert len(result.reported) == 2
    for values in result.reported:
        assert np.mean(values[-2:]) < values[0]
    assert set(result.together.choices) == {"width", "kind"}
    assert len(result.alone.losses) == 2
    assert f"in as many trainings: {result.together.trainings:.0f}" in printed
