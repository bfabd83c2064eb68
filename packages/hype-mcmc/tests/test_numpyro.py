"""NumPyro's models through `sample`: their density, names, constraints, data, likelihoods and predictions."""

import functools
import importlib.metadata
import sys
import types
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import HMC, expectation, from_numpyro
from numpyro import handlers
from numpyro.infer import MCMC, NUTS

from .problems import EIGHT_SCHOOLS, batched, sample
from .test_truth import assert_moments

Y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SIGMA = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
TRACES = []


@pytest.fixture(autouse=True, scope="module")
def promotion():
    """NumPyro's distributions are not written for strict promotion."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def schools(sigma, y=None):
    TRACES.append(1)
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", sigma.shape[0]):
        effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * effect)
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


@pytest.fixture(scope="module")
def run():
    return sample(from_numpyro(schools, SIGMA, y=Y), key=jax.random.key(0), num_warmup=300, num_samples=600)


def test_a_model_and_a_key_are_enough(run):
    """Against the moments by quadrature, under the model's names and in its coordinates."""
    assert {name: draws.shape for name, draws in run.draws.items()} == {
        "mu": (4, 600), "tau": (4, 600), "effect": (4, 600, 8), "theta": (4, 600, 8)
    }  # fmt: skip
    rows = np.stack([run.draws["mu"], np.log(run.draws["tau"])], axis=-1)
    assert_moments(rows, EIGHT_SCHOOLS.mean, EIGHT_SCHOOLS.sd)
    mu, tau, effect = (np.asarray(run.draws[name]) for name in ("mu", "tau", "effect"))
    np.testing.assert_allclose(run.draws["theta"], mu[..., None] + tau[..., None] * effect, rtol=1e-12)
    assert set(run.unconstrained) == {"mu", "tau", "effect"}
    np.testing.assert_allclose(run.unconstrained["tau"], np.log(run.draws["tau"]), atol=1e-12)
    assert {"mu", "tau", "theta[7]"} <= set(run.summary().names)


def test_new_data_do_not_compile_again(run):
    settings: dict[str, Any] = {"num_warmup": 300, "num_samples": 600}
    before = len(TRACES)
    model = from_numpyro(schools, SIGMA / 2, y=Y + 50)
    looked_at = len(TRACES) - before
    other = sample(model, key=jax.random.key(0), **settings)
    assert len(TRACES) - before == looked_at <= 2
    assert np.max(other.summary().rhat) < 1.05
    assert np.all(np.abs(np.mean(np.asarray(other.draws["theta"]), axis=(0, 1)) - Y - 50) < 2 * SIGMA / 2)


@pytest.mark.slow
def test_a_run_goes_on_from_its_state_or_from_a_draw(run):
    model = from_numpyro(schools, SIGMA, y=Y)
    more = sample(model, state=run.state, num_samples=5)
    assert more.draws["theta"].shape == (4, 5, 8)
    x0 = {name: draws[:, -1] for name, draws in run.draws.items()}  # deterministic sites are in it as well
    again = sample(model, x0, HMC(1e-9, 1), key=jax.random.key(1), chained=True, num_warmup=0, num_samples=1)
    np.testing.assert_allclose(again.draws["tau"][:, 0], x0["tau"], rtol=1e-6)


def test_a_start_is_one_of_all_latent_sites():
    model = from_numpyro(schools, SIGMA, y=Y)
    position = model.unconstrain({"mu": 1.0, "tau": np.e, "effect": np.ones(8), "theta": "not looked at"})
    np.testing.assert_allclose(position["tau"], 1.0)
    with pytest.raises(ValueError, match=r"each latent site, \['mu', 'tau', 'effect'\], got \['mu'\]"):
        model.unconstrain({"mu": 0.0})


@pytest.mark.slow
def test_draws_are_differentiable_in_the_data(key):
    settings: dict[str, Any] = {"key": key, "num_warmup": 0, "num_samples": 2, "num_chains": 1}

    def end(data):
        return sample(from_numpyro(schools, data["sigma"], y=data["y"]), kernel=HMC(0.1, 2), **settings).draws["theta"]

    assert_derivatives_match(end, {"sigma": jnp.asarray(SIGMA), "y": jnp.asarray(Y)}, modes=("reverse",))


