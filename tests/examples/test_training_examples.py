"""The examples of what is more than a function of one example: a state, held parts."""

import jax
import numpy as np
import pytest

from .running import run


@pytest.mark.slow
def test_resnet(tmp_path, capsys):
    with jax.enable_x64(False):  # convolutions in double precision are slow
        trained = run("resnet", tmp_path, "--rows", 400, "--width", 2, "--epochs", 8, "--rate", 0.3)
    assert trained.error < 0.5
    np.testing.assert_allclose(trained.derivative, trained.difference, rtol=0.2, atol=3e-3)
    printed = capsys.readouterr().out
    assert f"test error {trained.error:.2%}" in printed
    assert f"{trained.result.valid_loss:.4f}" in printed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`tune` found no settings")
def test_low_rank_adapters(tmp_path, capsys):
    found = run("low_rank_adapters", tmp_path, "--rank", 6, "--steps", 50, "--outer-steps", 6)
    assert found.before > 0.7
    assert max(found.equal, found.tuned) < 0.5
    assert found.search.value <= found.search.start_value
    assert f"{found.tuned:.1%}" in capsys.readouterr().out
