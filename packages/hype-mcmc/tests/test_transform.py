"""Constraints: each transform and its Jacobian, and runs in the coordinates of the parameters."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import (
    HMC,
    AbstractModel,
    AnnealedHMC,
    Bijection,
    CholeskyCorrelation,
    Constrained,
    FixedSteps,
    Interval,
    Ordered,
    Positive,
    Predictive,
    Simplex,
    elbo,
    expectation,
    log_evidence_ratio,
    mcse,
)

from .problems import sample
from .test_truth import assert_moments

SHIFTED = Bijection(lambda y: y**3 + y, lambda x: jnp.cbrt(x), lambda y: jnp.log(3 * y**2 + 1))


def is_correlation(x):
    return (
        np.allclose(np.sum(x**2, axis=-1), 1)
        and np.all(np.diagonal(x, axis1=-2, axis2=-1) > 0)
        and np.allclose(x, np.tril(x))
    )


# A transform, the shape of what is unconstrained, how many numbers a value has that are free, and what holds of it.
TRANSFORMS: dict[str, tuple[Any, tuple[int, ...], Any, Any]] = {
    "positive": (Positive(), (3,), lambda x: x, lambda x: np.all(x > 0)),
    "interval": (Interval(-1.0, 2.0), (3,), lambda x: x, lambda x: np.all((x > -1) & (x < 2))),
    "intervals": (Interval(np.zeros(3), np.array([1.0, 2.0, 9.0])), (3,), lambda x: x, lambda x: np.all(x < [1, 2, 9])),
    "simplex": (Simplex(), (2, 3), lambda x: x[..., :-1], lambda x: np.all(x > 0) and np.allclose(x.sum(axis=-1), 1)),
    "ordered": (Ordered(), (2, 3), lambda x: x, lambda x: np.all(np.diff(x, axis=-1) > 0)),
    "correlation": (CholeskyCorrelation(), (2, 6), lambda x: x[..., *np.tril_indices(4, -1)], is_correlation),
}


@pytest.mark.parametrize(("transform", "shape", "free", "holds"), TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_transform_has_its_range_inverse_and_jacobian(transform, shape, free, holds):
    y = np.random.default_rng(0).normal(size=shape)

    @jax.jit
    def parts(y):
        x, log_det = transform.forward_and_log_det(y)
        jacobian = jax.jacfwd(lambda flat: free(transform.forward_and_log_det(flat.reshape(shape))[0]).reshape(-1))
        return x, log_det, jacobian(y.reshape(-1)), transform.inverse(x)

    x, log_det, jacobian, back = parts(y)
    assert holds(np.asarray(x))
    np.testing.assert_allclose(back, y, rtol=1e-10)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], rtol=1e-10)


def test_the_middle_of_a_simplex_and_of_the_correlations_is_at_zero():
    middle = lambda y: (Simplex().forward_and_log_det(y)[0], CholeskyCorrelation().forward_and_log_det(y)[0])
    simplex, correlations = jax.jit(middle)(jnp.zeros(3))
    np.testing.assert_allclose(simplex, np.full(4, 0.25))
    np.testing.assert_array_equal(correlations, np.eye(3))


SHAPE, ALPHA = 3.0, np.array([1.0, 2.0, 4.0])
TRANSFORM = {"rate": Positive(), "part": Interval(0.0, 2.0), "shares": Simplex(), "free": None}
X0 = {"rate": 3.0, "part": 0.4, "shares": np.array([0.2, 0.3, 0.5]), "free": np.zeros(2)}


def logdensity(shape, x):
    """Gamma, a beta distribution of half of a number, Dirichlet, and normal."""
    gamma = (shape - 1) * jnp.log(x["rate"]) - x["rate"]
    beta = 2 * jnp.log(x["part"] / 2) + jnp.log(1 - x["part"] / 2)
    return gamma + beta + jnp.sum((ALPHA - 1) * jnp.log(x["shares"])) - 0.5 * jnp.sum(x["free"] ** 2)


TARGET = jax.tree_util.Partial(logdensity, SHAPE)


KERNEL = HMC(0.6, FixedSteps(4, jitter=0.4))
SETTINGS: dict[str, Any] = {"transform": TRANSFORM, "num_warmup": 0}


@pytest.fixture(scope="module")
def run():
    return sample(TARGET, X0, KERNEL, key=jax.random.key(1), num_samples=1000, **SETTINGS)


def test_draws_are_of_the_parameters(run):
    assert {name: draws.shape for name, draws in run.draws.items()} == {
        "rate": (4, 1000), "part": (4, 1000), "shares": (4, 1000, 3), "free": (4, 1000, 2)
    }  # fmt: skip
    total = ALPHA.sum()
    share_sd = np.sqrt(ALPHA * (total - ALPHA) / (total**2 * (total + 1)))
    rows = np.concatenate([run.draws["rate"][..., None], run.draws["part"][..., None], run.draws["shares"]], axis=-1)
    assert_moments(rows, [SHAPE, 1.2, *ALPHA / total], [np.sqrt(SHAPE), 0.4, *share_sd])
    assert run.summary().names[:3] == ("free[0]", "free[1]", "part")


def test_draws_are_there_in_both_coordinates(run):
    assert run.unconstrained["shares"].shape == (4, 1000, 2)
    np.testing.assert_allclose(run.unconstrained["rate"], np.log(run.draws["rate"]), rtol=1e-12)
    np.testing.assert_array_equal(run.unconstrained["free"], run.draws["free"])
    plain = dataclasses.replace(run, model=None, coordinates=None)
    assert plain.unconstrained is plain.draws


@pytest.mark.slow
def test_expectations_are_of_the_run_in_the_coordinates_of_what_is_given(run):
    """The mean of a gamma distribution is its shape; by the log density of the parameters, and by the model."""

    def mean(shape, run):
        density = jax.tree_util.Partial(logdensity, shape)
        return [expectation(lambda x: x["rate"], run, f) for f in (density, Constrained(density, TRANSFORM))]

    both = lambda run: (mean(SHAPE, run), jax.jacfwd(mean)(SHAPE, run))
    (values, slopes), errors = jax.jit(lambda run: (both(run), mcse(both, run)))(run)
    np.testing.assert_allclose(values, np.mean(run.draws["rate"]), rtol=1e-12)
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-9)
    assert abs(slopes[0] - 1) < 4 * errors[1][0] < 0.5
    with pytest.raises(ValueError, match="`draws` must be the run itself where a density is a model"):
        expectation(lambda x: x["rate"], run.draws, Constrained(TARGET, TRANSFORM))
    with pytest.raises(ValueError, match="`logdensity` and `drawn_from` must be models"):
        log_evidence_ratio(run, TARGET, drawn_from=Constrained(TARGET, TRANSFORM))


@pytest.mark.slow
def test_a_run_with_constraints_goes_on_bit_for_bit(run):
    """Neither needs a start again."""
    first = sample(TARGET, X0, KERNEL, key=jax.random.key(1), num_samples=500, **SETTINGS)
    second = sample(TARGET, state=first.state, num_samples=500, transform=TRANSFORM)
    with pytest.raises(ValueError, match="with a model or a `transform`, and this one is without"):
        sample(TARGET, state=first.state, num_samples=1)
    both = jax.tree.map(lambda x, y: np.concatenate([x, y], axis=1), first.draws, second.draws)
    jax.tree.map(np.testing.assert_array_equal, both, run.draws)


def test_draws_are_differentiable_in_bounds_start_and_density():
    def end(at):
        low, x0, power = at
        density = jax.tree_util.Partial(lambda power, x: power * jnp.log(x) - x**2, power)
        kernel = HMC(0.2, 3)
        settings: dict[str, Any] = {"transform": Interval(low, 5.0), "num_warmup": 0, "num_samples": 2, "spread": 0.0}
        return jnp.sum(sample(density, x0, kernel, key=jax.random.key(0), num_chains=1, **settings).draws)

    assert_derivatives_match(end, (0.5, 1.3, 2.0), modes=("reverse",))


@pytest.mark.slow
def test_chains_start_where_they_are_told(run):
    settings: dict[str, Any] = {"key": jax.random.key(0), "transform": TRANSFORM, "num_warmup": 0, "num_samples": 1}
    x0 = jax.tree.map(lambda x: np.array([x, x]), X0)
    moved = sample(TARGET, x0, HMC(1e-9, 1), chained=True, **settings)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x[:, 0], y, atol=1e-6), moved.draws, x0)


def test_a_bijection_takes_the_part_of_the_position_at_which_it_stands():
    """Of a pytree, as a joint distribution's bijector is; a position of another shape than the values."""
    both = Bijection(
        lambda y: {"low": y[0], "high": y[0] + jnp.exp(y[1])},
        lambda x: jnp.stack([x["low"], jnp.log(x["high"] - x["low"])]),
        lambda y: y[1],
    )
    x0 = {"pair": {"low": jnp.array(0.0), "high": jnp.array(2.0)}}
    model = Constrained(lambda x: -x["pair"]["high"] - x["pair"]["low"] ** 2, {"pair": both})
    position = model.unconstrain(x0)
    assert position["pair"].shape == (2,)
    np.testing.assert_allclose(model(position), -2.0 + np.log(2.0))
    jax.tree.map(np.testing.assert_allclose, model.constrain(position), x0)


