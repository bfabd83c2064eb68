"""A run that goes on under another objective, penalty, data or validation set is judged by the new one."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from hype_optim import Dataset, Early, L2Reg, Minibatch, NoReg, Optimize, Params, Quadratic, Status, minimize

quiet = partial(Params, 12, learning_rate=0.1, silent=True, loss=Quadratic(), regularization=NoReg())
ONE, OTHER = (Dataset(np.ones((4, 1)), np.full((4, 1), target)) for target in (1.0, -3.0))
KINDS = {
    "full": (quiet(), {}, {}),
    "minibatches": (quiet(batch=Minibatch(3)), {}, {}),
    "validation": (quiet(), {"valid": ONE}, {"valid": OTHER}),
    "validation dropped": (quiet(batch=Minibatch(3)), {"valid": ONE[:2]}, {}),
    "validation added": (quiet(batch=Minibatch(3)), {}, {"valid": OTHER}),
    "patience": (quiet(batch=Minibatch(3), early_stopping=Early(10, 10)), {}, {}),
    "patience of the last point": (quiet(return_best=False, early_stopping=Early(10, 10)), {}, {}),
}


QUICK = {"minibatches", "validation dropped", "patience of the last point"}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in KINDS]
)
def test_other_data_and_another_penalty_are_learned(kind):
    params, before, after = KINDS[kind]
    go = lambda data, params, **rest: Optimize.Train(lambda w, x: w * x, np.array(0.0), data, params, **rest)
    first = go(ONE, params, **before)
    assert first.w > 0.8
    penalized = replace(params, regularization=L2Reg(0.5))
    second = go(OTHER, penalized, state=first.state, **after)
    assert (second.status, second.steps) == (Status.MAX_STEPS, 2 * first.steps)
    np.testing.assert_allclose(second.w, -2, atol=0.2)


def test_an_unchanged_run_keeps_its_best_point():
    f = lambda c, w: (w - c) ** 2
    overshoot = Params(5, learning_rate=1.1, silent=True)  # each step is longer than the one before
    first = minimize(jax.tree_util.Partial(f, 1.0), np.array(0.9), overshoot)
    second = minimize(jax.tree_util.Partial(f, 1.0), np.array(0.9), overshoot, state=first.state)
    assert first.w == second.w == 0.9
    assert second.state.judgement.best_loss == first.state.judgement.best_loss
    # By the other objective the weights that were best are still a candidate, at what they are worth now.
    third = minimize(jax.tree_util.Partial(f, 0.95), np.array(0.9), overshoot, state=first.state)
    assert third.w == 0.9
    np.testing.assert_allclose(third.state.judgement.best_loss, 0.05**2, rtol=1e-12)


def test_a_derivative_is_not_that_of_the_comparison():
    def end(b):
        f = lambda w: (w - b) ** 2
        params = Params(3, learning_rate=0.1, silent=True)
        return minimize(f, np.array(0.0), params, state=minimize(lambda w: w**2 - w, np.array(0.0), params).state).w

    # Each step multiplies the error by 0.8.
    np.testing.assert_allclose(jax.jit(jax.grad(end))(2.0), 1 - 0.8**3, rtol=1e-12)
