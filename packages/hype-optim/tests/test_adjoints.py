"""All exact adjoints give one derivative, that of forward mode and of differences, whatever takes the steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import central_difference
from hype_optim import (
    GD,
    LBFGS,
    Auto,
    Checkpointed,
    Constant,
    Dataset,
    Full,
    L1Reg,
    L2Reg,
    Minibatch,
    Momentum,
    Nesterov,
    Newton,
    NoMomentum,
    NoReg,
    NormClip,
    Params,
    Quadratic,
    Truncated,
    Unrolled,
    train,
)

STEPS = 16  # fewer are not worth segments
X = np.random.default_rng(0).normal(size=(8, 2))
Y = np.sin(X[:, 0]) + X[:, 1] ** 2
A = np.array([[0.5, -0.3], [0.4, 0.6]])  # away from 0, where the 1-norm has a kink
MODEL = jax.tree_util.Partial(lambda w, x: jnp.tanh(w["a"] @ x) @ w["b"], {"a": A, "b": np.ones(2)})
RUNS = {
    "gd": (GD(), Nesterov(0.6), L1Reg(0.01), Minibatch(4), [Truncated(STEPS), Auto(1)]),
    "three levels": (GD(), Nesterov(0.6), L1Reg(0.01), Minibatch(4), [Checkpointed(3)]),
    "lbfgs": (LBFGS(3), Momentum(0.3), NoReg(), Full(), []),
    "newton": (Newton(), NoMomentum(), L2Reg(0.01), Full(), []),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "gd" else pytest.mark.slow) for name in RUNS])
def test_every_adjoint_gives_the_derivative_of_differences(name):
    method, momentum, penalty, batch, more = RUNS[name]
    params = Params(
        STEPS * batch.size(len(X)) // len(X),
        method,
        Constant(0.05),
        momentum=momentum,
        loss=Quadratic(),
        regularization=penalty,
        gradient_clipping=NormClip(3.0),
        batch=batch,
        silent=True,
        return_best=False,
    )

    def end(inputs, adjoint):
        params, model, x, y = inputs
        params = eqx.tree_at(lambda p: p.adjoint, params, adjoint)
        return train(model, Dataset(x, y), params).loss

    inputs = (params, MODEL, X, Y)
    floats, rest = eqx.partition(inputs, eqx.is_inexact_array)
    random = np.random.default_rng(0)
    direction = jax.tree.map(lambda leaf: np.asarray(0.03 * random.normal(size=leaf.shape)), floats)

    @jax.jit
    def derivatives(floats, direction):
        value = lambda floats, adjoint: end(eqx.combine(floats, rest), adjoint)
        dot = lambda gradient: sum(map(jnp.vdot, jax.tree.leaves(gradient), jax.tree.leaves(direction)))
        forward = jax.jvp(lambda floats: value(floats, Checkpointed(2)), (floats,), (direction,))
        return forward, [dot(jax.grad(value)(floats, adjoint)) for adjoint in (Unrolled(), Checkpointed(2), *more)]

    (value, forward), reverse = derivatives(floats, direction)
    run = jax.jit(lambda floats: end(eqx.combine(floats, rest), Checkpointed(2)))
    np.testing.assert_allclose(value, run(floats), rtol=1e-12)
    np.testing.assert_allclose(reverse, forward, rtol=1e-9)
    move = lambda t: np.asarray(run(jax.tree.map(lambda leaf, v: leaf + t * v, floats, direction)))
    difference, error = central_difference(move, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(forward, difference, rtol=1e-6, atol=2 * error)
    assert error < 1e-6 * abs(difference)