@pytest.mark.slow
def test_a_model_is_a_log_density_of_unconstrained_coordinates():
    """The evidence of an exponential density is one."""
    model = Constrained(lambda x: -jnp.sum(x), Positive())
    bound = jax.jit(lambda sampler, key: elbo(sampler, model, key=key, num_draws=64))
    sampler = AnnealedHMC(jnp.zeros(1), 1.0, step_size=0.3, num_steps=8)
    assert -0.5 < bound(sampler, jax.random.key(0)) < 0.1


@pytest.mark.parametrize(
    ("transform", "x0", "error", "message"),
    [
        (Positive(), -1.0, ValueError, "`x0` must be within the constraints"),
        (Interval(0.0, 1.0), 1.5, ValueError, "`x0` must be within the constraints"),
        (Simplex(), np.array([0.4, 0.4]), ValueError, "`x0` must be within the constraints"),
        (Ordered(), np.array([0.4, 0.3]), ValueError, "`x0` must be within the constraints"),
        ({"a": Positive()}, {"b": 1.0}, ValueError, "`transform` must be built like `x0`"),
        ({"a": jnp.exp}, {"a": 1.0}, TypeError, "`transform` must hold transforms such as `Positive"),
        (Positive(), None, ValueError, "`x0` must be given"),
    ],
)
def test_what_does_not_fit_raises(transform, x0, error, message, key):
    with pytest.raises(error, match=message):
        sample(lambda x: -jnp.sum(jax.tree.leaves(x)[0] ** 2), x0, key=key, transform=transform)


