"""Expectations over draws: their derivatives against closed forms and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import HMC, expectation, log_evidence_ratio, log_of, mcse
from scipy import stats

from .problems import sample

Y = np.array([3.0, 5.0, 1.0, 4.0])
NORMAL = {"mean": np.array(0.5), "scale": np.array(1.5), "y": Y, "weights": np.ones(4)}
GAMMA = {"alpha": np.array(2.5), "beta": np.array(1.5), "y": Y}


def at_quantiles(distribution, number=2**14):
    """Draws without Monte Carlo error: quantiles at equal distances, as two chains."""
    return distribution.ppf((np.arange(number) + 0.5) / number).reshape(2, -1)


def normal(w, x):
    """Unit noise and a normal prior, without the constants; each datum counts as often as its weight says."""
    return -0.5 * ((x - w["mean"]) / w["scale"]) ** 2 - 0.5 * jnp.sum(w["weights"] * (w["y"] - x) ** 2)


def normal_mean_and_variance(w):
    precision = 1 / w["scale"] ** 2
    total = precision + w["weights"].sum()
    return (precision * w["mean"] + (w["weights"] * w["y"]).sum()) / total, 1 / total


def gamma(w, rate):
    """Poisson counts and a gamma prior, with the constants in the prior's parameters."""
    prior = (w["alpha"] - 1) * jnp.log(rate) - w["beta"] * rate
    constant = w["alpha"] * jnp.log(w["beta"]) - jax.lax.lgamma(w["alpha"])
    return prior + constant + jnp.sum(w["y"] * jnp.log(rate) - rate)


def gamma_log_evidence(w):
    alpha, beta = w["alpha"] + jnp.sum(w["y"]), w["beta"] + w["y"].size
    prior = w["alpha"] * jnp.log(w["beta"]) - jax.lax.lgamma(w["alpha"])
    return prior + jax.lax.lgamma(alpha) - alpha * jnp.log(beta)


_mean, _variance = map(float, normal_mean_and_variance(NORMAL))
NORMAL_DRAWS = at_quantiles(stats.norm(_mean, _variance**0.5))
GAMMA_DRAWS = at_quantiles(stats.gamma(float(GAMMA["alpha"] + Y.sum()), scale=float(1 / (GAMMA["beta"] + Y.size))))
NORMAL_DENSITY = jax.tree_util.Partial(normal, NORMAL)
POINT = {"normal": NORMAL, "gamma": GAMMA, "scale": np.array(0.3)}


def estimates(w):
    """What follows from draws."""
    moments = expectation(lambda x: jnp.stack([x, x**2]), NORMAL_DRAWS, jax.tree_util.Partial(normal, w["normal"]))
    posterior = jax.tree_util.Partial(gamma, w["gamma"])
    rate, transform = expectation(lambda x: (x, jnp.exp(-w["scale"] * x)), GAMMA_DRAWS, posterior)
    return moments, rate, transform, log_evidence_ratio(GAMMA_DRAWS, posterior)


def closed_forms(w):
    mean, variance = normal_mean_and_variance(w["normal"])
    alpha, beta = w["gamma"]["alpha"] + jnp.sum(w["gamma"]["y"]), w["gamma"]["beta"] + Y.size
    log_evidence = gamma_log_evidence(w["gamma"])
    transform = (1 + w["scale"] / beta) ** -alpha
    return (
        jnp.stack([mean, mean**2 + variance]),
        alpha / beta,
        transform,
        log_evidence - jax.lax.stop_gradient(log_evidence),
    )


def test_values_and_two_derivatives_are_the_closed_forms():
    """In forward and reverse mode, and in reverse over forward."""
    direction = jax.tree.map(lambda x: np.cos(np.arange(x.size) + x.size).reshape(x.shape), POINT)

    def derivatives(f):
        along = lambda w: jax.jvp(f, (w,), (direction,))
        return along(POINT), jax.jacrev(along)(POINT)

    both = jax.jit(lambda: (derivatives(estimates), derivatives(closed_forms)))()
    for ours, theirs in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)


@pytest.mark.smoke
def test_importance_sampling_has_its_derivatives():
    draws = {"x": GAMMA_DRAWS[:, ::2048], "unused": np.zeros((2, 4, 3))}
    density = lambda w: jax.tree_util.Partial(lambda w, x: gamma(w, x["x"]), w)

    @jax.jit
    def f(w):
        settings = {"drawn_from": density(GAMMA), "batch_size": 3}
        mean = expectation(lambda x: x["x"] ** w["power"], draws, density(w), **settings)
        return mean, log_evidence_ratio(draws, density(w), **settings)

    w = {"alpha": np.array(2.2), "beta": np.array(1.6), "y": Y + 0.1, "power": np.array(1.3)}
    assert_derivatives_match(f, w, num_directions=1)


