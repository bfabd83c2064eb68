"""Which runs compute single steps again, and that it changes memory and nothing else."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import Auto, Checkpointed, L2Reg, Minibatch, Momentum, Params, StepSchedule, Truncated, minimize, train
from hype_optim._adjoint import recomputing
from hype_optim._adjoint.recomputing import Sizes

from .problems import network, regression

MB = 2**20


@pytest.mark.parametrize(
    ("sizes", "levels", "single"),
    [
        (Sizes(4, 1 * MB, 70 * MB), 2, True),  # a transformer
        (Sizes(256, 1 * MB, 70 * MB), 2, True),
        (Sizes(256, 1 * MB, 70 * MB), 3, True),
        (Sizes(256, 1 * MB, 70 * MB), 1, False),
        (Sizes(10**6, 1 * MB, 70 * MB), 2, False),  # a state for each step would be more than segments keep
        (Sizes(1000, 2 * MB, 5 * MB), 2, False),  # 784-300-10
        (Sizes(1000, 2 * MB, 5 * MB), 3, False),
        (Sizes(14, 2 * MB, 5 * MB), 2, False),
        (Sizes(100, 1000, 70_000), 2, False),  # nothing to be gained
    ],
)
def test_where_single_steps_are_chosen(sizes, levels, single):
    assert sizes.are_single(levels) == single
    assert sizes.needed(levels) <= sizes.of_segments(levels)


def memory(adjoint):
    """That of the hypergradient of steps that compute much from two numbers."""
    grid = lambda w: jnp.linspace(0.0, 1.0, 10**4) * w[0]
    f = lambda w: jnp.mean(jnp.sin(jnp.tanh(grid(w)) + w[1]) ** 2)
    run = lambda rates: minimize(f, jnp.ones(2), Params(25, learning_rate=StepSchedule(rates), adjoint=adjoint)).loss
    program = jax.jit(jax.grad(run)).lower(jnp.full(25, 0.1))
    return program.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("adjoint", [Checkpointed(2), Checkpointed(3), Truncated(20), Auto(1)], ids=repr)
def test_memory_is_that_of_one_step(adjoint, monkeypatch):
    segments = memory(adjoint)
    monkeypatch.setattr(recomputing, "CACHE", 2**20)
    assert memory(adjoint) < 0.6 * segments


@pytest.mark.parametrize("levels", [2, 3])
def test_derivatives_are_the_same(levels, monkeypatch):
    data, key = regression(12), jax.random.key(3)

    def end(params, data):
        return train(network(), data, params, key=key).loss

    params = Params(
        20,
        learning_rate=0.1,
        momentum=Momentum(0.6),
        regularization=L2Reg(0.01),
        batch=Minibatch(6),
        adjoint=Checkpointed(levels),
        silent=True,
    )

    def derivatives(params, data):
        slope = partial(jax.grad(end, argnums=(0, 1)), params)
        direction = jax.tree.map(jnp.ones_like, data)
        return slope(data), jax.jvp(slope, (data,), (direction,))

    expected = jax.jit(derivatives)(params, data)
    monkeypatch.setattr(recomputing, "CACHE", 0)
    assert recomputing.Sizes(20, 1, 100).are_single(levels)
    ours = jax.jit(lambda *args: derivatives(*args))(params, data)
    close = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-13)
    jax.tree.map(close, ours, expected)
