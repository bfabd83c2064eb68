"""Chains over the devices of several processes: `python of_two_processes.py PROCESSES [PORT RANK]`."""

# ruff: noqa: E402
import os
import sys

PROCESSES = int(sys.argv[1])
flag = f" --xla_force_host_platform_device_count={4 // PROCESSES}"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + flag

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from hype_mcmc import from_numpyro, sample

jax.config.update("jax_enable_x64", True)
if PROCESSES > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{sys.argv[2]}", PROCESSES, int(sys.argv[3]), heartbeat_timeout_seconds=10)


def model(y):
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(0.0, scale), obs=y)


posterior = from_numpyro(model, np.array([0.5, -1.0, 0.3]))
settings = {"num_samples": 4, "devices": jax.devices()}
run = sample(posterior, key=jax.random.key(0), num_warmup=20, num_chains=6, **settings)
more = sample(posterior, state=run.state, silent=True, **settings)
draws = jnp.concatenate([run.draws["scale"], more.draws["scale"]], axis=1)
run.summary()
print(" ".join(repr(float(x)) for x in np.asarray(draws).ravel()))
