"""Several processes, as on several machines: the same results, files that any number of them read, and an end."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("of_two_processes.py")


def started(folder, processes, *more):
    """The processes, each started as a user would on a machine of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = [()] if processes == 1 else [(port, str(processes), str(rank), *more) for rank in range(processes)]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return [subprocess.Popen([sys.executable, str(PROGRAM), str(folder), *r], env=environment, **how) for r in ranks]


def finished(folder, processes):
    """What each process found, and what it wrote to the standard error stream."""
    running = started(folder, processes)
    try:
        written = [process.communicate(timeout=400) for process in running]
    finally:
        for process in running:
            process.kill()
    assert all(process.returncode == 0 for process in running), [error for _, error in written]
    found = [
        np.array((folder / f"found-{processes}-{rank}.txt").read_text().split(), float) for rank in range(processes)
    ]
    return found, [error for _, error in written]


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path):
    """Memory and stream, hypergradients, tuning, and a run that goes on in another number of processes."""
    found, told = finished(tmp_path, 2)
    np.testing.assert_array_equal(found[0], found[1])
    assert "step/s" in told[0]
    assert "step/s" not in told[1]  # the first process alone tells
    alone, _ = finished(tmp_path, 1)  # goes on from the file of the two
    np.testing.assert_allclose(found[0], alone[0], rtol=1e-12)
    loss, again, of_memory, of_stream = found[0][1:5]
    np.testing.assert_allclose([again, of_stream], [loss, of_memory], rtol=1e-12)
    (tmp_path / "state.npz").unlink()
    np.testing.assert_allclose(finished(tmp_path, 1)[0][0], found[0], rtol=1e-12)


@pytest.mark.slow
def test_a_killed_process_ends_the_others(tmp_path):
    running = started(tmp_path, 2, "killed")
    try:
        assert running[1].wait(timeout=400) != 0
        began = time.monotonic()
        assert running[0].wait(timeout=120) != 0
        assert time.monotonic() - began < 60
    finally:
        for process in running:
            process.kill()
            process.communicate()