def test_weights_of_examples_say_what_leaving_one_out_does():
    density = lambda w: jax.tree_util.Partial(normal, w)
    at = lambda weights: {**NORMAL, "weights": weights}
    mean = lambda weights: expectation(lambda x: x, NORMAL_DRAWS, density(at(weights)), drawn_from=density(NORMAL))
    without = 1 - np.eye(4)
    exact = np.stack([normal_mean_and_variance(at(weights))[0] for weights in without])
    slope = lambda weights: (jax.grad(mean)(weights),) * 2

    @jax.jit
    def all_of(weights):
        return jax.vmap(mean)(without), mean(weights), *jax.jacfwd(slope, has_aux=True)(weights)

    by_weights, value, second, first = all_of(NORMAL["weights"])
    np.testing.assert_allclose(by_weights, exact, rtol=3e-3)
    linear = value - np.asarray(first)
    quadratic = linear + 0.5 * np.diagonal(second)
    assert np.all(np.abs(quadratic - exact) < 0.5 * np.abs(linear - exact))


@pytest.mark.slow
def test_a_run_and_its_standard_errors(key):
    run = sample(jax.tree_util.Partial(normal, NORMAL), 0.0, HMC(0.25, 3), key=key, num_samples=2000, num_warmup=0)

    def slopes(draws):
        return jax.grad(lambda w: expectation(lambda x: x, draws, jax.tree_util.Partial(normal, w)))(NORMAL)

    got, errors = jax.jit(lambda draws: (slopes(draws), mcse(slopes, draws)))(run.draws)
    exact = jax.grad(lambda w: normal_mean_and_variance(w)[0])(NORMAL)
    for ours, theirs, error in zip(*map(jax.tree.leaves, (got, exact, errors)), strict=True):
        assert np.all(np.abs(ours - theirs) < 4 * error)
        assert np.all(error < 0.05 * np.abs(theirs).max())


def test_standard_errors_of_independent_draws():
    draws = np.random.default_rng(0).normal(size=(32, 4, 1000))  # of many runs
    errors = jax.jit(jax.vmap(lambda x: mcse(lambda x: {"mean": jnp.mean(x), "square": jnp.mean(x**2)}, x)))(draws)
    np.testing.assert_allclose(np.mean(np.square(errors["mean"])), 1 / 4_000, rtol=0.2)
    np.testing.assert_allclose(np.mean(np.square(errors["square"])), 2 / 4_000, rtol=0.2)
    # Where nothing varies, the error and its derivative are 0.
    assert jax.jit(jax.value_and_grad(lambda c: mcse(lambda x: c * 0 * jnp.mean(x), draws[0])))(1.0) == (0, 0)


def test_nothing_cancels_in_single_precision():
    """A score whose mean is large beside its deviation, and a `g` as well."""
    draws = np.asarray(NORMAL_DRAWS, np.float32)
    g = lambda x: 1e3 + x
    density = lambda a, x: a * (x + 300) - 1e3 * a**2
    slope = jax.jit(jax.grad(lambda a: expectation(g, draws, jax.tree_util.Partial(density, a))))(np.float32(1.0))
    assert slope.dtype == jnp.float32
    np.testing.assert_allclose(slope, np.var(NORMAL_DRAWS), rtol=1e-3)


def test_what_is_not_a_float_has_a_mean():
    got = expectation(
        lambda x: {"above": x > 3, "count": jnp.round(x).astype(int), "one": 1}, NORMAL_DRAWS, NORMAL_DENSITY
    )
    np.testing.assert_allclose(got["above"], np.mean(NORMAL_DRAWS > 3), rtol=1e-12)
    np.testing.assert_allclose(got["count"], np.mean(np.round(NORMAL_DRAWS)), rtol=1e-12)
    assert got["one"] == 1


def test_weights_that_are_worth_little_give_nan():
    """A value that few draws decide is none."""
    far = jax.tree_util.Partial(normal, {**NORMAL, "mean": np.array(60.0)})
    mean = lambda c: expectation(lambda x: c * x, NORMAL_DRAWS, far, drawn_from=NORMAL_DENSITY)
    with pytest.warns(UserWarning, match="expectation is NaN: the weights .* worth .* of them.* `decentered` alike"):
        assert np.isnan(jax.value_and_grad(mean)(1.0)).all()
    with pytest.warns(UserWarning, match="log evidence ratio is NaN: the weights"):
        assert np.isnan(log_evidence_ratio(NORMAL_DRAWS, far, drawn_from=NORMAL_DENSITY))
    assert np.isnan(jax.jit(mean)(1.0))


