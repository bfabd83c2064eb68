"""The bar that shows how far a run is."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, DynamicHMC, sample

from .problems import standard_normal

X0 = np.array([0.3, -0.2])
KEY = jax.random.key(0)


def shown(capfd):
    jax.effects_barrier()
    return capfd.readouterr().err.replace("\r", "\n")


def same_draws(a, b):
    np.testing.assert_array_equal(a.draws, b.draws)
    np.testing.assert_array_equal(a.energy, b.energy)


@pytest.mark.bitwise
def test_one_bar_for_all_chains_from_warm_up_to_the_last_draw(capfd):
    settings = {"key": KEY, "num_warmup": 30, "num_samples": 20, "thin": 2, "num_chains": 3}
    run = sample(standard_normal, X0, DynamicHMC(0.5, 1.0), **settings)
    text = shown(capfd)
    assert "3 chains, warm-up:   1%|" in text
    last = text.strip().split("\n")[-1]
    assert last.startswith("3 chains, draws: 100%")
    assert "70/70" in last
    assert f"acceptance={np.mean(np.asarray(run.acceptance)):.2f}, divergences=0" in last
    same_draws(run, sample(standard_normal, X0, DynamicHMC(0.5, 1.0), **settings, silent=True))
    assert shown(capfd) == ""


def test_about_twenty_reports_however_short_a_step_is(capfd, monkeypatch):
    """And a run that goes on has a bar of its own."""
    monkeypatch.setenv("COLUMNS", "200")  # in a narrow terminal the line is cut
    first = sample(standard_normal, X0, HMC(3.0, 2), key=KEY, num_warmup=0, num_samples=4000)
    text = shown(capfd)
    assert text.count("%|") < 40
    assert f"divergences={np.sum(np.asarray(first.divergences))}" in text
    sample(standard_normal, X0, state=first.state, num_samples=4000)
    assert "4 chains, draws: 100%" in shown(capfd)


def total(h, **settings):
    return jnp.sum(sample(standard_normal, X0, HMC(h, 2), key=KEY, num_chains=1, **settings).draws)


FIXED = {"num_warmup": 0, "num_samples": 2}


def test_a_compiled_run_has_a_bar_each_time_and_new_settings_do_not_recompile(capfd):
    traces = []

    @jax.jit
    def run(h):
        traces.append(h)
        return total(h, num_warmup=20, num_samples=5)

    for h in (0.3, 0.4):
        jax.block_until_ready(run(h))
        assert "1 chain, draws: 100%" in shown(capfd)
    assert len(traces) == 1


@pytest.mark.parametrize(
    "transform",
    [
        *(pytest.param(f, marks=pytest.mark.slow) for f in (jax.grad, jax.jacfwd)),
        lambda f: lambda h: jax.vmap(f)(h[None]),
    ],
    ids=["grad", "jacfwd", "vmap"],
)
def test_nothing_is_shown_in_derivatives_and_batches(transform, capfd):
    """In the kernel, and in data that the log density closes over."""
    in_data = lambda c: jnp.sum(sample(lambda x: -jnp.sum((x - c) ** 2), X0, HMC(0.3, 2), key=KEY, **FIXED).draws)
    both = lambda h: [transform(f)(h) for f in (lambda h: total(h, **FIXED), in_data)]
    jax.block_until_ready(jax.jit(both)(jnp.asarray(0.3)))
    assert shown(capfd) == ""


def test_a_run_that_raises_leaves_no_bar(capfd):
    failing = lambda x: standard_normal(eqx.error_if(x, jnp.all(jnp.abs(x) > 1.5), "far"))
    with pytest.raises(Exception, match="far"):
        jax.block_until_ready(sample(failing, X0, HMC(0.3, 2), key=KEY, spread=0.1, **FIXED | {"num_samples": 500}))
    assert shown(capfd).split("\n")[-2].strip() == ""


def test_silent_is_true_or_false():
    with pytest.raises(TypeError, match="silent"):
        sample(standard_normal, X0, key=KEY, silent="yes")
