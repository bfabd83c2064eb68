"""Derivatives with respect to data and to weights of examples: right through long runs, and not at each step's cost."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    Constant,
    CrossEntropyOnLinear,
    Dataset,
    Minibatch,
    Momentum,
    NoReg,
    Params,
    Quadratic,
    StepSchedule,
    train,
)
from hype_optim._transform.jaxpr import operations

from .problems import classes

MODEL = jax.tree_util.Partial(jnp.matmul, np.zeros((2, 3)))
quiet = partial(Params, silent=True, regularization=NoReg(), return_best=False)


@pytest.mark.parametrize(
    "key", [pytest.param(None, marks=pytest.mark.slow), jax.random.key(3)], ids=["in order", "shuffled"]
)
def test_data_and_weights_of_examples_through_many_minibatches(key):
    data = classes(13)
    params = quiet(
        6, learning_rate=Constant(0.4), momentum=Momentum(0.5), loss=CrossEntropyOnLinear(), batch=Minibatch(4)
    )

    def run(inputs):
        x, weights = inputs
        # Probabilities that sum to the weight of the example give that weight to its cross entropy.
        weighted = Dataset(x, weights[:, None] * data.one_hot(2).y)
        return train(MODEL, weighted, params, key=key).w.args[0]

    assert_derivatives_match(run, (data.x, jnp.linspace(0.2, 1.0, 13)), modes=("reverse",), num_directions=1)


@pytest.mark.slow
def test_an_example_of_weight_zero_is_not_there():
    data = classes(12)
    loss = lambda prediction, target: target[-1] * CrossEntropyOnLinear()(prediction, target[:2])
    params = quiet(20, learning_rate=Constant(0.4), loss=loss)
    weights = jnp.where(jnp.arange(12) < 8, 1.5, 0.0)  # 12 / 8, so that the means agree
    columns = Dataset(data.x, jnp.concatenate([data.one_hot(2).y, weights[:, None]], axis=1))
    scaled = Dataset(data.x, weights[:, None] * data.one_hot(2).y)
    fewer = quiet(20, learning_rate=Constant(0.4), loss=CrossEntropyOnLinear())
    without = train(MODEL, data[:8], fewer).w.args[0]
    np.testing.assert_allclose(train(MODEL, columns, params).w.args[0], without, rtol=1e-12)
    np.testing.assert_allclose(train(MODEL, scaled, fewer).w.args[0], without, rtol=1e-12)


@pytest.mark.slow
def test_the_cost_does_not_grow_as_steps_times_data():
    def cost(rows, steps):
        params = quiet(learning_rate=StepSchedule(jnp.full(steps, 0.1)), loss=Quadratic(), batch=Minibatch(4))

        def end(x):
            model = jax.tree_util.Partial(jnp.dot, jnp.zeros(3))
            return jnp.sum(train(model, Dataset(x, jnp.ones(rows)), params, key=jax.random.key(3)).w.args[0])

        return operations(jax.jit(jax.grad(end)).trace(jnp.ones((rows, 3))).jaxpr)[0]

    # What is as long as the data is touched once in each of the 16 segments of 16 steps, not in each of the 256 steps.
    assert cost(1024, 256) - cost(256, 256) < 20 * (1024 - 256) * 3
    assert cost(1024, 256) < 4.2 * cost(1024, 64)
