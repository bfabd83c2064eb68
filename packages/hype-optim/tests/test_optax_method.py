"""Optax transformations as methods: their own steps, their floats as leaves, their faults found out."""

import warnings
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import GD, Momentum, Optax, Params, Status, minimize, positive

from .problems import rosenbrock, valley

START = np.array([-0.4, 0.8])
quiet = partial(Params, silent=True)

TRANSFORMATIONS = {
    "adam": (optax.adam, {"learning_rate": 0.1, "b1": 0.8}),
    "sgd with momentum": (optax.sgd, {"learning_rate": 0.02, "momentum": 0.7, "nesterov": True}),
    "adamw": (optax.adamw, {"learning_rate": 0.1, "weight_decay": 0.01}),
    "lion": (optax.lion, {"learning_rate": 0.01}),
    "a schedule": (lambda decay: optax.sgd(lambda t: 0.03 * decay ** (jnp.asarray(t, float) / 2)), {"decay": 0.5}),
    "a chain": (
        lambda rate, norm: optax.chain(optax.clip_by_global_norm(norm), optax.scale_by_rms(), optax.scale(-rate)),
        {"rate": 0.05, "norm": 0.5},
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        *("adam", "a schedule", "a chain"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("sgd with momentum", "adamw", "lion")),
    ],
)
def test_makes_the_steps_of_a_loop_written_by_hand(name):
    factory, hyperparameters = TRANSFORMATIONS[name]
    given = factory(**hyperparameters)
    with jax.numpy_dtype_promotion("standard"):
        w, state, points = START, given.init(START), []
        step = jax.jit(lambda w, state: given.update(jax.grad(valley)(w), state, w))
        for _ in range(5):
            points.append(w)
            update, state = step(w, state)
            w = w + np.asarray(update)
    for method in (given, Optax(factory, hyperparameters)):
        result = minimize(valley, START, quiet(5, method=method, keep_w_history=True))
        np.testing.assert_allclose(result.w_history, np.stack(points), rtol=1e-10)


def test_optaxs_lbfgs_gets_the_objective_for_its_line_search():
    result = minimize(rosenbrock, jnp.array([-1.2, 1.0]), quiet(100, method=optax.lbfgs(), tolerance=1e-8))
    assert result.status == Status.CONVERGED
    assert result.loss < 1e-14


def test_floats_are_leaves_and_the_rest_selects_code():
    method = Optax(optax.sgd, {"learning_rate": positive(0.1), "momentum": 0.9, "nesterov": True})
    leaves = jax.tree.leaves(method)
    np.testing.assert_allclose(sorted(map(float, leaves)), [np.log(0.1), 0.9])
    assert jax.tree.structure(method) != jax.tree.structure(Optax(optax.sgd, {"learning_rate": 0.1}))


def test_new_values_do_not_recompile():
    traces = []

    def f(w):
        traces.append(1)
        return valley(w)

    counts = []
    for rate in (0.1, 0.2, 0.3):
        minimize(f, START, quiet(3, method=Optax(optax.adam, {"learning_rate": rate, "b2": rate})))
        counts.append(len(traces))
    assert counts[0] == counts[2]


def gradient_through(method):
    end = lambda w: jnp.sum(minimize(lambda w: jnp.sum(w**2), w, quiet(2, method=method, return_best=False)).w)
    return jax.grad(end)(jnp.zeros(2))


@pytest.mark.parametrize(
    "method", [pytest.param(optax.adam(0.1), marks=pytest.mark.slow), Optax(optax.adam, {"learning_rate": 0.1})]
)
def test_a_derivative_that_may_be_nan_is_warned_of(method):
    with pytest.warns(UserWarning, match="eps_root"):
        gradient = gradient_through(method)
    assert not np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    "method", [optax.adam(0.1, eps_root=1e-16), optax.sgd(0.1, 0.9), Optax(optax.rmsprop, {"learning_rate": 0.1})]
)
def test_nothing_is_said_where_derivatives_are_finite(method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.all(np.isfinite(gradient_through(method)))


def halved_until_short():
    """A transformation with a loop whose length depends on values, as line searches have it."""

    def update(updates, state, params=None):
        long = lambda u: jnp.sum(u**2) > 0.01
        return jax.lax.while_loop(long, lambda u: u / 2, -updates), state

    return optax.GradientTransformation(lambda params: (), update)


def test_a_loop_without_a_reverse_mode_is_warned_of():
    end = lambda w: minimize(valley, w, quiet(2, method=Optax(halved_until_short))).loss
    with pytest.warns(UserWarning, match="`halved_until_short` has a loop inside that has no reverse mode"):
        forward = jax.jit(jax.jacfwd(end))(START)
    differences = [(end(START + h) - end(START - h)) / 2e-5 for h in 1e-5 * np.eye(2)]
    np.testing.assert_allclose(forward, differences, rtol=1e-6)
    with pytest.raises(ValueError, match="while_loop"):  # said once of one compiled run
        jax.grad(end)(START)


def test_nothing_is_said_of_a_run_that_is_not_differentiated():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minimize(valley, START, quiet(2, method=optax.adam(0.1)))


@pytest.mark.parametrize("method", [optax.adam(0.1), Optax(optax.adam, {"learning_rate": 0.1})])
@pytest.mark.parametrize("beside", [{"learning_rate": 0.1}, {"momentum": Momentum()}])
def test_it_brings_its_own_rate_and_momentum(method, beside):
    with pytest.raises(ValueError, match=f"`{next(iter(beside))}` must not be given beside an Optax transformation"):
        Params(method=method, **beside)


def test_settings_can_be_replaced():
    params = replace(quiet(5, method=optax.adam(0.1)), epochs=7)
    assert minimize(valley, START, params).steps == 7
    with pytest.raises(ValueError, match="`learning_rate` must not be given"):
        replace(quiet(5, learning_rate=0.1), method=optax.adam(0.1))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: Optax(0.1), "factory"),
        (lambda: Optax(optax.adam, 0.1), "hyperparameters"),
        (lambda: Optax(lambda: 3), "`factory` must give an Optax transformation"),
        (
            lambda: Optax(optax.adam, {"learning_rate": 0.1, "mu_dtype": [1]}),
            "must be a float, a range, a pytree of them, or hashable",
        ),
        (lambda: Params(method=optax.adam), "method"),
        (lambda: Params(method=GD), "method"),
    ],
)
def test_bad_settings(bad, message):
    with pytest.raises(TypeError, match=message):
        bad()


def test_a_traced_number_in_a_bare_transformation_is_told():
    loss = lambda rate: minimize(jnp.sum, jnp.ones(2), Params(2, method=optax.adam(rate), silent=True)).loss
    with pytest.raises(TypeError, match=r'write Optax\(optax.sgd, \{"learning_rate": rate\}\)'):
        jax.grad(loss)(0.1)


def test_a_pytree_is_a_hyperparameter():
    def loss(theta):
        method = Optax(
            lambda theta: optax.chain(optax.trace(theta["m"]), optax.scale(-theta["rate"])), {"theta": theta}
        )
        return minimize(lambda w: jnp.sum(w**2), jnp.ones(2), Params(5, method=method, silent=True)).loss

    assert_derivatives_match(loss, {"m": 0.3, "rate": 0.1}, num_directions=1)
    with pytest.raises(TypeError, match=r"`hyperparameters\['theta'\]` must be a float, .* got one of type list"):
        Optax(optax.sgd, {"theta": ["a", 0.1]})