def test_wrong_bounds_and_functions_raise(key):
    with pytest.raises(ValueError, match=r"`high` must be above `low` and both finite, got low=1.0 and high=1.0"):
        Interval(1.0, 1.0)
    with pytest.raises(TypeError, match="log_det"):
        Bijection(jnp.exp, jnp.log, 3.0)
    with pytest.raises(ValueError, match="`transform` must be left out for a model"):
        sample(Constrained(lambda x: -x, Positive()), 1.0, key=key, transform=Positive())


class Around(AbstractModel):
    """A model of one's own, which knows where to start but not whether the density is finite just there."""

    start: jax.Array

    def __call__(self, position):
        return jnp.where(position == self.start, jnp.nan, -0.5 * position**2)

    def initial(self):
        return self.start

    def constrain(self, position):
        return {"x": position, "square": position**2}

    def unconstrain(self, x0):
        return x0["x"]

    def source(self):
        return type(self).__call__

    def predictive(self):
        return Predictive()


def test_a_model_of_ones_own(key):
    settings: dict[str, Any] = {"kernel": HMC(0.9, 2), "key": key, "num_warmup": 0, "num_samples": 300}
    run = sample(Around(jnp.array(0.0)), **settings)
    assert run.draws["square"].shape == (4, 300)
    assert abs(np.mean(np.asarray(run.draws["square"])) - 1) < 0.3
    with pytest.raises(ValueError, match="`x0` must be given: around zero"):
        sample(Around(jnp.array(jnp.inf)), **settings)
    with pytest.raises(ValueError, match="`x0` must have a finite log density"):
        sample(Around(jnp.array(0.0)), {"x": 0.0}, **settings)


FACTOR = {"of the bijection": jnp.array(1.0)}


def times(y):
    return FACTOR["of the bijection"] * y


def divided(x):
    return x / FACTOR["of the bijection"]


def log_factor(y):
    return jnp.log(FACTOR["of the bijection"])


@pytest.mark.slow
def test_a_bijection_that_reads_something_else_now_is_another_one(key):
    transform, settings = Bijection(times, divided, log_factor), {"num_warmup": 0, "num_samples": 2, "key": key}
    target = jax.tree_util.Partial(jnp.negative)
    draw = lambda: sample(target, 1.0, HMC(1e-9, 1), transform=transform, spread=0.0, **settings)
    np.testing.assert_allclose(draw().draws, 1.0, rtol=1e-5)
    FACTOR["of the bijection"] = jnp.array(10.0)
    np.testing.assert_allclose(draw().draws, 1.0, rtol=1e-5)
    np.testing.assert_allclose(draw().unconstrained, 0.1, rtol=1e-5)


@pytest.mark.parametrize(
    ("transform", "x0"),
    [
        (Simplex(), 1.0),
        (Ordered(), 1.0),
        (CholeskyCorrelation(), np.full(3, 0.5)),
        (CholeskyCorrelation(), np.full((2, 3), 0.5)),
        (Interval(np.zeros(2), np.ones(2)), np.full(3, 0.5)),
        (Interval(np.zeros(2), np.ones(2)), 0.5),
        (Positive(), DV([1.0, 2.0])),
    ],
)
def test_a_start_of_a_shape_that_the_transform_is_not_for_is_refused(transform, x0):
    message = rf"the shape that its `transform` is for; `{type(transform).__name__}` got|parameter 'x'"
    with pytest.raises((TypeError, ValueError), match=message):
        sample(jnp.sum, x0, key=jax.random.key(0), transform=transform)
