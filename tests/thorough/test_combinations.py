"""Every method with every momentum, and each penalty with both: all adjoints agree with differences, in both modes.

Some minutes of compiling, so it has a session of its own: `nox -s thorough`.
"""

from dataclasses import replace
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    CD,
    CG,
    GD,
    LBFGS,
    Checkpointed,
    CrossEntropyOnLinear,
    DaiYuanCG,
    Dataset,
    L1Reg,
    L2Reg,
    Momentum,
    Nesterov,
    Newton,
    NewtonCG,
    NoMomentum,
    NonlinearCG,
    NoReg,
    Params,
    Truncated,
    Unrolled,
    train,
)

pytestmark = pytest.mark.slow

METHODS = [GD(), CG(), CD(), NonlinearCG(), DaiYuanCG(), NewtonCG(5), Newton(), LBFGS(2)]
MOMENTA = [NoMomentum(), Momentum(0.4), Nesterov(0.4)]
PENALTIES = [NoReg(), L1Reg(0.02), L2Reg(0.05)]
STEPS = 4
X = jax.random.normal(jax.random.key(0), (9, 2))
DATA = Dataset(X, (X[:, 0] * X[:, 1] > 0).astype(jnp.int32))
WEIGHTS = 0.3 * jax.random.normal(jax.random.key(1), (2,))


def end(adjoint, inputs):
    """The loss at the end of a training, as a function of its first weights and its settings."""
    weights, params = inputs
    # One score is zero, for the Hessian to be regular: Newton's method asks for that.
    model = jax.tree_util.Partial(lambda w, x: jnp.stack([jnp.zeros(()), w @ x]), weights)
    return train(model, DATA, replace(params, adjoint=adjoint)).loss


# In a Latin square each pair of a method and a penalty occurs once, and so does each pair of a momentum and a penalty.
COMBINATIONS = [
    (method, momentum, PENALTIES[(i + j) % 3])
    for (i, method), (j, momentum) in product(enumerate(METHODS), enumerate(MOMENTA))
]


@pytest.mark.parametrize(("method", "momentum", "penalty"), COMBINATIONS, ids=lambda x: type(x).__name__)
def test_all_adjoints_give_the_derivative_of_differences(method, momentum, penalty):
    params = Params(
        STEPS,
        method=method,
        learning_rate=0.1,
        momentum=momentum,
        regularization=penalty,
        loss=CrossEntropyOnLinear(),
        return_best=False,
        silent=True,
    )
    inputs = WEIGHTS, params
    assert_derivatives_match(partial(end, Checkpointed(2)), inputs, num_directions=1)
    exact = jax.grad(partial(end, Checkpointed(2)))(inputs)
    for adjoint in (Unrolled(), Checkpointed(3), Truncated(STEPS)):
        for a, b in zip(jax.tree.leaves(jax.grad(partial(end, adjoint))(inputs)), jax.tree.leaves(exact), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
