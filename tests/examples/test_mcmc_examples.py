"""The examples of sampling: each runs, small, and shows what it claims."""

import numpy as np
import pytest

from .running import run


def test_a_kernel_is_tuned_by_climbing(tmp_path):
    sizes = ("--size", 5, "--num-steps", 4, "--rounds", 6, "--steps", 15, "--draws", 200)
    result = run("tuned_hmc", tmp_path, *sizes)
    before, after = (result.kernels[name] for name in ("the bad start", "climbed by minimize"))
    assert result.efficiency["climbed by minimize"] > 20 * result.efficiency["the bad start"]
    assert result.efficiency["climbed by minimize"] > 0.3 * result.efficiency["warm-up, default kernel"]
    # The mass has made the target round: a step turns all directions nearly equally far.
    turns = [k.step_size / (result.deviations * np.sqrt(k.mass.diagonal)) for k in (before, after)]
    assert turns[0].max() / turns[0].min() > 99
    assert turns[1].max() / turns[1].min() < 3


@pytest.mark.slow
def test_a_sampler_learns_from_its_bound(tmp_path):
    result = run("elbo_sampler", tmp_path, "--lengths", 3, "--rounds", 20, "--draws", 32)
    before, after = result.bounds[3]
    assert result.log_evidence - 0.3 < after < result.log_evidence + 0.02
    assert before < after - 1
