"""All settings of all layers of a LeNet are tuned at once."""

import numpy as np
import pytest

from .running import run


@pytest.mark.slow
def test_lenet_layers(tmp_path, capsys):
    result = run("lenet_layers", tmp_path, "--rows", 50, "--epochs", 4, "--steps", 3, "--seeds", 2)
    printed = capsys.readouterr().out
    assert result.tuned.value < result.tuned.start_value
    values = [np.asarray(each) for each in result.tuned.values.values()]
    assert all(each.shape == (4,) for each in values)
    assert any(np.ptp(each) > 0 for each in values)  # layers go ways of their own
    assert f"test loss {result.tested['for each layer'].losses.mean():.3f}" in printed
