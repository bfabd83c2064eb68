"""Values of hyperparameters choose no code: one program serves them all, one by one or in a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import (
    Dataset,
    Early,
    L1Reg,
    L2Reg,
    Minibatch,
    Momentum,
    Nesterov,
    NormClip,
    Optimize,
    Params,
    RMSProp,
    StepSchedule,
    positive,
    train,
    unit_interval,
)

from .problems import regression

DATA = regression(7)
VALID = regression(5)
START = np.full((2, 3), 0.2)


def every_float(scale):
    """A configuration with a float in every place that takes one."""
    return Params(
        12,
        learning_rate=RMSProp(positive(0.05 * scale), unit_interval(0.8 * scale)),
        momentum=Momentum(0.5 * scale),
        loss=squared_error,
        regularization=L2Reg(0.01 * scale),
        gradient_clipping=NormClip(0.4 * scale),
        early_stopping=Early(2, 2),
        improvement_threshold=0.9 * scale,
        tolerance=0.3 * scale**8,
        silent=True,
    )


def squared_error(prediction, target):
    return jnp.sum((prediction - target) ** 2)


def by_steps(scale):
    return Params(
        learning_rate=StepSchedule(scale * jnp.array([0.1, 0.05, 0.2])),
        momentum=Nesterov(0.5 * scale),
        loss=squared_error,
        regularization=L1Reg(0.01 * scale),
        batch=Minibatch(3),
        silent=True,
    )


@pytest.mark.parametrize("configuration", [every_float, pytest.param(by_steps, marks=pytest.mark.slow)])
def test_one_program_for_all_values(configuration):
    traces = 0

    def predict(w, x):
        nonlocal traces
        traces += 1
        return w @ x

    def run(w0, data, params):
        return Optimize.Train(predict, w0, data, params, valid=VALID)

    scales = np.array([1.0, 0.9, 0.8])
    configurations = [configuration(scale) for scale in scales]
    points = [START, -START, 2 * START]
    inputs = [Dataset((1 + i) * np.asarray(DATA.x), DATA.y) for i in range(3)]
    alone = [run(points[0], inputs[0], configurations[0])]
    after_first = traces
    alone += [run(*arguments) for arguments in zip(points[1:], inputs[1:], configurations[1:], strict=True)]
    assert traces == after_first

    stacked = [jax.tree.map(lambda *leaves: np.stack(leaves), *trees) for trees in (points, inputs, configurations)]
    together = jax.vmap(run)(*stacked)
    for i, result in enumerate(alone):
        one = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], together)
        assert (one.status, one.steps) == (result.status, result.steps)
        for name in ("w", "loss", "valid_loss", "loss_history", "valid_history", "learning_rate_history"):
            np.testing.assert_allclose(getattr(one, name), getattr(result, name), rtol=1e-9, err_msg=name)
        for mine, its in zip(jax.tree.leaves(one.state), jax.tree.leaves(result.state), strict=True):
            np.testing.assert_allclose(mine, its, rtol=1e-9)  # each has stayed where it ended
    if configuration is every_float:
        assert len({int(result.steps) for result in alone}) > 1  # they end at different steps


def test_a_batch_of_trainings_validates_as_often_as_each():
    """JAX would make of a branch that each takes for itself, and of all branches inside it, what is always computed."""
    validations = 0

    def count():
        nonlocal validations
        validations += 1

    def predict(w, x):
        if len(x) == len(VALID.x):
            jax.debug.callback(count)
        return x @ w.T

    def run(w0):
        params = Params(12, loss=squared_error, early_stopping=Early(9, 9), validation_interval=4, silent=True)
        return train(jax.tree_util.Partial(predict, w0), DATA, params, valid=VALID, batched=True)

    def validations_of(run, *arguments):
        nonlocal validations
        validations = 0
        jax.block_until_ready(jax.jit(run)(*arguments).loss_history)
        jax.effects_barrier()
        return validations

    alone = validations_of(run, START)
    assert 3 <= alone < 12
    assert validations_of(jax.vmap(run), np.stack([START, -START])) == alone
