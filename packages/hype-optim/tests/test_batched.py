"""A model of whole batches is given the examples of a batch and no others, also where the last of an epoch is short."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import Dataset, Minibatch, NoReg, Optimize, Params

X = np.random.default_rng(0).normal(size=(5, 2, 3))
DATA = Dataset(X, np.zeros(5))
RATE = 0.3
PARAMS = Params(2, learning_rate=RATE, loss=lambda p, y: p, regularization=NoReg(), batch=Minibatch(4), silent=True)


def info_nce(w, pairs):
    """For each pair, how well its second half is told from those of the others (van den Oord et al. 2018)."""
    logits = (pairs[:, 0] @ w) @ (pairs[:, 1] @ w).T
    return jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits)


def standardized(w, pairs):
    """A batch norm: what comes out for one example depends on all of the batch."""
    features = pairs[:, 0] @ w
    mean = jnp.mean(features, axis=0, keepdims=True)
    variance = jnp.mean((features - mean) ** 2, axis=0, keepdims=True)
    return jnp.sum(((features - mean) / jnp.sqrt(variance + 0.1)) ** 2 * pairs[:, 1, :2], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("model", [info_nce, pytest.param(standardized, marks=pytest.mark.slow)])
def test_the_last_batch_of_an_epoch_is_what_is_left(model):
    def by_hand(w, x):
        values = []
        for start, end in ((0, 4), (4, 5), (0, 4), (4, 5)):
            value, slope = jax.value_and_grad(lambda w, part=x[start:end]: jnp.mean(model(w, part)))(w)
            values.append(value)
            w = w - RATE * slope
        return w, jnp.stack(values)

    def ours(w, x):
        result = Optimize.Train(model, w, Dataset(x, DATA.y), replace(PARAMS, return_best=False), batched=True)
        return result.w, result.loss_history

    w = jax.random.normal(jax.random.key(1), (3, 2))
    got, expected = jax.jit(lambda: (ours(w, X), by_hand(w, X)))()
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    assert_derivatives_match(lambda point: ours(*point)[0], (w, X), num_directions=1)
