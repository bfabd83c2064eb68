"""Programs made of several packages: values are pytrees and functions are functions, so nothing needs glue."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hype_ad import DV, grad, hessian
from hype_ad.testing import assert_derivatives_match
from hype_mcmc import HMC, DiagonalMass, expected_squared_jump
from hype_neural import FeedForward, InitNormal, Linear
from hype_optim import (
    Constant,
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    Minibatch,
    Nesterov,
    NormClip,
    Params,
    RMSProp,
    StepSchedule,
    minimize,
    positive,
    train,
    unit_interval,
)

quiet = partial(Params, silent=True)


def flowers():
    """Three classes of examples with four features each, to train on and to judge by."""
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 80)
    data = Dataset(draw.normal(size=(3, 4))[y] + 0.7 * draw.normal(size=(80, 4)), y)
    return data[:40], data[40:]


def network(scale):
    draw = InitNormal(0.0, scale)
    keys = jax.random.split(jax.random.key(1), 2)
    return FeedForward([Linear(4, 5, draw, key=keys[0]), jnp.tanh, Linear(5, 3, draw, key=keys[1])])


def test_one_gradient_reaches_every_float_of_a_training():
    """The initializer's scale, every hyperparameter, the data and the validation data, in reverse and forward mode."""
    data, valid = flowers()
    params = quiet(
        learning_rate=StepSchedule(positive(jnp.full(6, 0.2))),
        momentum=Nesterov(unit_interval(0.8)),
        loss=CrossEntropyOnLinear(),
        regularization=L2Reg(0.01),
        gradient_clipping=NormClip(1.0),
        batch=Minibatch(10),
    )

    def outer(inputs):
        scale, params, x, x_valid = inputs
        result = train(network(scale), Dataset(x, data.y), params, valid=Dataset(x_valid, valid.y))
        return result.valid_loss, result.loss

    assert_derivatives_match(outer, (0.5, params, data.x, valid.x), num_directions=1)


@pytest.mark.slow
def test_minimize_over_a_whole_params():
    data, valid = flowers()
    model = network(0.5)
    params = quiet(
        5,
        learning_rate=Constant(positive(0.05)),
        momentum=Nesterov(unit_interval(0.5)),
        loss=CrossEntropyOnLinear(),
        regularization=L2Reg(positive(0.01)),
        batch=Minibatch(20),
    )
    validation_loss = lambda params: train(model, data, params, valid=valid).valid_loss
    result = minimize(validation_loss, params, quiet(8, learning_rate=RMSProp(0.1)))
    assert isinstance(result.w, Params)
    assert result.loss < 0.8 * result.loss_history[0]
    assert 0 < result.w.momentum.decay.value < 1
    assert jax.tree.structure(result.w) == jax.tree.structure(params)


def test_differential_operators_through_a_minimize():
    a = DV([1.0, 3.0])
    end = lambda w0: minimize(lambda w: 0.5 * (a * w) @ w, w0, quiet(3, learning_rate=0.1)).loss
    shrink = (1 - 0.1 * np.array([1.0, 3.0])) ** 3
    w0 = DV([1.0, -2.0])
    first, second = jax.jit(lambda w0: (grad(end)(w0), hessian(end)(w0)))(w0)
    np.testing.assert_allclose(first.array, np.array([1.0, 3.0]) * shrink**2 * w0.array, rtol=1e-12)
    np.testing.assert_allclose(second.array, np.diag([1.0, 3.0] * shrink**2), atol=1e-12)


def test_an_optax_loop_climbs_a_hypergradient():
    loss = lambda log_rate: minimize(lambda w: w**4, jnp.array(1.0), quiet(5, learning_rate=jnp.exp(log_rate))).loss
    optimizer = optax.sgd(0.3, momentum=0.5)
    log_rate = jnp.log(0.01)
    state = optimizer.init(log_rate)
    gradient = jax.jit(jax.grad(loss))
    for _ in range(10):
        updates, state = optimizer.update(gradient(log_rate), state)
        log_rate = optax.apply_updates(log_rate, updates)
    assert loss(log_rate) < 0.9 * loss(jnp.log(0.01))


@pytest.mark.slow  # `test_data_derivatives.py` has the derivatives
def test_a_dataset_can_be_learned():
    """Three training points move until a model trained on them fits other data."""
    _, valid = flowers()
    model = network(0.5)
    inner = quiet(10, learning_rate=0.5, loss=CrossEntropyOnLinear())
    y = jnp.array([0, 1, 2])

    def outer(x):
        return train(model, Dataset(x, y), inner, valid=valid).valid_loss

    x0 = 0.1 * jax.random.normal(jax.random.key(3), (3, 4))
    result = minimize(outer, x0, quiet(15, learning_rate=RMSProp(0.1)))
    assert result.loss < 0.7 * result.loss_history[0]


def test_minimize_finds_a_better_step_size_and_mass_for_a_sampler():
    """A Gaussian whose deviations differ by ten, from a tenth of a sensible step and a unit mass."""
    deviation = jnp.array([1.0, 0.1])
    logdensity = lambda x: -0.5 * jnp.sum((x / deviation) ** 2)
    positions = jax.random.normal(jax.random.key(0), (64, 2)) @ jnp.diag(deviation)

    def lost_jump(point):
        kernel = HMC(point["step_size"].value, 3, DiagonalMass(point["mass"].value))
        return -expected_squared_jump(kernel, logdensity, positions, key=jax.random.key(1), scale=deviation)

    start = {"step_size": positive(0.01), "mass": positive(jnp.ones(2))}
    result = minimize(lost_jump, start, quiet(60, learning_rate=RMSProp(0.1)))
    assert result.loss < 10 * result.loss_history[0] < 0
    masses = result.w["mass"].value
    assert masses[1] / masses[0] > 10  # the best mass is the inverse variance: a hundred times as large
