"""The automatic adjoint: forward mode for few numbers, with the derivatives of every other adjoint."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    Auto,
    Checkpointed,
    Constant,
    Early,
    L2Reg,
    Minibatch,
    Momentum,
    NoClip,
    NoEarly,
    NoReg,
    NormClip,
    Params,
    Quadratic,
    StepSchedule,
    minimize,
    train,
)

from .problems import network, regression, valley

# All that a run may do: shuffle, clip, judge by other data, stop early, keep the best, follow a perturbation.
RICH = Params(
    8,
    learning_rate=0.1,
    momentum=Momentum(0.6),
    loss=Quadratic(),
    regularization=L2Reg(0.01),
    gradient_clipping=NormClip(1.0),
    batch=Minibatch(6),
    early_stopping=Early(3, 6),
    track_sensitivity=True,
    silent=True,
)
PLAIN = replace(RICH, gradient_clipping=NoClip(), early_stopping=NoEarly(), track_sensitivity=False)


@pytest.mark.slow
@pytest.mark.parametrize("params", [PLAIN, pytest.param(RICH, marks=pytest.mark.slow)], ids=["most", "everything"])
def test_a_training_that_does(params):
    def end(params, adjoint):
        data, valid, key = regression(12), regression(5), jax.random.key(3)
        result = train(network(), data, replace(params, adjoint=adjoint), valid=valid, key=key)
        return result.loss + result.valid_loss

    def of_two(numbers):
        few = replace(params, learning_rate=Constant(numbers[0]), momentum=Momentum(numbers[1]))
        return end(few, Auto(1))

    @jax.jit
    def derivatives(params):
        numbers = params.learning_rate.rate, params.momentum.decay
        return jax.grad(end)(params, Checkpointed()), jax.grad(of_two)(numbers)

    whole, two = derivatives(params)
    np.testing.assert_allclose(two, (whole.learning_rate.rate, whole.momentum.decay), rtol=1e-9)


@pytest.mark.slow
def test_derivatives_are_those_of_differences():
    def climb(numbers):
        params = Params(20, learning_rate=numbers[0], momentum=Momentum(numbers[1]), adjoint=Auto(1), silent=True)
        result = minimize(valley, jnp.array([-0.4, 0.8]), params)
        return result.w, result.loss

    assert_derivatives_match(climb, jnp.array([0.03, 0.6]), order=2, num_directions=1)


@pytest.mark.slow
def test_a_minimize_within_a_minimize():
    def outer(rate, adjoint):
        run = partial(Params, silent=True, adjoint=adjoint, return_best=False)
        inner = lambda x: minimize(lambda y: (y - x) ** 2 + y**4, jnp.array(0.0), run(16, learning_rate=0.2)).loss
        # The inner runs are differentiated in x, then in the rate of the outer one, on which x depends.
        return minimize(lambda x: (x - 2) ** 2 + inner(x), jnp.array(0.0), run(5, learning_rate=rate)).w

    slopes = lambda rate: [jax.grad(outer)(rate, adjoint) for adjoint in (Checkpointed(), Auto(1))]
    np.testing.assert_allclose(*jax.jit(slopes)(0.1), rtol=1e-10)


@pytest.mark.slow
def test_numbers_of_several_dtypes_and_several_runs():
    start = {"a": jnp.ones(2, jnp.float32), "b": jnp.array(0.5)}

    def end(rate, c, adjoint):
        f = jax.tree_util.Partial(lambda c, w: jnp.sum((w["a"] - c) ** 2).astype(float) + w["b"] ** 2, c)
        return minimize(f, start, Params(8, learning_rate=rate, adjoint=adjoint, silent=True)).loss

    def slopes(rate):
        return [jax.grad(end, argnums=(0, 1))(rate, jnp.float32(0.3), adjoint) for adjoint in (Auto(), Checkpointed())]

    rates = jnp.array([0.1, 0.15])
    ours, exact = jax.jit(jax.vmap(slopes))(rates)
    assert ours[1].dtype == jnp.float32
    np.testing.assert_allclose(ours, exact, rtol=1e-4)


N = 24
MATRIX = np.random.default_rng(0).normal(size=(N, N)) / N


def long_run(x, adjoint, steps):
    """The outcome as a function of a rate, or of a rate for each step."""
    rate = x if x.ndim == 0 else StepSchedule(x)
    params = Params(steps, learning_rate=rate, regularization=NoReg(), adjoint=adjoint, silent=True)
    return minimize(lambda w: jnp.sum(jnp.tanh(MATRIX @ w) ** 2), jnp.ones((N, N)), params).loss


def memory(derivative, x, adjoint, steps):
    program = jax.jit(lambda x: derivative(lambda x: long_run(x, adjoint, steps))(x))
    return program.lower(x).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize(
    "derivative",
    [jax.grad, pytest.param(lambda f: jax.grad(jax.grad(f)), marks=pytest.mark.slow)],
    ids=["first", "second"],
)
def test_memory_for_one_number_does_not_grow(derivative):
    state = MATRIX.nbytes
    short, long = (memory(derivative, jnp.array(0.1), Auto(), steps) for steps in (64, 4096))
    assert long - short < 8 * 8 * 4096  # some numbers for each step
    assert long < 20 * state + 8 * 8 * 4096


@pytest.mark.slow
def test_many_numbers_go_to_checkpointing():
    rates = jnp.full(200, 0.1)
    ours, exact = (memory(jax.grad, rates, adjoint, 200) for adjoint in (Auto(2 * 10**6), Checkpointed(2)))
    assert ours == exact
    assert memory(jax.grad, rates[0], Auto(2 * 10**6), 200) < ours / 3


def test_the_objective_is_traced_a_constant_number_of_times():
    def traces(steps):
        count = []

        def f(w):
            count.append(w)
            return jnp.sum(w**2)

        end = lambda rate: minimize(f, jnp.ones(2), Params(steps, learning_rate=rate, adjoint="auto", silent=True)).loss
        jax.eval_shape(jax.grad(end), 0.1)
        return len(count)

    assert traces(20) == traces(2000)
