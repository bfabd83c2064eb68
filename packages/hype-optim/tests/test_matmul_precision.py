"""Matrix products, which accelerators compute in reduced precision: the one that is asked for is taken everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import Checkpointed, Constant, Dataset, Implicit, L2Reg, Params, train
from jax.extend import core


def products(jaxpr):
    """The precision of each matrix product in a program."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        for value in jax.tree.leaves(equation.params, is_leaf=lambda x: isinstance(x, core.ClosedJaxpr | core.Jaxpr)):
            if isinstance(value, core.ClosedJaxpr | core.Jaxpr):
                yield from products(getattr(value, "jaxpr", value))


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": Constant(0.1), "adjoint": Checkpointed(3)},
        {"learning_rate": Constant(0.1), "adjoint": Implicit()},
    ],
    ids=["steps", "implicit"],
)
def test_the_precision_that_is_asked_for_is_that_of_all_products(settings):
    """The model's and ours, and those in derivatives of derivatives."""
    data = Dataset(np.ones((4, 3)), np.ones((4, 2)))
    model = jax.tree_util.Partial(lambda w, x: jnp.tanh(x @ w), np.zeros((3, 2)))

    def objective(penalty):
        return train(model, data, Params(epochs=3, regularization=L2Reg(penalty), silent=True, **settings)).loss

    with jax.default_matmul_precision("highest"):
        found = set(products(jax.make_jaxpr(jax.grad(objective))(0.1).jaxpr))
    highest = jax.lax.Precision.HIGHEST
    assert found <= {highest, (highest, highest)}
    assert found