@pytest.mark.slow
def test_leave_one_out_is_that_of_numpyros_own_sampler(run):
    """By ArviZ, where it is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arviz = pytest.importorskip("arviz")
        mcmc = MCMC(
            NUTS(schools), num_warmup=500, num_samples=1000, num_chains=4, chain_method="vectorized", progress_bar=False
        )
        mcmc.run(jax.random.key(5), SIGMA, y=Y)
        ours, theirs = (arviz.loo(data) for data in (run.to_arviz(), arviz.from_numpyro(mcmc, log_likelihood=True)))
    elpd = lambda loo: float(loo["elpd_loo"] if "elpd_loo" in dir(loo) else loo.elpd)
    assert abs(elpd(ours) - elpd(theirs)) < 0.25


def constrained():
    """One of each kind of support, with a scale of an improper prior and a factor."""
    scale = numpyro.sample("scale", dist.ImproperUniform(dist.constraints.positive, (), ()))
    numpyro.factor("gamma", 2.0 * jnp.log(scale) - scale)
    top = numpyro.sample("top", dist.Beta(3.0, 2.0))
    numpyro.sample("below", dist.Uniform(0.0, top))  # a support that depends on another site
    numpyro.sample("shares", dist.Dirichlet(jnp.array([1.0, 2.0, 4.0])))
    numpyro.sample("correlation", dist.LKJCholesky(2, 3.0))


@pytest.mark.slow
def test_constraints_and_jacobians_are_numpyros(key):
    run = sample(from_numpyro(constrained), key=key, num_warmup=300, num_samples=600)
    draws = {name: np.asarray(x) for name, x in run.draws.items()}
    assert np.all(draws["below"] < draws["top"])
    rows = np.stack([draws["scale"], draws["top"], draws["shares"][..., 2], draws["correlation"][..., 1, 0]], axis=-1)
    means, variances = [3.0, 0.6, 4 / 7, 0.0], [3.0, 0.04, 12 / 392, 1 / 7]
    assert_moments(rows, means, np.sqrt(variances))


@pytest.mark.slow
def test_a_model_in_handlers_is_one_of_its_own():
    """Conditioned on more; its log density by hand, the Jacobian of the logarithm included."""
    model = from_numpyro(handlers.condition(functools.partial(schools, SIGMA), {"y": jnp.asarray(Y), "mu": 3.0}))
    position = {"tau": jnp.array(0.5), "effect": jnp.linspace(-1, 1, 8)}
    assert jax.tree.map(jnp.shape, model.initial()) == jax.tree.map(jnp.shape, position)
    tau = np.exp(0.5)
    parts = [
        dist.Normal(0.0, 5.0).log_prob(3.0), dist.HalfCauchy(5.0).log_prob(tau) + 0.5,
        jnp.sum(dist.Normal(0.0, 1.0).log_prob(position["effect"])),
        jnp.sum(dist.Normal(3.0 + tau * position["effect"], SIGMA).log_prob(Y)),
    ]  # fmt: skip
    np.testing.assert_allclose(model(position), sum(parts), rtol=1e-12)
    predict = model.predictive().posterior_predictive
    assert predict is not None
    new = predict(jax.random.key(0), {"tau": jnp.array(0.0), "effect": jnp.zeros(8)})
    assert np.all(np.abs(new["y"] - 3.0) < 4 * SIGMA)  # given that `mu` is 3, which is drawn anew itself
    assert new["mu"].shape == ()


def in_no_plate(y):
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("prior", dist.Normal(1.0, 1.0), obs=x)  # a second factor of the prior
    numpyro.sample("y", dist.Normal(x, 0.1), obs=y)
    numpyro.sample("z", dist.MultivariateNormal(x * np.ones(2), scale_tril=0.1 * np.eye(2)), obs=jnp.stack([y, y], -1))


def test_data_have_the_axes_that_were_observed_and_priors_are_no_data():
    alone = from_numpyro(in_no_plate, Y[:3]).predictive()
    predict, likelihood = alone.posterior_predictive, alone.log_likelihood
    assert predict is not None
    assert likelihood is not None
    assert set(alone.observed_data or ()) == {"y", "z"}
    new, likely = jax.jit(lambda x: (predict(jax.random.key(0), {"x": x}), likelihood({"x": x})))(5.0)
    assert {name: x.shape for name, x in new.items()} == {"y": (3,), "z": (3, 2)}
    assert {name: x.shape for name, x in likely.items()} == {"y": (3,), "z": (3,)}
    drawn = jax.device_get(list(new.values()))
    assert all(0.01 < np.std(x) < 0.3 and abs(np.mean(x) - 5) < 0.3 for x in drawn)  # each has its own noise


OFFSET = {"of the model": jnp.array(0.0)}


def shifted():
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.factor("away", 5.0 * OFFSET["of the model"] * x)


@pytest.mark.slow
def test_a_model_that_reads_something_else_now_is_sampled_as_it_is_now(key):
    model, settings = from_numpyro(shifted), {"key": key, "num_warmup": 0, "num_samples": 1}
    slope = lambda: sample(model, kernel=HMC(1e-9, 1), spread=0.0, **settings).state.chains.logdensity_grad["x"][0]
    np.testing.assert_allclose(slope(), 0.0, atol=1e-6)
    OFFSET["of the model"] = jnp.array(1.0)
    np.testing.assert_allclose(slope(), 5.0, rtol=1e-6)


def test_a_function_is_no_density_of_the_run_of_a_model(run):
    model = from_numpyro(schools, SIGMA, y=Y)
    with pytest.raises(ValueError, match="must be models, such as `from_numpyro"):
        expectation(lambda draw: draw["mu"], run, lambda x: model(x))


def discrete():
    numpyro.sample("z", dist.Bernoulli(0.5))


def subsampled(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with numpyro.plate("part", 8, subsample_size=4) as index:
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y[index])


def variational():
    numpyro.sample("x", dist.Normal(numpyro.param("location", 0.0), 1.0))


def random():
    noise = jax.random.normal(numpyro.prng_key())
    numpyro.sample("x", dist.Normal(noise, 1.0))


def grouped(group):
    numpyro.sample("x", dist.Normal(0.0, 1.0).expand([len(np.unique(group))]))


def observed(y):
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=y)


@pytest.mark.parametrize(
    ("model", "arguments", "error", "message"),
    [
        (discrete, (), ValueError, r"no discrete latent sites, got \['z'\].*its `obs` was None"),
        (subsampled, (Y,), ValueError, r"plates without `subsample_size`, got \['part'\]"),
        (variational, (), ValueError, r"no `numpyro.param`, got \['location'\]"),
        (random, (), ValueError, "must draw nothing beside its sites"),
        (grouped, (np.array([0, 1, 1]),), ValueError, r"needs a value of its data .*functools.partial\(model, data\)"),
        (observed, (Y,), ValueError, "must have a latent site"),
        (observed, (bytearray(b"y"),), TypeError, "must hold arrays, .* got a bytearray"),
        (3.0, (), TypeError, "model"),
    ],
)
def test_what_cannot_be_sampled_is_said(model, arguments, error, message):
    with pytest.raises(error, match=message):
        from_numpyro(model, *arguments)


def test_data_that_a_model_needs_the_values_of_can_be_left_out_of_the_arguments():
    assert from_numpyro(functools.partial(grouped, np.array([0, 1, 1]))).initial()["x"].shape == (2,)


def test_without_numpyro_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpyro", None)
    with pytest.raises(ImportError, match=r"hype-mcmc\[numpyro\]"):
        from_numpyro(schools, SIGMA, y=Y)


@pytest.fixture
def given(run, monkeypatch):
    """What ArviZ would get of a run, by a stand-in: ArviZ is an extra."""
    stand_in = types.SimpleNamespace(from_dict=lambda groups, coords, dims: (groups, coords, dims))
    monkeypatch.setitem(sys.modules, "arviz", stand_in)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.3.0")
    return run.to_arviz


def test_arviz_gets_all_that_the_model_knows(run, given):
    groups, coords, dims = given(key=jax.random.key(3), coords={"school": list("ABCDEFGH")})
    assert set(groups) == {
        "posterior", "sample_stats", "log_likelihood", "observed_data", "posterior_predictive", "prior",
        "prior_predictive",
    }  # fmt: skip
    assert coords == {"school": list("ABCDEFGH")}
    assert dims == {name: ["school"] for name in ("effect", "theta", "y")}
    np.testing.assert_array_equal(groups["observed_data"]["y"], Y)
    normal = lambda theta: dist.Normal(theta, SIGMA).log_prob(Y)
    np.testing.assert_allclose(groups["log_likelihood"]["y"], batched(normal)(run.draws["theta"]), rtol=1e-10)
    new = groups["posterior_predictive"]["y"] - np.asarray(run.draws["theta"])
    assert np.all(np.abs(np.mean(new, axis=(0, 1))) < 5 * SIGMA / np.sqrt(2400))
    np.testing.assert_allclose(np.std(new, axis=(0, 1)), SIGMA, rtol=0.1)
    prior = groups["prior"]
    assert {name: x.shape for name, x in prior.items()} == {
        "mu": (1, 600), "tau": (1, 600), "effect": (1, 600, 8), "theta": (1, 600, 8)
    }  # fmt: skip
    assert abs(np.median(prior["tau"]) - 5) < 1.5  # half Cauchy
    residual = (groups["prior_predictive"]["y"] - prior["theta"]) / SIGMA
    assert abs(np.std(residual) - 1) < 0.1


def test_without_a_key_nothing_is_drawn_and_groups_can_be_chosen(given):
    assert set(given()[0]) == {"posterior", "sample_stats", "log_likelihood", "observed_data"}
    assert set(given(groups=["posterior", "observed_data"])[0]) == {"posterior", "observed_data"}
    with pytest.raises(ValueError, match=r"`groups` must be of \['posterior', .*, got \['prior'\]"):
        given(groups=["prior"])


def test_an_improper_prior_is_not_drawn():
    alone = from_numpyro(constrained).predictive()
    assert (alone.prior, alone.log_likelihood, alone.posterior_predictive, alone.observed_data) == (None,) * 4
    assert from_numpyro(schools, SIGMA, y=Y).predictive().prior is not None


READ = {"scale": jnp.array(1.0)}


def scaled():
    x = numpyro.sample("x", dist.Uniform(0.0, READ["scale"]))
    numpyro.deterministic("more", x + READ["scale"])
    numpyro.sample("y", dist.Normal(x, READ["scale"]), obs=2 * READ["scale"])


@pytest.mark.slow
def test_all_that_a_model_tells_is_of_what_it_reads_now(key):
    model, settings = from_numpyro(scaled), {"key": key, "num_warmup": 0, "num_samples": 10}

    def told():
        run = sample(model, {"x": 0.1}, **settings)
        np.testing.assert_allclose(run.draws["more"] - run.draws["x"], READ["scale"], rtol=1e-5)
        data = run.to_arviz(key=key, groups=["log_likelihood", "observed_data", "prior"])
        density = expectation(lambda draw: model(model.unconstrain(draw)), run, model)
        x = run.draws["x"]
        expected = dist.Normal(x, READ["scale"]).log_prob(2 * READ["scale"])
        np.testing.assert_allclose(data["log_likelihood"]["y"].values, expected, rtol=1e-5)
        np.testing.assert_allclose(data["observed_data"]["y"].values, 2 * READ["scale"])
        assert np.all(run.draws["x"] < READ["scale"])
        return density, float(data["prior"]["x"].max())

    before = told()
    READ["scale"] = jnp.array(10.0)
    after = told()
    assert after[1] > 5 * before[1]
    assert abs(after[0] - before[0]) > 0.5


@pytest.mark.slow
def test_a_start_may_be_a_draw_of_other_data_and_is_checked(run, key):
    fewer, settings = from_numpyro(schools, SIGMA, y=Y + 1.0), {"key": key, "num_warmup": 0, "num_samples": 1}
    x0 = {name: draws[0, -1] for name, draws in run.draws.items()}
    latent = {name: x0[name] for name in ("mu", "tau", "effect")}
    assert sample(fewer, {**latent, "theta": jnp.zeros(3), "mistyped": 1.0}, **settings).draws["mu"].shape == (4, 1)
    with pytest.raises(ValueError, match=r"values of the shapes .*got 'mu' \(1,\)"):
        sample(fewer, {**latent, "mu": jnp.zeros(1)}, **settings)
    with pytest.raises(ValueError, match="within the constraints"):
        sample(fewer, {**latent, "tau": -1.0}, **settings)
    with pytest.raises(ValueError, match=r"run\.unconstrained"):
        fewer(x0)


def named_as_a_dimension():
    numpyro.sample("chain", dist.Normal(0.0, 1.0))
    numpyro.deterministic("nothing", jnp.zeros(0))


def test_names_of_arviz_dimensions_are_refused_and_groups_that_need_a_key_say_so(run, key):
    bad = sample(from_numpyro(named_as_a_dimension), key=key, num_warmup=0, num_samples=10)
    with pytest.raises(ValueError, match=r"\['chain'\]"):
        bad.to_arviz()
    with pytest.raises(ValueError, match="need a `key`"):
        run.to_arviz(groups=["posterior_predictive"])
