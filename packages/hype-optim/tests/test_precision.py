"""Weights of half or single precision on wider data: the loss is in the wider dtype, and the run is as in that."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import Adam, Dataset, Early, Minibatch, Momentum, Optimize, Params, Quadratic, RMSProp

RATES = {
    "minibatches": Params(batch=Minibatch(4), learning_rate=0.05),
    "momentum": Params(learning_rate=0.02, momentum=Momentum(0.5), early_stopping=Early(50, 50)),
    "Adam": Params(learning_rate=Adam(0.02, 0.9, 0.999)),
    "RMSProp": Params(learning_rate=RMSProp(0.02, 0.99)),
}
X = jax.random.normal(jax.random.key(0), (6, 3))


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
