"""What ArviZ gets of a log density that is a function, and that ArviZ itself, where it is installed, reads it all."""

import importlib.metadata
import sys
import types
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC

from .problems import sample

Y = np.array([0.3, -1.0, 0.4, 1.1])


def log_likelihood(mean):
    return -0.5 * (Y - mean) ** 2 - 0.5 * np.log(2 * np.pi)


def predict(key, mean):
    return {"y": mean + jax.random.normal(key, (4,))}


def posterior(mean):
    return -0.5 * mean**2 + jnp.sum(log_likelihood(mean))


@pytest.fixture(scope="module")
def run():
    return sample(posterior, 0.0, HMC(0.5, 3), key=jax.random.key(0), num_warmup=0, num_samples=400)


GIVEN = {
    "log_likelihood": log_likelihood,
    "posterior_predictive": predict,
    "prior": jax.random.normal,
    "observed_data": Y,
    "dims": {"y": ["place"]},
    "coords": {"place": ["a", "b", "c", "d"]},
    "key": jax.random.key(1),
}


@pytest.fixture
def given(run, monkeypatch):
    """By a stand-in: ArviZ is an extra."""
    monkeypatch.setitem(sys.modules, "arviz", types.SimpleNamespace(from_dict=lambda **all_of_it: all_of_it))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.23.4")
    return run.to_arviz


def test_functions_of_a_draw_make_the_groups(run, given):
    """An array is `y`, whatever it is of; a draw that is one is `x`."""
    made = given(**GIVEN)
    np.testing.assert_array_equal(made["posterior"]["x"], run.draws)
    assert (made["dims"], made["coords"]) == (GIVEN["dims"], GIVEN["coords"])
    mean = np.asarray(run.draws)
    np.testing.assert_allclose(made["log_likelihood"]["y"], log_likelihood(mean[..., None]), rtol=1e-12)
    np.testing.assert_array_equal(made["observed_data"]["y"], Y)
    assert made["prior"]["x"].shape == (1, 400)
    for predicted, around in (
        (made["posterior_predictive"]["y"], mean),
        (made["prior_predictive"]["y"], made["prior"]["x"]),
    ):
        noise = predicted - around[..., None]
        assert abs(noise.mean()) < 0.1
        assert abs(noise.std() - 1) < 0.05
    assert set(given()) == {"posterior", "sample_stats", "coords", "dims"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"posterior_predictive": predict}, ValueError, "`key` must be given"),
        ({"log_likelihood": 3.0}, TypeError, "log_likelihood"),
        ({"groups": ["log_likelihood"]}, ValueError, r"`groups` must be of \['posterior', 'sample_stats'\]"),
    ],
)
def test_what_cannot_be_made_raises(given, arguments, error, message):
    with pytest.raises(error, match=message):
        given(**arguments)


@pytest.mark.slow
def test_arviz_reads_all_groups(run):
    """The expected log predictive density by leave-one-out of a normal mean is known; either generation will do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arviz = pytest.importorskip("arviz")
        data = run.to_arviz(**GIVEN)
        assert dict(data["log_likelihood"].sizes) == {"chain": 4, "draw": 400, "place": 4}
        assert list(data["observed_data"]["y"].place.values) == ["a", "b", "c", "d"]
        loo = arviz.loo(data)
        flat = arviz.compare({"one": data, "other": data})
    # Without y_i the posterior is N((sum of the others) / 4, 1 / 4), and y_i is from it with variance 1 / 4 + 1.
    center, variance = (Y.sum() - Y) / 4, 1.25
    exact = np.sum(-0.5 * (Y - center) ** 2 / variance - 0.5 * np.log(2 * np.pi * variance))
    elpd = loo["elpd_loo"] if "elpd_loo" in dir(loo) else loo.elpd
    assert abs(float(elpd) - exact) < 0.1
    assert len(flat) == 2
