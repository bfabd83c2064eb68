"""A training that is killed in the middle, by a signal that no process can catch, goes on as if nothing had been."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hype_ad.testing import tree_allclose

from .running import EXAMPLES, example

EPOCHS, CHUNK = 100, 4


def epoch(line):
    return int(line.split()[1])


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, capfd):
    def arguments(name):
        files = ["--file", str(tmp_path / f"{name}.npz"), "--out", str(tmp_path / "picture.png")]
        return ["--epochs", str(EPOCHS), "--chunk", str(CHUNK), *files]

    command = [sys.executable, str(EXAMPLES / "long_run.py"), *arguments("killed")]
    environment = os.environ | {"JAX_ENABLE_X64": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = ""
        for line in process.stdout:
            if line.startswith("epoch") and epoch(line) >= 3 * CHUNK:
                os.kill(process.pid, signal.SIGKILL)
                break
        said = [line, *process.stdout]
    assert process.returncode == -signal.SIGKILL
    last_seen = max(epoch(line) for line in said if line.endswith("saved\n"))

    module = example("long_run")
    resumed = module.main(arguments("killed"))
    found = int(capfd.readouterr().out.split("Going on from epoch ")[1].split()[0])
    assert last_seen <= found <= last_seen + CHUNK < EPOCHS  # what was announced is there
    uninterrupted = module.main(arguments("whole"))
    assert "Going on" not in capfd.readouterr().out
    outcome = lambda progress: (progress.losses, progress.valid_losses, progress.result.w, progress.result.state)
    assert tree_allclose(outcome(resumed), outcome(uninterrupted), rtol=0.0, atol=0.0)
    assert np.all(np.isfinite(resumed.losses))
    assert resumed.result.valid_loss < 0.15
