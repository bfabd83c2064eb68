"""What a function reads beside its arguments may change from one run to the next."""

import functools
import types
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.internal.captured import captured
from hype_optim import Dataset, NoReg, Optimize, Params, minimize

goal = jnp.asarray(np.array(1.0), float)
settings = types.SimpleNamespace(goal=1.0)
BUFFER = np.ones(2)
PARAMS = Params(1, learning_rate=0.5, silent=True, return_best=False)  # one step goes all the way


class Target:
    def __init__(self, goal):
        self.goal, self.calls = goal, 0

    def difference(self, w):
        return w - self.goal

    def loss(self, w):
        return self.difference(w) ** 2

    def __call__(self, w):
        return self.loss(w)


def of_a_global(w):
    return helper(w) ** 2


def helper(w):
    return w - goal


def of_a_namespace(w):
    return (w - settings.goal) ** 2


def of_a_buffer(w):
    return (w - BUFFER[0]) ** 2


def set_global(value):
    globals()["goal"] = jnp.array(value)


def changing(kind):
    target, cell = Target(1.0), [jnp.array(1.0)]
    local = 1.0

    def closed(w):
        return (w - local) ** 2

    def set_local(value):
        nonlocal local
        local = value

    of_a_list = lambda w: (w - cell[0]) ** 2
    return {
        "global": (of_a_global, set_global),
        "namespace": (of_a_namespace, partial(setattr, settings, "goal")),
        "buffer": (of_a_buffer, partial(BUFFER.fill)),
        "closure": (closed, set_local),
        "list": (of_a_list, partial(cell.__setitem__, 0)),
        "method": (target.loss, partial(setattr, target, "goal")),
        "object": (target, partial(setattr, target, "goal")),
        "partial": (functools.partial(lambda _, w: of_a_list(w), 0), partial(cell.__setitem__, 0)),
    }[kind]


@pytest.mark.parametrize("kind", ["global", "namespace", "buffer", "closure", "list", "method", "object", "partial"])
def test_a_change_is_seen(kind):
    f, change = changing(kind)
    found = []
    for value in (1.0, 3.0, 3.0):
        change(value)
        found.append(float(minimize(f, jnp.array(0.0), PARAMS).w))
    change(1.0)
    np.testing.assert_allclose(found, [1, 3, 3], rtol=1e-12)


def test_a_loss_and_a_model_of_a_training_see_it_too():
    scale = {"loss": 1.0, "model": 1.0}
    loss = lambda p, y: scale["loss"] * (p - y) ** 2
    run = lambda: Optimize.Train(
        lambda w, x: scale["model"] * w * x, jnp.array(0.0), Dataset(jnp.ones((1, 1)), jnp.ones((1, 1))), params
    )
    params = Params(1, learning_rate=0.1, loss=lambda p, y: jnp.sum(loss(p, y)), regularization=NoReg(), silent=True)
    model_of = lambda: float(run().state.w)
    first = model_of()
    scale["loss"] = 2.0
    np.testing.assert_allclose(model_of(), 2 * first, rtol=1e-12)
    scale["model"] = 0.5
    np.testing.assert_allclose(model_of(), first, rtol=1e-12)


def test_what_does_not_matter_is_not_compiled_again():
    traces, unrelated = [], 0.0

    def f(w):
        traces.append(1)
        return jnp.sum(w**2)

    minimize(f, jnp.ones(2), PARAMS)
    before = len(traces)
    unrelated += 1.0
    minimize(f, jnp.ones(2), PARAMS)
    assert len(traces) == before
    assert captured(f) == captured(f) == captured(jax.tree_util.Partial(f))
    assert hash(captured(f)) == hash(captured(f))
