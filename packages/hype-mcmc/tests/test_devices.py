"""Chains over several devices, which a process must be started with."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from hype_mcmc import sample

from .problems import standard_normal

ON_TWO = """
import jax, jax.numpy as jnp, numpy as np
from hype_mcmc import sample
from own_parts import MALA

jax.config.update("jax_enable_x64", True)
data = jax.device_put(jnp.array([1.0, 2.0]), jax.devices()[0])
target = jax.tree_util.Partial(lambda data, x: -0.5 * jnp.sum((x - data) ** 2), data)

def draws(devices):
    settings = {"key": jax.random.key(0), "num_warmup": 20, "num_samples": 4, "devices": devices}
    run = sample(target, jnp.zeros(2), **settings)
    assert len(run.draws.devices()) == len(devices)
    return run

one, two = draws(jax.devices()[:1]), draws(jax.devices())
np.testing.assert_allclose(two.draws, one.draws, rtol=1e-8)
soon = sample(target, jnp.zeros(2), key=jax.random.key(0), num_samples=1, devices=jax.devices())
assert soon.warmup_transitions == 250  # what chains of both devices agree on, it is known on both
odd = [sample(target, jnp.zeros(2), MALA(jnp.asarray(0.5)), key=jax.random.key(0), num_warmup=0, num_samples=4,
              num_chains=3, devices=devices) for devices in (None, jax.devices())]
np.testing.assert_allclose(odd[1].draws, odd[0].draws, rtol=1e-8)
more = sample(target, jnp.zeros(2), state=odd[1].state, num_samples=1, devices=jax.devices())
assert more.draws.shape == (3, 1, 2)
print(len(more.draws.devices()))
"""


def test_draws_are_those_of_one_device():
    """Warm-up included, which may end soon. Rounding differs, and grows with each transition of it."""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2\n"


DEVICE = jax.devices()[0]


@pytest.mark.parametrize(
    ("devices", "num_chains", "error", "message"),
    [
        ([], 4, ValueError, "`devices` must be one or more different devices"),
        ([DEVICE, DEVICE], 4, ValueError, "`devices` must be one or more different devices"),
        (2, 4, TypeError, "devices"),
        (["cpu"], 4, TypeError, "devices"),
    ],
)
def test_devices_that_cannot_be_used_raise(devices, num_chains, error, message):
    with pytest.raises(error, match=message):
        sample(standard_normal, np.zeros(2), key=jax.random.key(0), devices=devices, num_chains=num_chains)


@pytest.mark.slow
def test_two_processes_draw_what_one_draws():
    """A model, more chains than devices, a warm-up over all chains, and a run that goes on."""
    program = str(Path(__file__).with_name("of_two_processes.py"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    how = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    ranks = [("2", port, "0"), ("2", port, "1"), ("1",)]
    running = [subprocess.Popen([sys.executable, program, *rank], **how) for rank in ranks]
    try:
        written = [process.communicate(timeout=400) for process in running]
    finally:
        for process in running:
            process.kill()
    assert all(process.returncode == 0 for process in running), [error for _, error in written]
    first, second, alone = (np.array(out.splitlines()[-1].split(), float) for out, _ in written)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, alone, rtol=1e-8)
    assert "draws" in written[0][1]
    assert "draws" not in written[1][1]  # the first process alone tells
