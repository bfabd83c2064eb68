"""The examples of what is more than a function of one example: a state, held parts, other processes."""

import subprocess
import sys

import jax
import matplotlib.image
import numpy as np
import pytest

from .running import EXAMPLES, run


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


@pytest.mark.slow
def test_many_tunings(tmp_path):
    """As one runs it: workers are processes that begin with nothing."""
    pytest.importorskip("distributed")
    picture = tmp_path / "picture.png"
    command = [sys.executable, EXAMPLES / "many_tunings.py", "--digits", "3", "--steps", "1", "--out", picture]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500).stdout
    assert "3 tunings on 2 workers" in printed
    rows = [line.split() for line in printed.splitlines()[1:4]]
    assert sorted(row[0] for row in rows) == ["0", "1", "2"]
    assert all(float(after) <= float(before) for _, _, _, before, after, *_ in rows)
    assert matplotlib.image.imread(picture).std() > 0.05
