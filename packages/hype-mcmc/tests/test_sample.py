"""The contract of `sample`: keys, chains, resuming, compiling, and what it refuses."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_mcmc import HMC, DenseMass, DiagonalMass, DynamicHMC, FixedSteps, Samples, UnitMass

from .problems import quartic, sample, standard_normal

X0 = np.array([0.3, -0.2, 1.0])
KERNELS = {"HMC": HMC(0.4, FixedSteps(3, jitter=0.2)), "DynamicHMC": DynamicHMC(0.4, 1.2, DiagonalMass(np.ones(3)))}
FIXED: dict[str, Any] = {"num_warmup": 0, "num_samples": 20, "num_chains": 3}


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_shapes_and_the_same_key_the_same_draws(kernel, key):
    run = sample(quartic, X0, kernel, key=key, **FIXED)
    assert run.draws.shape == (3, 20, 3)
    for record in (run.acceptance, run.energy, run.divergences, run.num_steps):
        assert record.shape == (3, 20)
    assert_same(run.draws, sample(quartic, X0, kernel, key=key, **FIXED).draws)
    other = sample(quartic, X0, kernel, key=jax.random.key(1), **FIXED).draws
    assert np.all(np.any(np.asarray(other) != np.asarray(run.draws), axis=(1, 2)))
    assert len(np.unique(np.asarray(run.draws)[:, 0], axis=0)) == 3


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_a_chain_alone_is_that_chain_among_many(kernel, key):
    many = sample(quartic, X0, kernel, key=key, **FIXED)
    for i in range(3):
        alone = sample(quartic, X0, kernel, key=key, **{**FIXED, "num_chains": 1}, first_chain=i)
        np.testing.assert_allclose(np.asarray(alone.draws)[0], np.asarray(many.draws)[i], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "thin"),
    [("DynamicHMC", 3), *(pytest.param(*at, marks=pytest.mark.slow) for at in (("HMC", 3), ("DynamicHMC", 1)))],
)
def test_a_run_that_goes_on_is_one_run_bit_for_bit(name, thin, key):
    kernel = KERNELS[name]
    whole = sample(quartic, X0, kernel, key=key, thin=thin, **FIXED)
    half: dict[str, Any] = {**FIXED, "num_samples": 10}
    first = sample(quartic, X0, kernel, key=key, thin=thin, **half)
    second = sample(quartic, X0, state=first.state, num_samples=10, thin=thin)
    for field in ("draws", "acceptance", "energy", "divergences", "num_steps"):
        assert_same(getattr(whole, field), np.concatenate([getattr(first, field), getattr(second, field)], axis=1))
    assert_same(whole.state.chains, second.state.chains)
    assert int(whole.state.iteration) == int(second.state.iteration) == 20 * thin


def test_thinned_draws_are_every_third(key):
    kernel = KERNELS["HMC"]
    all_of_them = sample(quartic, X0, kernel, key=key, **FIXED)
    thinned = sample(quartic, X0, kernel, key=key, thin=3, **{**FIXED, "num_samples": 10})
    for got, every in ((thinned.draws, all_of_them.draws), (thinned.energy, all_of_them.energy)):
        assert_same(np.asarray(got)[:, :6], np.asarray(every)[:, 2::3])
    assert_same(thinned.num_steps, 9 * np.ones((3, 10)))
    rates = np.asarray(all_of_them.acceptance)[:, :18].reshape(3, 6, 3)
    np.testing.assert_allclose(np.asarray(thinned.acceptance)[:, :6], rates.mean(axis=2), rtol=1e-12)


def test_chains_start_around_one_position(key):
    kernel = HMC(1e-6, 1)  # goes nowhere
    settings: dict[str, Any] = {"key": key, "num_warmup": 0, "num_samples": 1}
    x0 = {"a": 5.0, "b": np.zeros(2)}
    density = lambda x: -((x["a"] - 5) ** 2) - jnp.sum(x["b"] ** 2)
    around = sample(density, x0, kernel, num_chains=200, spread=0.5, **settings).draws
    offsets = np.c_[np.asarray(around["a"]) - 5, np.asarray(around["b"])[:, 0]]
    assert np.all(np.abs(offsets) < 0.5001)
    np.testing.assert_allclose(offsets.std(axis=0), 0.5 / np.sqrt(3), rtol=0.15)


def test_starts_outside_the_support_are_drawn_in(key):
    """Density on (0, 0.01): almost no start within 1 of x0 is inside."""
    narrow = lambda x: jnp.where((x > 0) & (x < 0.01), 0.0, -jnp.inf)
    run = sample(narrow, 0.005, HMC(1e-9, 1), key=key, num_warmup=0, num_samples=1, num_chains=50)
    draws = np.asarray(run.draws)
    assert np.all((draws > 0) & (draws < 0.01))
    assert len(np.unique(draws)) == 50


def test_new_data_and_settings_do_not_recompile(key):
    traces = []

    def logdensity(scale, data, x):
        traces.append(1)
        return -0.5 * jnp.sum((x - data) ** 2) / scale

    def run(scale, data, **settings):
        return sample(
            jax.tree_util.Partial(logdensity, scale, data), np.zeros(3), num_samples=5, num_chains=2, **settings
        )

    run(1.0, np.zeros(3), key=key, num_warmup=30)
    before = len(traces)
    moved = run(2.0, np.full(3, 9.0), key=jax.random.key(1), num_warmup=30, spread=0.3, target_acceptance=0.9)
    assert len(traces) == before
    assert np.mean(np.asarray(moved.draws)) > 5

    # A state has the adapted kernel; going on with it is the program of a kernel that is given.
    resumed = run(2.0, np.full(3, 9.0), state=moved.state)
    assert_same(resumed.kernel, moved.kernel)
    assert int(resumed.state.iteration) == 10
    assert int(resumed.warmup_steps) == 0
    before = len(traces)
    given = run(1.0, np.ones(3), kernel=DynamicHMC(0.1, 1.0, DiagonalMass(np.ones(3))), key=key, num_warmup=0)
    assert len(traces) == before
    assert given.draws.shape == (2, 5, 3)


@pytest.mark.slow
def test_a_density_that_reads_something_else_now_is_sampled_as_it_is_now(key):
    center = {"of the density": jnp.array(0.0)}
    density = lambda x: -0.5 * (x - center["of the density"]) ** 2
    go = lambda x0: sample(density, x0, HMC(0.1, 5), key=key, spread=0.0, **FIXED).draws
    around_zero = go(0.0)
    center["of the density"] = jnp.array(50.0)
    np.testing.assert_allclose(go(50.0), around_zero + 50, rtol=1e-9)


def test_a_run_is_traced_a_constant_number_of_times(key):
    def traces_of(num_samples, num_warmup):
        traces = []

        def logdensity(x):
            traces.append(1)
            return standard_normal(x)

        jax.eval_shape(
            lambda: sample(logdensity, X0, key=key, num_samples=num_samples, num_warmup=num_warmup, num_chains=2)
        )
        return len(traces)

    assert traces_of(10, 30) == traces_of(200, 60)


@pytest.mark.parametrize("mass", [UnitMass(), DiagonalMass(np.ones(3)), DenseMass(np.eye(3))])
def test_single_precision_stays_single(mass, key):
    x0 = X0.astype(jnp.float32)
    run = jax.eval_shape(lambda: sample(standard_normal, x0, DynamicHMC(0.5, 1.0, mass), key=key))
    floats = jax.tree.leaves((run.draws, run.energy, run.acceptance, run.state.chains))
    assert {leaf.dtype for leaf in floats} == {jnp.dtype("float32")}


def test_log_densities_too_large_for_single_precision_are_told_at_the_start(key):
    """And in the summary: see `test_samples.py`. With the constant left out, or in double precision, nothing is."""
    settings = {"kernel": HMC(0.5, 1), "key": key, "num_warmup": 0, "num_samples": 5}
    large = lambda constant, x: standard_normal(x) - constant
    go = lambda constant, dtype: sample(
        jax.tree_util.Partial(large, constant), X0.astype(dtype), **settings | {"kernel": HMC(dtype(0.5), 1)}
    )
    with pytest.warns(UserWarning, match=r"Log densities at the start of 3e\+07 are rounded to 4 in float32") as caught:
        go(np.float32(3e7), np.float32)
    assert "jax_enable_x64" in str(caught[0].message)
    go(np.float32(0.0), np.float32)
    go(np.float64(3e7), np.float64)


def test_large_terms_that_cancel_in_single_precision_are_told(key):
    """The squares of 10,000 numbers around 100, by their sums: a log density of about 1 that is rounded by about 10."""
    settings = {"key": key, "num_warmup": 0, "num_samples": 5, "num_chains": 2}

    def go(logdensity, dtype):
        return sample(logdensity, dtype(100.0), HMC(dtype(1e-4), 65), spread=dtype(0.01), **settings)

    of_sums = lambda x: -0.5 * (1e4 * x**2 - 2e6 * x + 1e8)
    with pytest.warns(UserWarning, match=r"Rounding in float32 moves the log density by [\d.]+ or more") as caught:
        run = go(of_sums, np.float32)
    assert "jax_enable_x64" in str(caught[0].message)
    with pytest.warns(UserWarning, match="Rounding in float32"):
        sample(of_sums, state=run.state, num_samples=5)
    go(lambda x: -0.5e4 * (x - 100) ** 2, np.float32)


def test_old_keys_work(key):
    old = sample(quartic, X0, KERNELS["HMC"], key=jax.random.PRNGKey(0), **FIXED)
    assert_same(old.draws, sample(quartic, X0, KERNELS["HMC"], key=key, **FIXED).draws)


NAN = lambda x: jnp.nan * jnp.sum(x)
OUTSIDE = lambda x: jnp.where(jnp.all(x > 0), -jnp.sum(x), -jnp.inf)


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((NAN, X0), {}, ValueError, "`x0` must have a finite log density and gradient"),
        ((OUTSIDE, X0), {}, ValueError, "`x0` must have a finite log density"),
        ((quartic, X0 * np.nan), {}, ValueError, "`x0` must have a finite log density"),
        (
            (OUTSIDE, np.array([[1.0], [-1.0], [2.0], [-2.0]])),
            {"chained": True},
            ValueError,
            r"chains \[1, 3\] start with",
        ),
        ((lambda x: x, X0), {}, ValueError, "`logdensity` must give one number"),
        ((quartic, np.arange(3)), {}, TypeError, "`x0` must hold floats"),
        ((quartic, (0.0, jnp.tanh)), {}, TypeError, "`x0` must hold numbers alone, got the function"),
        ((quartic, {}), {}, ValueError, "`x0` must hold at least one number"),
        ((quartic, X0), {"key": None}, ValueError, "`key` must be given"),
        ((quartic, X0), {"num_samples": 0}, ValueError, "`num_samples` must be at least 1, got 0"),
        ((quartic, X0), {"num_warmup": -1}, ValueError, "`num_warmup` must be at least 0"),
        ((quartic, X0), {"num_chains": 0}, ValueError, "`num_chains` must be at least 1"),
        ((quartic, X0), {"thin": 0}, ValueError, "`thin` must be at least 1"),
        ((quartic, X0), {"first_chain": -1}, ValueError, "`first_chain` must be at least 0"),
        ((quartic, X0), {"spread": -1.0}, ValueError, "`spread` must be at least 0"),
        (
            (quartic, X0),
            {"target_acceptance": 1.0},
            ValueError,
            "`target_acceptance` must be above 0 and below 1, got 1.0",
        ),
        ((quartic, X0), {"target_acceptance": 0.0}, ValueError, "`target_acceptance` must be above 0"),
        ((quartic, X0, HMC(0.1, 3, DiagonalMass(np.ones(2)))), {}, ValueError, "`mass.diagonal` must have the shapes"),
        (
            (quartic, np.ones((4, 3)), HMC(0.1, 3, DenseMass(np.eye(4)))),
            {"chained": True},
            ValueError,
            "`mass.cholesky`",
        ),
        (
            (quartic, np.ones((4, 3))),
            {"chained": True, "num_chains": 3},
            ValueError,
            "`num_chains` must be the leading axis",
        ),
        ((quartic, {"a": np.ones(2), "b": np.ones(3)}), {"chained": True}, ValueError, "share a leading axis"),
        ((quartic, 1.0), {"chained": True}, ValueError, "share a leading axis"),
        ((3.0, X0), {}, TypeError, "logdensity"),
        ((lambda x: None, X0), {}, TypeError, "`logdensity` must give one number for one position, got NoneType"),
        ((lambda x: standard_normal(x)[None], X0), {}, ValueError, r"`logdensity` must give one number .* \(1,\)"),
        ((quartic, X0), {"key": 0}, TypeError, "key"),
        ((quartic, X0), {"key": np.zeros(2)}, TypeError, "key"),
        ((quartic, X0), {"key": jax.random.split(jax.random.key(0))}, (TypeError, ValueError), "key"),
        ((quartic, X0), {"key": jax.random.split(jax.random.PRNGKey(0))}, (TypeError, ValueError), "key"),
        ((quartic, X0), {"spread": "wide"}, TypeError, "spread"),
        ((quartic, X0), {"target_acceptance": np.array([0.5, 0.6])}, ValueError, "`target_acceptance` must be one"),
        ((quartic, X0), {"chained": 1}, TypeError, "chained"),
        ((quartic, X0, "nuts"), {}, TypeError, "kernel"),
    ],
)
def test_what_cannot_work_raises(arguments, settings, error, message, key):
    settings = {"key": key, "num_samples": 5, "num_warmup": 0, **settings}
    with pytest.raises(error, match=message):
        sample(*arguments, **settings)


def test_a_state_that_does_not_fit_raises(key):
    kernel = KERNELS["HMC"]
    run = sample(quartic, X0, kernel, key=key, **FIXED)
    state = run.state
    cases: list[tuple[dict[str, Any], str]] = [
        ({"key": key}, "`state` brings its kernel and key"),
        ({"kernel": kernel}, "`state` brings its kernel and key"),
        ({"num_warmup": 100}, "`num_warmup` must be left out or 0 with `state`"),
        ({"num_chains": 2}, "`num_chains` must be that of `state`, 3"),
        ({"x0": np.zeros(2)}, "`x0` must have the shapes of the positions of `state`"),
    ]
    for settings, message in cases:
        with pytest.raises(ValueError, match=message):
            sample(quartic, **{"x0": X0, "state": state, **settings})
    with pytest.raises(TypeError, match="state"):
        sample(quartic, X0, state=cast(Any, 3))
    for given in (state, run):
        with pytest.raises(TypeError, match=r"`x0` must be a position, got Sample.*`state=run\.state`"):
            sample(quartic, given, key=key)


def test_a_run_is_a_pytree(key):
    run = sample(quartic, X0, KERNELS["HMC"], key=key, **FIXED)
    assert isinstance(jax.tree.map(lambda x: x, run), Samples)
