"""Which runs compute single steps again, and that it changes memory and nothing else."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hype_ad import checkpointed_scan
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    GD,
    LBFGS,
    AbstractAdjoint,
    Adam,
    Auto,
    Backtrack,
    Checkpointed,
    Early,
    L2Reg,
    Minibatch,
    Momentum,
    Nesterov,
    NewtonCG,
    NoClip,
    NoEarly,
    NormClip,
    Optax,
    Params,
    Quadratic,
    Reversible,
    Solution,
    StepSchedule,
    Truncated,
    forecast,
    minimize,
    train,
)
from hype_optim._adjoint import recomputing
from hype_optim._adjoint.recomputing import Sizes
from jax import lax

from .problems import network, regression, valley

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


PARAMS = Params(learning_rate=StepSchedule(np.full(25, 0.1)))


def end(params):
    """Of steps that compute much from two numbers."""
    grid = lambda w: jnp.linspace(0.0, 1.0, 10**4) * w[0]
    return minimize(lambda w: jnp.mean(jnp.sin(jnp.tanh(grid(w)) + w[1]) ** 2), jnp.ones(2), params).loss


def memory(adjoint):
    """That of the hypergradient."""
    program = jax.jit(jax.grad(end)).lower(replace(PARAMS, adjoint=adjoint))
    return program.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize(
    "adjoint",
    [Checkpointed(2), *(pytest.param(a, marks=pytest.mark.slow) for a in (Checkpointed(3), Truncated(20), Auto(1)))],
    ids=repr,
)
@pytest.mark.slow
def test_memory_is_that_of_one_step(adjoint, monkeypatch):
    segments = memory(adjoint)
    monkeypatch.setattr(recomputing, "CACHE", 2**20)
    singly = memory(adjoint)
    assert singly < 0.6 * segments
    if adjoint == Checkpointed(2):
        assert forecast(end, PARAMS, [adjoint])[adjoint].bytes == singly


class Singly(AbstractAdjoint):
    """What `Checkpointed` does where it recomputes single steps, for runs that are too small for it."""

    levels: int = eqx.field(static=True, default=2)
    mixed: bool = eqx.field(static=True, default=True)

    def solve(self, run, state, params, gradient):
        def scan(step, init, xs, load):
            made = partial(step, mixed=self.mixed)
            return checkpointed_scan(made, init, xs, self.levels, load=load, single_steps=True)

        return Solution(*run(scan, state, params))


close = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12)
MIXED, PLAIN = Singly(), Checkpointed()

EVERYTHING = Params(
    20,
    learning_rate=0.1,
    momentum=Nesterov(0.6),
    loss=Quadratic(),
    regularization=L2Reg(0.01),
    gradient_clipping=NormClip(1.0),
    batch=Minibatch(6),
    early_stopping=Early(30, 6),
    silent=True,
)
MOST = replace(EVERYTHING, gradient_clipping=NoClip(), early_stopping=NoEarly())


@pytest.mark.slow
@pytest.mark.parametrize("params", [MOST, pytest.param(EVERYTHING, marks=pytest.mark.slow)], ids=["most", "everything"])
def test_a_training_that_does(params):
    def end(params, data, adjoint):
        result = train(network(), data, replace(params, adjoint=adjoint), valid=regression(5), key=jax.random.key(3))
        return result.loss + result.valid_loss

    slopes = eqx.filter_jit(lambda *at: [jax.grad(end, argnums=(0, 1))(*at, adjoint) for adjoint in (MIXED, PLAIN)])
    ours, expected = (eqx.filter(slope, eqx.is_inexact_array) for slope in slopes(params, regression(12)))
    jax.tree.map(close, ours, expected)


METHODS = [
    pytest.param({"learning_rate": 0.03, "momentum": Momentum(0.6)}, id="momentum"),
    pytest.param({"learning_rate": Adam(0.03)}, id="adam"),
    pytest.param({"method": Optax(optax.adam, {"learning_rate": 0.03}), "learning_rate": None}, id="optax"),
    pytest.param({"method": LBFGS(3), "learning_rate": Backtrack()}, id="lbfgs", marks=pytest.mark.slow),
    pytest.param({"method": NewtonCG(), "learning_rate": 0.3}, id="newton-cg"),
    pytest.param({"learning_rate": 0.03, "track_sensitivity": True}, id="sensitivity", marks=pytest.mark.slow),
    pytest.param({"learning_rate": 0.03, "derivative": "forward"}, id="forward"),
    pytest.param({"learning_rate": 0.03, "tolerance": 0.01}, id="tolerance"),
]


@pytest.mark.parametrize("settings", METHODS)
def test_every_kind_of_step(settings):
    settings = {"silent": True, **settings}

    def slope(c, adjoint):
        f = jax.tree_util.Partial(lambda c, w: (1 - c * w[0]) ** 2 + jnp.sin(c) * (w[1] - w[0] ** 2) ** 2, c)
        return jax.grad(lambda c: minimize(f, jnp.array([-0.4, 0.8]), Params(6, adjoint=adjoint, **settings)).loss)(c)

    close(
        *jax.jit(lambda c: [jax.vmap(partial(slope, adjoint=adjoint))(c) for adjoint in (MIXED, PLAIN)])(
            jnp.array([0.9, 1.1])
        )
    )


def test_derivatives_are_those_of_differences():
    def climb(numbers):
        params = Params(17, learning_rate=numbers[0], momentum=Momentum(numbers[1]), adjoint=Singly(3), silent=True)
        result = minimize(valley, jnp.array([-0.4, 0.8]), params)
        return result.w, result.loss

    assert_derivatives_match(climb, jnp.array([0.03, 0.6]), num_directions=1)


@pytest.mark.slow
def test_a_minimize_within_a_minimize():
    def outer(rate, adjoint):
        run = partial(Params, silent=True, adjoint=adjoint, return_best=False)
        inner = lambda x: minimize(lambda y: (y - x) ** 2 + y**4, jnp.array(0.0), run(5, learning_rate=0.2)).loss
        return minimize(lambda x: (x - 2) ** 2 + inner(x), jnp.array(0.0), run(3, learning_rate=rate)).w

    close(*jax.jit(lambda rate: [jax.grad(outer)(rate, adjoint) for adjoint in (MIXED, PLAIN)])(0.1))


@pytest.mark.parametrize("method", [GD(), pytest.param(NewtonCG(2), marks=pytest.mark.slow)], ids=repr)
def test_mixed_mode_keeps_less(method):
    def bytes_of(adjoint):
        f = lambda w: jnp.mean(
            lax.scan(jax.checkpoint(lambda x, _: (jnp.sin(x * w), None)), jnp.ones(10**4), length=9)[0]
        )
        params = Params(4, method, learning_rate=0.1, adjoint=adjoint)
        end = lambda rate: minimize(f, jnp.array(1.0), replace(params, learning_rate=rate)).loss
        return jax.jit(jax.grad(end)).lower(0.1).compile().memory_analysis().temp_size_in_bytes

    assert bytes_of(MIXED) < 0.7 * bytes_of(Singly(mixed=False))


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", [Checkpointed(), Auto()], ids=repr)
def test_steps_without_a_second_derivative_are_made(adjoint, monkeypatch):
    monkeypatch.setattr(recomputing, "CACHE", 0)
    decay = Params(5, learning_rate=0.1, momentum=Momentum(0.9), adjoint=Reversible(), silent=True)
    outer = Params(2, learning_rate=0.001, adjoint=adjoint, silent=True)
    tuned = lambda rate: minimize(
        lambda rate: minimize(jnp.sum, jnp.ones(2), replace(decay, learning_rate=rate)).loss, rate, outer
    )
    assert tuned(0.1).w > 0.1
    with pytest.raises(ValueError, match="`Reversible` has first derivatives only"):
        jax.grad(lambda rate: tuned(rate).loss)(0.1)
