"""Weights of half or single precision on wider data: the loss is in the wider dtype, and the run is as in that."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import (
    LBFGS,
    Adam,
    Dataset,
    Early,
    Minibatch,
    Momentum,
    Newton,
    NewtonCG,
    Optimize,
    Params,
    Quadratic,
    RMSProp,
    minimize,
)

RATES = {
    "minibatches": Params(batch=Minibatch(4), learning_rate=0.05),
    "momentum": Params(learning_rate=0.02, momentum=Momentum(0.5), early_stopping=Early(50, 50)),
    "Adam": Params(learning_rate=Adam(0.02, 0.9, 0.999)),
    "RMSProp": Params(learning_rate=RMSProp(0.02, 0.99)),
}
X = jax.random.normal(jax.random.key(0), (6, 3))


@pytest.mark.parametrize("method", [LBFGS(), Newton(), NewtonCG()], ids=lambda method: type(method).__name__)
def test_methods_that_look_for_a_length_take_half_precision(method):
    f = lambda w: jnp.mean((X.astype(jnp.float32) @ w.astype(jnp.float32) - X[:, 0].astype(jnp.float32)) ** 2)
    result = minimize(f, jnp.zeros(3, jnp.bfloat16), Params(20, method=method, silent=True))
    assert (result.w.dtype, result.loss.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_allclose(result.w.astype(float), [1, 0, 0], atol=0.02)


@pytest.mark.parametrize("name", RATES)
def test_narrow_weights_on_wide_data(name):
    params = replace(RATES[name], epochs=20, loss=Quadratic(), silent=True)

    def run(w, x):
        data = Dataset(x, x[:, 0])
        return Optimize.Train(lambda w, x: w.astype(x.dtype) @ x, w, data, params, valid=data)

    both = jax.jit(lambda w, x: (run(w, x), jax.grad(lambda w: run(w, x).loss)(w)))
    precise, exact = both(jnp.zeros(3), X)
    for narrow, wide in ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float64)):
        result, slope = both(jnp.zeros(3, narrow), X.astype(wide))
        assert (result.w.dtype, result.loss.dtype, result.loss_history.dtype) == (narrow, wide, wide)
        tolerance = 10 * float(jnp.finfo(narrow).eps)
        np.testing.assert_allclose(result.w.astype(float), precise.w, atol=tolerance)
        np.testing.assert_allclose(slope.astype(float), exact, atol=tolerance)