def test_where_the_density_is_zero():
    """A draw of a density cannot be there; that of another one has no weight."""
    wall = lambda width: log_of(lambda x: jnp.maximum(width - x, 0.0))
    mean = lambda width, drawn_from=None: expectation(lambda x: x, NORMAL_DRAWS, wall(width), drawn_from=drawn_from)
    with pytest.warns(UserWarning, match="expectation is NaN: .* is not finite at one of the draws"):
        assert np.isnan(mean(3.0))
    value, slope = jax.value_and_grad(lambda width: mean(width, lambda x: 0.0 * x))(3.0)
    inside = NORMAL_DRAWS[NORMAL_DRAWS < 3]
    np.testing.assert_allclose(value, np.average(inside, weights=3 - inside), rtol=1e-9)
    np.testing.assert_allclose(slope, (np.mean(inside) - value) / np.mean(3 - inside), rtol=1e-9)


def test_new_values_do_not_recompile_and_memory_does_not_grow_with_what_a_density_computes():
    traces = []

    def density(data, x):
        traces.append(None)
        return -0.5 * jnp.sum((data - x) ** 2)

    g = lambda x: x
    slope = jax.grad(lambda data, draws: expectation(g, draws, jax.tree_util.Partial(density, data)))
    data = np.linspace(0, 6, 1000)
    slope(data, NORMAL_DRAWS[:, :300])
    before = len(traces)
    slope(data + 1, NORMAL_DRAWS[:, 1:301])
    assert len(traces) == before
    analysis = jax.jit(slope).lower(data, NORMAL_DRAWS).compile().memory_analysis()
    assert analysis.temp_size_in_bytes < NORMAL_DRAWS.size * 8 * 1000 / 20


def test_what_does_not_fit_raises():
    with pytest.raises(
        ValueError, match=r"`draws` must share two leading axes, chains and draws, got shapes \[\(4,\)\]"
    ):
        expectation(lambda x: x, np.zeros(4), NORMAL_DENSITY)
    with pytest.raises(ValueError, match="`draws` must share two leading axes"):
        expectation(lambda x: x, (np.zeros((2, 3)), np.zeros((2, 4))), NORMAL_DENSITY)
    with pytest.raises(TypeError, match="`draws` must hold floats"):
        expectation(lambda x: x, np.zeros((2, 3), int), NORMAL_DENSITY)
    with pytest.raises(TypeError, match="g"):
        expectation(1.0, NORMAL_DRAWS, NORMAL_DENSITY)
    with pytest.raises(TypeError, match="logdensity"):
        log_evidence_ratio(NORMAL_DRAWS, 1.0)
    with pytest.raises(ValueError, match="`drawn_from` must give one number for one position"):
        expectation(lambda x: x, NORMAL_DRAWS, NORMAL_DENSITY, drawn_from=lambda x: jnp.stack([x, x]))
    with pytest.raises(ValueError, match="`batch_size` must be at least 1"):
        expectation(lambda x: x, NORMAL_DRAWS, NORMAL_DENSITY, batch_size=0)
    with pytest.raises(
        ValueError, match=r"`batches_per_chain` must make at least two stretches .* got 8 with 1 chain of 9"
    ):
        mcse(jnp.mean, np.zeros((1, 9)))
    with pytest.raises(TypeError, match="f"):
        mcse(1.0, NORMAL_DRAWS)


def concave(scale, x):
    return -0.5 * (x / scale) ** 2 - jax.nn.softplus(-3 * (x - 1)) - jax.nn.softplus(-2 * x)


def two_modes(log_weight, x):
    return jnp.logaddexp(log_weight - 0.5 * ((x - 1.5) / 0.7) ** 2, -0.5 * ((x + 1.5) / 0.7) ** 2)


@pytest.mark.slow
@pytest.mark.parametrize(("density", "at", "holds"), [(concave, 1.5, True), (two_modes, 0.3, False)])
def test_derivatives_through_a_sampler_that_accepts_all_hold_where_the_density_is_concave(density, at, holds, key):
    """And covariances hold in both."""
    at, x = jnp.asarray(at), jnp.linspace(-15, 15, 3001)
    of = lambda a: jax.tree_util.Partial(density, a)
    exact = jax.grad(lambda a: jax.nn.softmax(jax.vmap(of(a))(x)) @ x)(at)

    def draws(a):
        run = sample(of(a), 0.0, HMC(0.2, 8), key=key, num_samples=400, num_warmup=0, num_chains=64)
        return run.draws[:, 100:]

    @jax.jit
    def both(a):
        drawn, moved = jax.jvp(draws, (a,), (jnp.ones_like(a),))
        slope = lambda drawn: jax.grad(lambda a: expectation(lambda x: x, drawn, of(a)))(a)
        groups = jax.lax.map(slope, drawn.reshape(8, 8, 300))
        return jnp.mean(moved, axis=1), slope(drawn), groups

    through, covariance, groups = both(at)
    error_through = through.std(ddof=1) / 8
    assert abs(covariance - exact) < 4 * groups.std(ddof=1) / np.sqrt(8)
    assert (abs(through.mean() - exact) < 4 * error_through) == holds
