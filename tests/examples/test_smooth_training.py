"""Where a training is smooth the hypergradient predicts, and `tune` learns."""

import numpy as np
import pytest

from .running import run


@pytest.mark.slow
def test_smooth_training(tmp_path, capsys):
    arguments = (
        "--activations",
        "tanh",
        "--rows",
        100,
        "--hidden",
        8,
        "--epochs",
        10,
        "--steps",
        12,
        "--directions",
        12,
    )
    seen = run("smooth_training", tmp_path, *arguments)
    printed = capsys.readouterr().out
    smooth = seen["tanh, rate 0.1, momentum 0.9"]
    assert len(seen) == 4
    assert smooth.correlation > 0.95
    assert smooth.after < smooth.before
    assert np.isfinite([it.growth for it in seen.values()]).all()
    assert f"{smooth.correlation:.3f}" in printed
