"""Statistics that a module of Flax's NNX keeps among its weights; stand-ins, so that Flax need not be installed."""

import jax
import jax.numpy as jnp
import pytest
from hype_optim import Dataset, Optimize, Params, minimize, train


def variable(name, *bases):
    """A class of NNX: a pytree that holds a value."""
    kind = type(
        name,
        bases,
        {"__module__": "flax.nnx.variablelib", "__init__": lambda self, value: setattr(self, "value", value)},
    )
    jax.tree_util.register_pytree_with_keys(
        kind, lambda v: ([(jax.tree_util.GetAttrKey("value"), v.value)], None), lambda _, leaves: kind(*leaves)
    )
    return kind


Param, BatchStat = variable("Param"), variable("BatchStat")
MyStat = variable("MyStat", BatchStat)
DATA = Dataset(jnp.ones((4, 2)), jnp.ones((4, 2)))


def scaled(weights, x):
    return weights["scale"].value * x


@pytest.mark.parametrize("kind", [BatchStat, MyStat])
def test_statistics_are_refused_by_their_place(kind):
    weights = {"scale": Param(jnp.ones(2)), "mean": kind(jnp.zeros(2))}
    message = rf"` must hold weights alone, got a {kind.__name__} at .*\['mean'\].*nnx\.split"
    for run in (
        lambda: train(jax.tree_util.Partial(scaled, weights), DATA, Params(1, silent=True)),
        lambda: minimize(lambda w: jnp.sum(w["scale"].value), weights, Params(1, silent=True)),
        lambda: Optimize.Train(scaled, weights, DATA, Params(1, silent=True)),
    ):
        with pytest.raises(TypeError, match=message):
            run()


def test_parameters_alone_are_trained():
    result = train(jax.tree_util.Partial(scaled, {"scale": Param(jnp.zeros(2))}), DATA, Params(5, silent=True))
    assert result.loss < 1.5
