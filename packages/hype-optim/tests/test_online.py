"""Rates that follow their gradients do what their papers' formulas say, around any inner optimizer."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hype_optim import Optax, Params, hypergradient_descent, minimize, positive, real_time_hypergradient
from jax import lax

CURVES, START, RATE, BETA, STEPS = np.array([1.0, 3.0]), np.array([1.0, -2.0]), 0.1, 0.002, 12
loss = lambda w: 0.5 * jnp.sum(CURVES * w**2)
gradient = jax.grad(loss)
adam = lambda rate: optax.adam(rate, eps_root=1e-12)


def run(optimizer, **extra) -> tuple[Any, Any]:
    """The weights and the states after each step."""

    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(gradient(w), state, w, **extra)
        w = optax.apply_updates(w, updates)
        return (w, state), (w, state)

    w = jnp.asarray(START)
    with jax.numpy_dtype_promotion("standard"):  # which Optax's Adam is written for
        return lax.scan(step, (w, optimizer.init(w)), length=STEPS)[1]


def ran(optimizer, **extra) -> tuple[Any, Any]:
    """What `run` gives, of one program and as arrays of NumPy."""
    return jax.device_get(jax.jit(lambda: run(optimizer, **extra))())


def test_hypergradient_descent_on_a_quadratic():
    ws, states = ran(hypergradient_descent(optax.sgd, RATE, BETA))
    w, rate, before = START, RATE, np.zeros(2)
    for t in range(STEPS):
        g = CURVES * w
        rate = rate + BETA * g @ before
        w, before = w - rate * g, g
        np.testing.assert_allclose((states.rate[t], *ws[t]), (rate, *w), rtol=1e-12)
    assert rate > 1.05 * RATE


def test_hypergradient_descent_around_momentum_and_adam():
    # Its derivative with respect to the rate is the update over the rate, for what is linear in the rate.
    for factory in (lambda rate: optax.sgd(rate, 0.9), adam):
        ws, states = ran(hypergradient_descent(factory, RATE, BETA))
        points = np.concatenate([START[None], ws])
        slopes = (points[1:] - points[:-1]) / np.asarray(states.rate)[:, None]
        np.testing.assert_allclose(states.slope, slopes, rtol=1e-9)
        changes = -BETA * np.sum(CURVES * points[1:-1] * slopes[:-1], axis=1)
        np.testing.assert_allclose(np.diff(states.rate), changes, rtol=1e-7, atol=1e-12)


def test_real_time_hypergradients_on_a_quadratic():
    ws, states = ran(real_time_hypergradient(optax.sgd, RATE, BETA), grad_fn=gradient)
    w, z, rate = START, np.zeros(2), RATE
    for t in range(STEPS):
        g = CURVES * w
        rate = rate - BETA * g @ z
        w, z = w - rate * g, z - rate * CURVES * z - g
        np.testing.assert_allclose((states.rate[t], *ws[t], *states.tangent[t]), (rate, *w, *z), rtol=1e-12)
    assert rate > 1.05 * RATE


decaying = optax.inject_hyperparams(optax.scale)(step_size=optax.cosine_decay_schedule(1.0, 2 * STEPS))
FACTORIES = {
    "momentum": lambda rate: optax.sgd(rate, 0.9, nesterov=True),
    "adam": adam,
    "a float in the state that is computed of its count": lambda rate: optax.chain(decaying, optax.sgd(rate)),
    "no dependence on the rate": lambda rate: optax.set_to_zero(),
}


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
def test_the_tangent_that_goes_along_is_the_derivative_of_the_whole_run(factory):
    def end(rate):
        return run(factory(rate))[0][-1]

    @jax.jit
    def compute():
        along = run(real_time_hypergradient(factory, RATE, 0.0), grad_fn=gradient)
        return along, jax.jvp(end, (RATE,), (1.0,))

    (ws, states), (expected, slope) = jax.device_get(compute())
    np.testing.assert_allclose(ws[-1], expected, rtol=1e-12)
    np.testing.assert_allclose(states.tangent[-1], slope, rtol=1e-9)
    np.testing.assert_allclose(states.rate, RATE, rtol=0)


def test_the_rate_can_follow_another_loss():
    # Against its own gradient the rate grows here; with the opposite outer gradient it shrinks by as much.
    optimizer = real_time_hypergradient(optax.sgd, RATE, BETA)

    @jax.jit
    def both(w):
        _, state = optimizer.update(gradient(w), optimizer.init(w), w, grad_fn=gradient)
        update = lambda outer: optimizer.update(gradient(w), state, w, grad_fn=gradient, outer_gradient=outer)[1]
        return [update(sign * gradient(w)).rate for sign in (1, -1)]

    rates = both(START)
    np.testing.assert_allclose(rates[0] - RATE, RATE - rates[1], rtol=1e-10)
    assert rates[0] > RATE > rates[1]


def test_derivatives_and_dtypes():
    end = lambda beta: loss(run(hypergradient_descent(optax.sgd, RATE, beta))[0][-1])
    at = jax.jit(jax.value_and_grad(end))
    slope = (at(BETA + 1e-6)[0] - at(BETA - 1e-6)[0]) / 2e-6
    np.testing.assert_allclose(at(BETA)[1], slope, rtol=1e-6)
    single = np.asarray(START, np.float32)
    for optimizer, extra in (
        (hypergradient_descent(optax.sgd, np.float32(RATE), np.float32(BETA)), {}),
        (real_time_hypergradient(optax.sgd, np.float32(RATE), np.float32(BETA)), {"grad_fn": lambda w: w}),
    ):
        update = lambda w, optimizer=optimizer, extra=extra: optimizer.update(w, optimizer.init(w), w, **extra)
        updates, state = jax.eval_shape(update, single)
        assert updates.dtype == state.rate.dtype == jnp.float32


def test_as_a_method_of_minimize():
    ws, _ = ran(hypergradient_descent(optax.sgd, RATE, BETA))
    method = Optax(lambda rate, beta: hypergradient_descent(optax.sgd, rate, beta), {"rate": RATE, "beta": BETA})
    result = minimize(loss, START, Params(STEPS, method, silent=True, return_best=False))
    np.testing.assert_allclose(result.w, ws[-1], rtol=1e-12)


@pytest.mark.parametrize("transformation", [hypergradient_descent, real_time_hypergradient])
def test_rates_may_be_ranges(transformation):
    state = transformation(optax.sgd, positive(RATE), positive(BETA)).init(START)
    np.testing.assert_allclose(state.rate, RATE, rtol=1e-14)


def test_bad_input_raises():
    with pytest.raises(ValueError, match="`learning_rate` must be at least 0"):
        hypergradient_descent(optax.sgd, -1.0, BETA)
    with pytest.raises(ValueError, match="`hyper_rate` must be at least 0"):
        real_time_hypergradient(optax.sgd, RATE, -1.0)
    optimizer = real_time_hypergradient(optax.sgd, RATE, BETA)
    with pytest.raises(ValueError, match="`update` needs `params` and `grad_fn`"):
        optimizer.update(START, optimizer.init(START), START)


@pytest.mark.parametrize("transformation", [hypergradient_descent, real_time_hypergradient])
def test_a_state_that_holds_the_rate_is_refused(transformation):
    optimizer = transformation(lambda rate: optax.inject_hyperparams(optax.sgd)(learning_rate=rate), 0.1, 0.01)
    with pytest.raises(ValueError, match="`factory` must make an optimizer that gets its rate from `factory`"):
        optimizer.init(START)
