"""All settings of all layers of a LeNet are tuned at once."""

import numpy as np
import pytest

from .running import run


@pytest.mark.slow
def test_lenet_layers(tmp_path, capsys):
    result = run("lenet_layers", tmp_path, "--rows", 50, "--epochs", 4, "--steps", 3, "--seeds", 2)
    printed = capsys.readouterr().out
    assert result.tuned.value < result.tuned.start_value
    for name, values in result.tuned.values.items():
        assert len(np.unique(np.asarray(values))) == 4, name  # each layer has its own
    assert f"test loss {result.tested['for each layer'].losses.mean():.3f}" in printed
