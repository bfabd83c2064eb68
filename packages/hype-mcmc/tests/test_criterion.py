"""What kernels and annealed samplers can be tuned by."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import HMC, AnnealedHMC, DenseMass, DiagonalMass, chees, elbo, expected_squared_jump

from .problems import gaussian, quartic, standard_normal, step

KEY = jax.random.key(5)
POSITIONS = np.random.default_rng(6).normal(size=(6, 2))


@pytest.mark.slow
def test_expected_squared_jump_is_its_formula():
    kernel = HMC(0.6, 3, DiagonalMass(jnp.array([1.0, 2.0])))
    scale = jnp.array([0.5, 2.0])
    terms = []
    for i, x in enumerate(POSITIONS):
        _, info = step(kernel, jax.random.fold_in(KEY, i), kernel.init(x, quartic), quartic)
        terms.append(info.acceptance_rate * np.sum(((info.proposal.position - x) / scale) ** 2))
    got = expected_squared_jump(kernel, quartic, POSITIONS, key=KEY, scale=scale)
    np.testing.assert_allclose(got, np.mean(terms), rtol=1e-12)


def test_objectives_of_a_perfect_quarter_turn():
    """On a standard normal in many dimensions a trajectory of length pi / 2 ends at its momentum."""
    d, h = 1000, np.pi / 2 / 64
    x = jax.random.normal(KEY, (50, d))
    kernel = HMC(h, 64)
    jump = expected_squared_jump(kernel, standard_normal, x, key=KEY)
    np.testing.assert_allclose(jump, 2 * d, rtol=0.05)
    # 1/4 of the variance of the difference of two independent chi-squares
    np.testing.assert_allclose(chees(kernel, standard_normal, x, key=KEY), d, rtol=0.5)
    half_turn = HMC(2 * h, 64)
    assert expected_squared_jump(half_turn, standard_normal, x, key=KEY) > 1.9 * jump
    assert chees(half_turn, standard_normal, x, key=KEY) < 0.05 * d


def test_objectives_have_derivatives_in_kernel_positions_and_data():
    def f(w):
        logdensity = jax.tree_util.Partial(gaussian, w["precision"], w["mean"])
        kernel = HMC(w["step_size"], 3, DiagonalMass(w["mass"]))
        return [objective(kernel, logdensity, w["positions"], key=KEY) for objective in (expected_squared_jump, chees)]

    point = {
        "step_size": jnp.asarray(0.6),
        "mass": jnp.array([1.0, 0.6]),
        "positions": POSITIONS,
        "precision": jnp.array([[1.0, 0.3], [0.3, 2.0]]),
        "mean": jnp.array([0.5, 0.1]),
    }
    assert_derivatives_match(f, point, modes=("reverse",), num_directions=1)


@pytest.mark.slow
def test_a_trajectory_into_nothing_is_no_jump():
    inside = lambda x: jnp.where(jnp.sum(x**2) < 30, standard_normal(x), jnp.nan)
    far = HMC(5.0, 2)
    assert expected_squared_jump(far, inside, POSITIONS, key=KEY) == 0
    assert chees(far, inside, POSITIONS, key=KEY) == 0
    # A start outside is a mistake, which no number may hide.
    nowhere = lambda x: jnp.nan * jnp.sum(x)
    assert np.isnan(chees(far, nowhere, POSITIONS, key=KEY))
    assert np.isnan(expected_squared_jump(far, nowhere, POSITIONS, key=KEY))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chees(HMC(0.1, 3), quartic, POSITIONS[:1], key=KEY), "at least two chains"),
        (lambda: chees(HMC(0.1, 3), quartic, {"a": jnp.ones(2), "b": jnp.ones(3)}, key=KEY), "share a leading axis"),
        (lambda: expected_squared_jump(HMC(0.1, 3), quartic, jnp.asarray(1.0), key=KEY), "share a leading axis"),
        (
            lambda: expected_squared_jump(HMC(0.1, 3), quartic, POSITIONS, key=KEY, scale=np.ones(3)),
            "`scale` must have",
        ),
        (
            lambda: expected_squared_jump(HMC(0.1, 3, DiagonalMass(np.ones(3))), quartic, POSITIONS, key=KEY),
            "`mass.diagonal` must have",
        ),
        (
            lambda: expected_squared_jump(HMC(0.1, 3), quartic, POSITIONS, key=KEY, scale=np.zeros(2)),
            "`scale` must be positive",
        ),
        (lambda: elbo(AnnealedHMC(np.array([0.0, np.nan])), TARGET, key=KEY), "`mean` must be finite, got nan"),
    ],
)
def test_what_does_not_fit_raises(call, message):
    with pytest.raises(ValueError, match=message):
        call()


PRECISION = np.array([[2.0, 0.6], [0.6, 1.0]])
MEAN = np.array([1.0, -0.5])
LOG_Z = np.log(2 * np.pi) - 0.5 * np.log(np.linalg.det(PRECISION))
TARGET = jax.tree_util.Partial(gaussian, PRECISION, MEAN)


def test_weights_are_unbiased_whatever_the_settings():
    sampler = AnnealedHMC(
        jnp.zeros(2), 1.5, step_size=np.array([0.2, 0.5, 0.4]), num_steps=3, mass=DiagonalMass(np.array([1.5, 0.7]))
    )
    draw = jax.vmap(lambda key: sampler.draw(key, TARGET)[1])
    log_weights = jax.jit(lambda key: draw(jax.random.split(key, 20_000)))(KEY)
    weights = np.exp(np.asarray(log_weights) - LOG_Z)
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(20_000)
    assert np.mean(np.log(weights)) < -0.1  # a bound from below, and here not a tight one


def test_the_bound_nears_the_evidence_with_many_steps():
    sampler = AnnealedHMC(jnp.zeros(2), num_steps=32, step_size=0.5)
    assert LOG_Z - 0.2 < elbo(sampler, TARGET, key=KEY, num_draws=500) < LOG_Z + 0.05


def test_a_sampler_that_starts_at_its_target_has_the_evidence():
    sampler = AnnealedHMC({"a": 1.0, "b": jnp.zeros(2)}, {"a": 2.0, "b": jnp.ones(2)}, step_size=1e-3, num_steps=4)
    same = lambda x: -0.5 * ((x["a"] - 1) / 2) ** 2 - 0.5 * jnp.sum(x["b"] ** 2) + 3.0
    np.testing.assert_allclose(
        elbo(sampler, same, key=KEY), 3.0 + np.log(2.0) + 1.5 * np.log(2 * np.pi), rtol=0, atol=1e-5
    )


@pytest.mark.slow
def test_the_bound_has_derivatives_in_all_parameters():
    sampler = AnnealedHMC(
        jnp.array([0.2, -0.1]),
        0.8,
        step_size=0.3,
        num_steps=5,
        mass=DenseMass(np.array([[1.0, 0.0], [0.3, 0.8]])),
    )
    assert len(jax.tree.leaves(sampler)) == 6
    f = lambda w: elbo(w[0], jax.tree_util.Partial(gaussian, w[1], jnp.asarray(MEAN)), key=KEY, num_draws=3)
    assert_derivatives_match(f, (sampler, jnp.asarray(PRECISION)), modes=("reverse",), num_directions=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AnnealedHMC(jnp.zeros(2), 0.0), "`scale` must be positive"),
        (lambda: AnnealedHMC(jnp.zeros(2), jnp.ones(3)), "`scale` must have the shapes of the mean"),
        (lambda: AnnealedHMC(jnp.zeros(2), step_size=-1.0), "`step_size` must be positive"),
        (lambda: AnnealedHMC(jnp.zeros(2), step_size=np.ones(3)), "`step_size` must be one number or 10 of them"),
        (lambda: AnnealedHMC(jnp.zeros(2), num_steps=0), "`num_steps` must be at least 1"),
        (lambda: AnnealedHMC(jnp.zeros(2), persistence=1.0), "`persistence` must be at least 0 and below 1, got 1.0"),
        (lambda: AnnealedHMC(jnp.zeros(2), mass=DiagonalMass(np.ones(3))), "`mass.diagonal` must have the shapes"),
        (lambda: elbo(AnnealedHMC(jnp.zeros(2)), TARGET, key=KEY, num_draws=0), "`num_draws` must be at least 1"),
    ],
)
def test_settings_that_make_no_sampler_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()
