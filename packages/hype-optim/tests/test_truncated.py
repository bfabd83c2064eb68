"""Truncated derivatives are those of a run that begins near the end."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import Constant, Momentum, Params, StepSchedule, Truncated, minimize

from .problems import valley

START = np.array([-0.4, 0.8])
RATES = np.linspace(0.05, 0.02, 40)
run = lambda rates, adjoint, state=None: minimize(
    valley,
    START,
    Params(learning_rate=StepSchedule(rates), momentum=Momentum(0.7), adjoint=adjoint, silent=True, return_best=False),
    state=state,
)


def test_it_is_exact_for_the_last_steps():
    end = lambda rates, adjoint: run(rates, adjoint).loss
    derivatives = [(None, jax.grad), (Truncated(3), jax.jacfwd), (Truncated(25), jax.grad), (Truncated(40), jax.grad)]
    every = jax.jit(lambda rates: [derivative(end)(rates, adjoint) for adjoint, derivative in derivatives])
    exact, *others = jax.device_get(every(RATES))
    for k, truncated in zip((3, 25, 40), others, strict=True):
        np.testing.assert_allclose(truncated[-k:], exact[-k:], rtol=1e-12)
        assert np.all(truncated[:-k] == 0)
    np.testing.assert_allclose(run(RATES, Truncated(7)).loss_history, run(RATES, None).loss_history, rtol=1e-12)


@pytest.mark.slow
def test_second_derivatives():
    last = lambda rates: run(jnp.concatenate([RATES[:-3], rates]), Truncated(3)).loss
    assert_derivatives_match(last, RATES[-3:], order=2, num_directions=1)


def test_it_is_the_derivative_of_a_run_that_goes_on_from_a_given_state():
    quiet = partial(Params, silent=True, momentum=Momentum(0.7), return_best=False)
    whole = lambda rate: minimize(valley, START, quiet(20, learning_rate=rate, adjoint=Truncated(4))).w
    state = minimize(valley, START, quiet(16, learning_rate=0.03)).state
    rest = lambda rate: minimize(valley, START, quiet(4, learning_rate=rate), state=state).w
    both = jax.jit(lambda rate: (jax.jacrev(whole)(rate), jax.jacrev(rest)(rate)))
    np.testing.assert_allclose(*both(0.03), rtol=1e-12)


def test_nothing_passes_to_the_first_weights_nor_is_anything_before_differentiated():
    end = lambda w0, k: minimize(valley, w0, Params(20, learning_rate=0.03, adjoint=Truncated(k), silent=True)).loss
    shorter, whole = jax.jit(lambda w0: [jax.grad(end)(w0, k) for k in (19, 20)])(START)
    assert not np.any(shorter)
    assert np.all(whole)
    cost = lambda k: jax.jit(jax.grad(end), static_argnums=1).lower(START, k).compile().memory_analysis()
    assert cost(2).temp_size_in_bytes < cost(20).temp_size_in_bytes


def test_its_length_is_checked():
    with pytest.raises(ValueError, match="`steps` must be at least 1, got 0"):
        Truncated(0)
    with pytest.raises(TypeError, match="steps"):
        Truncated(jnp.array(2.0))
    assert Params(adjoint=Truncated(3), learning_rate=Constant(0.1)).adjoint.steps == 3
