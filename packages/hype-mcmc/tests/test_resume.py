"""A run that goes on under another density has states of that density, and derivatives in what it depends on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, Interval, Positive, Simplex

from .problems import sample

FEW = {"num_samples": 4, "num_warmup": 0, "num_chains": 3}
NARROW = HMC(0.05, 3)


def normal(mean, x):
    return -0.5 * jnp.sum((x - mean) ** 2)


def of(mean):
    return jax.tree_util.Partial(normal, jnp.asarray(mean, float))


def test_the_chains_go_on_with_what_the_new_density_is_where_they_are(key):
    first = sample(of(20.0), 20 + jnp.zeros(2), NARROW, key=key, **FEW)
    second = sample(of(2.0), jnp.zeros(2), state=first.state, num_samples=4)

    # What the kernel makes of the same positions without a memory of the density before.
    @jax.jit
    @jax.vmap
    def four_draws(x, key):
        def transition(chain, t):
            after = NARROW.advance(jax.random.fold_in(key, t), chain, of(2.0), jnp.array(0.5), jnp.ones(()))[0]
            return after, after.position

        return jax.lax.scan(transition, NARROW.init(x, of(2.0)), jnp.arange(4, 8))[1]

    np.testing.assert_allclose(second.draws, four_draws(first.state.chains.position, first.state.keys), rtol=1e-12)
    assert np.all(second.acceptance > 0.9)


def test_a_chain_outside_of_the_new_support_is_refused(key):
    first = sample(of(0.0), jnp.zeros(2), NARROW, key=key, **FEW)
    inside = lambda x: jnp.where(x[0] > 50, normal(0.0, x), -jnp.inf)
    with pytest.raises(ValueError, match=r"where the chains of `state` are; chains \[0, 1, 2\]"):
        sample(inside, jnp.zeros(2), state=first.state, num_samples=4)


def test_parameters_that_had_another_transform_are_refused(key):
    exponential = lambda x: -jnp.sum(x)
    first = sample(exponential, jnp.ones(2), NARROW, key=key, transform=Positive(), **FEW)
    np.testing.assert_array_equal(first.state.parameters, first.draws[:, -1])
    for other, message in ((Interval(0.0, 99.0), "with `x0=state.parameters`"), (Simplex(), "must have the shapes of")):
        with pytest.raises(ValueError, match=rf"parameters had other coordinates .*{message}"):
            sample(exponential, state=first.state, transform=other, num_samples=4)


@pytest.mark.slow
def test_derivatives_of_a_resumed_run_are_in_the_density_too(key):
    state = sample(of(0.0), jnp.zeros(2), NARROW, key=key, **FEW).state

    def energy(mean):
        return sample(of(mean), jnp.zeros(2), state=state, num_samples=2).energy

    same, other = jax.jit(lambda: (jax.jacfwd(energy)(0.0), jax.jacrev(energy)(0.5)))()
    half = lambda mean: (energy(mean + 1e-6) - energy(mean - 1e-6)) / 2e-6
    np.testing.assert_allclose(same, half(0.0), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(other, half(0.5), rtol=1e-6, atol=1e-8)
