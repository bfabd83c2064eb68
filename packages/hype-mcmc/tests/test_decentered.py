"""Hierarchies in other coordinates: the same density, learned centeredness, and runs that go on in their own."""

import warnings
from typing import Any
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from hype_mcmc import Samples, from_numpyro, log_evidence_ratio
from hype_mcmc._logdensity import watched_logdensity
from hype_mcmc._resume import check_same_coordinates

from .problems import EIGHT_SCHOOLS, sample
from .test_numpyro import SIGMA, Y, schools
from .test_truth import assert_moments


@pytest.fixture(autouse=True, scope="module")
def promotion():
    """NumPyro's distributions are not written for strict promotion."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def centered(sigma, y=None):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", sigma.shape[0]):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def test_other_coordinates_of_a_hierarchy_are_the_same_density():
    model = from_numpyro(centered, SIGMA, y=Y)
    draw = {"mu": 1.0, "tau": 2.0, "theta": np.linspace(-3, 9, 8)}

    @jax.jit
    def both(c):
        other = model.decentered(c)
        position = other.unconstrain(draw)
        log_det = (1 - c) * 8 * np.log(2.0)
        mine = model(model.unconstrain(draw))
        return other(position) - log_det, mine, position["theta_decentered"], other.constrain(position)

    assert set(model.decentered(0.5).initial()) == {"mu", "tau", "theta_decentered"}
    value, mine, coordinate, back = both(0.3)
    np.testing.assert_allclose(value, mine, rtol=1e-12)
    np.testing.assert_allclose(coordinate, 0.3 + (draw["theta"] - 1) * 2**-0.7, rtol=1e-12)
    assert set(back) == set(draw)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12), back, draw)
    for c, message in ((1.5, "`centeredness` must be from 0 to 1"), ({"mu": 0.0}, r"of \['theta'\], got \['mu'\]")):
        with pytest.raises(ValueError, match=message):
            model.decentered(c)
    with pytest.raises(ValueError, match="and this one has none"):
        from_numpyro(schools, SIGMA, y=Y).decentered()


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "low", "high"), [(1.0, 0.0, 0.1), (0.02, 0.6, 1.0)])
def test_centeredness_is_learned_by_how_much_the_data_say(scale, low, high, key):
    """And then eight schools, centered, are sampled by a plain call."""
    model = from_numpyro(centered, scale * SIGMA, y=Y).decentered()
    assert low <= model.centeredness["theta"] <= high
    if scale == 1:
        run = sample(model, key=key)
        assert np.max(run.summary().rhat) < 1.01
        rows = np.stack([run.draws["mu"], np.log(run.draws["tau"])], axis=-1)
        assert_moments(rows, EIGHT_SCHOOLS.mean, EIGHT_SCHOOLS.sd)
        more = sample(model, {name: x[:, -1] for name, x in run.draws.items()}, key=key, chained=True, num_samples=5)
        assert more.to_arviz(key=key, groups=["log_likelihood"])["log_likelihood"]["y"].shape == (4, 5, 8)


def test_coordinates_of_another_centeredness_are_not_taken_for_those_of_the_run():
    model = from_numpyro(centered, SIGMA, y=Y)
    run = Mock(spec=Samples, model=model.decentered(0.0))
    for densities in ((model.decentered(0.5),), (model.decentered(0.0), model.decentered(0.5))):
        with pytest.raises(ValueError, match=r"centeredness of the run, 0.0 for 'theta', got 0.5"):
            log_evidence_ratio(run, densities[0], drawn_from=(*densities, None)[1])


def test_the_centeredness_of_an_event_can_be_given_as_it_is_learned():
    def model():
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        numpyro.sample("x", dist.Normal(jnp.zeros(3), scale).to_event(1))

    c, draw = np.array([0.0, 0.5, 1.0]), {"scale": 2.0, "x": np.arange(3.0)}
    plain = from_numpyro(model)
    other = plain.decentered({"x": c})
    density = jax.jit(lambda: [model(model.unconstrain(draw)) for model in (plain, other)])
    expected, found = density()
    np.testing.assert_allclose(found, expected + 1.5 * np.log(2.0), rtol=1e-12)
    with pytest.raises(ValueError, match=r"one number, or an array of shape \(3,\), got an array of shape \(2,\)"):
        plain.decentered({"x": c[:2]})


@pytest.mark.slow
def test_a_run_goes_on_in_its_own_coordinates_only(key):
    """Also with other data, of which a model tells more than parameters."""

    def model(sigma, c):
        def told(sigma, y):
            centered(sigma, y)
            numpyro.deterministic("told", sigma)

        return from_numpyro(told, sigma, y=Y).decentered(c)

    first = sample(model(SIGMA, 0.0), key=key, num_warmup=0, num_samples=8, num_chains=2)
    check_same_coordinates(watched_logdensity(model(2 * SIGMA, 0.0)), first.state)
    for other in (model(SIGMA, 0.5), model(SIGMA, {})):
        with pytest.raises(ValueError, match=r"had other coordinates .*`run.model.centeredness`"):
            sample(other, state=first.state, num_samples=4)


def radon(county, floor, uranium, counties, log_radon=None):
    """Houses in counties that have an intercept and a slope of their own, as in Gelman and Hill (2007)."""
    mean: Any = numpyro.sample("mean", dist.Normal(0.0, 2.0).expand([2]).to_event(1))
    of_uranium: Any = numpyro.sample("of_uranium", dist.Normal(0.0, 1.0))
    spread: Any = numpyro.sample("spread", dist.HalfNormal(1.0).expand([2]).to_event(1))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with numpyro.plate("county", counties):
        intercept: Any = numpyro.sample("intercept", dist.Normal(mean[0] + of_uranium * uranium, spread[0]))
        slope: Any = numpyro.sample("slope", dist.Normal(mean[1], spread[1]))
    with numpyro.plate("house", county.shape[0]):
        numpyro.sample("log_radon", dist.Normal(intercept[county] + slope[county] * floor, noise), obs=log_radon)


@pytest.mark.slow
def test_varying_slopes_of_many_counties(key):
    """Simulated: 85 counties with 1 to 60 houses each, nearly 900 in all."""
    rng = np.random.default_rng(0)
    county = np.repeat(np.arange(85), np.minimum(rng.geometric(0.1, 85), 60))
    floor, uranium = (rng.random(county.size) < 0.2).astype(float), 0.4 * rng.normal(size=85)
    intercept, slope = 1.4 + 0.7 * uranium + 0.3 * rng.normal(size=85), -0.7 + 0.3 * rng.normal(size=85)
    y = intercept[county] + slope[county] * floor + 0.75 * rng.normal(size=county.size)
    model = from_numpyro(radon, county, floor, uranium, 85, log_radon=y).decentered()
    assert set(model.centeredness) == {"intercept", "slope"}
    run = sample(model, key=key, num_warmup=300, num_samples=300)
    assert np.max(run.summary().rhat) < 1.04
    for name, truth in (("intercept", intercept), ("slope", slope)):
        z = (np.mean(run.draws[name], (0, 1)) - truth) / np.std(run.draws[name], (0, 1))
        assert 0.7 < np.std(z) < 1.3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("arviz")
        data = run.to_arviz(key=key, coords={"county": [f"county {i}" for i in range(85)]})
    assert set(data["posterior"].data_vars) == {"mean", "of_uranium", "spread", "noise", "intercept", "slope"}
    assert data["posterior"]["slope"].dims == ("chain", "draw", "county")
    assert data["posterior"]["mean"].dims == ("chain", "draw", "mean_dim_0")
    assert data["log_likelihood"]["log_radon"].dims == ("chain", "draw", "house")
    assert data["posterior"].coords["county"].values[84] == "county 84"
    errors = data["posterior_predictive"]["log_radon"].values.mean((0, 1)) - y
    assert abs(np.std(errors) / 0.75 - 1) < 0.1
