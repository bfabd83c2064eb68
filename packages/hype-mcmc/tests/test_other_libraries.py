"""Eight schools as other libraries write it, where they are installed, held to its moments by quadrature."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import Bijection

from .problems import EIGHT_SCHOOLS, sample
from .test_truth import assert_moments

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

Y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SIGMA = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


@pytest.fixture(autouse=True)
def promotion():
    """Other libraries are not written for strict promotion."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def assert_right(mu, log_tau):
    assert_moments(np.stack([mu, log_tau], axis=-1), EIGHT_SCHOOLS.mean, EIGHT_SCHOOLS.sd)


def test_a_joint_distribution_of_tensorflow_probability(key):
    tfd = pytest.importorskip("tensorflow_probability.substrates.jax").distributions
    zero, one, five = np.float64(0), np.float64(1), np.float64(5)
    joint = tfd.JointDistributionNamed(
        {
            "mu": tfd.Normal(zero, five),
            "tau": tfd.HalfCauchy(zero, five),
            "effect": tfd.Sample(tfd.Normal(zero, one), 8),
            "y": lambda mu, tau, effect: tfd.Independent(tfd.Normal(mu + tau * effect, SIGMA), 1),
        }
    )
    pinned = joint.experimental_pin(y=Y)
    b = pinned.experimental_default_event_space_bijector()
    x0 = b.forward(jax.tree.map(jnp.zeros_like, b.inverse(pinned.sample_unpinned(seed=key))))
    transform = Bijection(b.forward, b.inverse, b.forward_log_det_jacobian)
    run = sample(pinned.unnormalized_log_prob, x0, key=key, transform=transform)
    assert_right(run.draws["mu"], np.log(run.draws["tau"]))


def test_a_model_of_pymc(key):
    pm = pytest.importorskip("pymc")
    from pymc.sampling.jax import get_jaxified_logp  # pyright: ignore[reportMissingImports]

    with pm.Model() as model:
        mu, tau = pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 5)
        effect = pm.Normal("effect", 0, 1, shape=8)
        pm.Normal("y", mu + tau * effect, SIGMA, observed=Y)
    logp, point = get_jaxified_logp(model), model.initial_point()
    names = [variable.name for variable in model.value_vars]
    x0 = {name: jnp.asarray(point[name]) for name in names}
    run = sample(lambda x: logp([x[name] for name in names]), x0, key=key)
    assert_right(run.draws["mu"], run.draws["tau_log__"])


def test_blackjax_samples_a_numpyro_model_by_its_log_density(key):
    """And the other way round: what BlackJAX takes is what `sample` takes."""
    blackjax = pytest.importorskip("blackjax")
    import numpyro
    import numpyro.distributions as dist
    from hype_mcmc import from_numpyro

    model = from_numpyro(lambda: numpyro.sample("x", dist.Gamma(3.0, 1.0)))
    adapted, _ = blackjax.window_adaptation(blackjax.nuts, model).run(key, model.initial(), 300)
    step = jax.jit(blackjax.nuts(model, **adapted.parameters).step)
    _, draws = jax.lax.scan(lambda state, key: (step(key, state)[0],) * 2, adapted.state, jax.random.split(key, 2000))
    rates = jax.vmap(model.constrain)(draws.position)["x"]
    assert_moments(rates.reshape(4, 500, 1), [3.0], [np.sqrt(3.0)])
