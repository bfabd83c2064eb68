"""What grows with chains and draws: the draws themselves."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, _sample

from .problems import sample, standard_normal


@pytest.mark.slow
def test_memory_is_that_of_the_draws_twice(monkeypatch, key):
    """Of the compiled program: the result, and as much again while it is made; nothing of what is thinned out."""
    num_chains, sizes = 4096, []

    def measure(*arguments):
        compiled = run.lower(*arguments).compile().compiled
        sizes.append(compiled.memory_analysis())
        return run(*arguments)

    run: Any = _sample._run
    monkeypatch.setattr(_sample, "_run", measure)
    x0, kernel = jnp.zeros(10, jnp.float32), HMC(np.float32(0.5), 3)
    settings = {"key": key, "num_warmup": 0, "num_samples": 20, "num_chains": num_chains, "thin": 10}
    draws = sample(standard_normal, x0, kernel, **settings).draws
    assert draws.shape == (num_chains, 20, 10)
    kept = draws.nbytes + 13 * num_chains * 20  # acceptance, energy, steps and whether it diverged
    assert sizes[0].output_size_in_bytes < 1.2 * kept
    assert sizes[0].temp_size_in_bytes < 1.5 * kept
