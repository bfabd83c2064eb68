"""The bar that shows how far a run is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, DynamicHMC, sample

from .problems import standard_normal

X0 = jnp.array([0.3, -0.2])
KEY = jax.random.key(0)


def shown(capfd):
    return capfd.readouterr().err.replace("\r", "\n")


def same_draws(a, b):
    np.testing.assert_allclose(a.draws, b.draws, rtol=1e-12)
    np.testing.assert_allclose(a.energy, b.energy, rtol=1e-12)


def test_one_bar_for_all_chains_from_warm_up_to_the_last_draw(capfd):
    settings = {"key": KEY, "num_warmup": 30, "num_samples": 20, "thin": 2, "num_chains": 3}
    run = sample(standard_normal, X0, DynamicHMC(0.5, 1.0), **settings, silent=False)
    text = shown(capfd)
    last = text.strip().split("\n")[-1]
    assert last.startswith("3 chains, draws: 100%")
    assert "70/70" in last
    assert f"acceptance={np.mean(np.asarray(run.acceptance)):.2f}, divergences=0" in last
    same_draws(run, sample(standard_normal, X0, DynamicHMC(0.5, 1.0), **settings))
    assert shown(capfd) == ""


def test_reports_come_a_few_times_a_second_however_short_a_step_is(capfd):
    """And a run that goes on has a bar of its own."""
    first = sample(standard_normal, X0, HMC(3.0, 2), key=KEY, num_warmup=0, num_samples=4000, silent=False)
    text = shown(capfd)
    assert text.count("%|") < 40
    assert f"divergences={np.sum(np.asarray(first.divergences))}" in text
    sample(standard_normal, X0, state=first.state, num_samples=4000, silent=False)
    assert "4 chains, draws: 100%" in shown(capfd)


@pytest.mark.parametrize(
    "transform",
    [
        jax.grad,
        jax.jacfwd,
        jax.jit,
        lambda f: lambda h: jax.vmap(f)(h[None]),
        lambda f: lambda h: jax.jit(lambda: f(0.3))(),
    ],
    ids=["grad", "jacfwd", "jit", "vmap", "jit of constants"],
)
def test_nothing_is_shown_inside_of_transformations(transform, capfd):
    def f(h):
        run = sample(standard_normal, X0, HMC(h, 2), key=KEY, num_warmup=0, num_samples=2, num_chains=1, silent=False)
        return jnp.sum(run.draws)

    jax.block_until_ready(transform(f)(jnp.asarray(0.3)))
    assert shown(capfd) == ""


def test_silent_is_true_or_false():
    with pytest.raises(TypeError, match="silent"):
        sample(standard_normal, X0, key=KEY, silent="yes")
