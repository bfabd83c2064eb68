"""Weights of half or single precision on wider data: the loss is in the wider dtype, and the run is as in that."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import (
    CG,
    LBFGS,
    Adam,
    Backtrack,
    Box,
    Dataset,
    Decay,
    Early,
    HypergradientDescent,
    Minibatch,
    Momentum,
    Newton,
    NewtonCG,
    NormClip,
    Optimize,
    Params,
    Quadratic,
    RMSProp,
    Simplex,
    SoftThreshold,
    StrongWolfe,
)

RATES = {
    "minibatches": Params(batch=Minibatch(4), learning_rate=0.05),
    "momentum": Params(learning_rate=0.02, momentum=Momentum(0.5), early_stopping=Early(50, 50)),
    "Adam": Params(learning_rate=Adam(0.02, 0.9, 0.999)),
    "RMSProp": Params(learning_rate=RMSProp(0.02, 0.99)),
}
X = np.random.default_rng(0).normal(size=(6, 3))


NARROW = ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float64))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtypes"),
    [("Adam", NARROW[:1]), *(pytest.param(name, NARROW, marks=pytest.mark.slow) for name in RATES)],
)
def test_narrow_weights_on_wide_data(name, dtypes):
    params = replace(RATES[name], epochs=20, loss=Quadratic(), silent=True)

    def run(w, x):
        data = Dataset(x, x[:, 0])
        return Optimize.Train(lambda w, x: w.astype(x.dtype) @ x, w, data, params, valid=data)

    both = jax.jit(lambda w, x: (run(w, x), jax.grad(lambda w: run(w, x).loss)(w)))
    precise, exact = both(jnp.zeros(3), X)
    for narrow, wide in dtypes:
        result, slope = both(jnp.zeros(3, narrow), X.astype(wide))
        assert (result.w.dtype, result.loss.dtype, result.loss_history.dtype) == (narrow, wide, wide)
        tolerance = 10 * float(jnp.finfo(narrow).eps)
        np.testing.assert_allclose(result.w.astype(float), precise.w, atol=tolerance)
        np.testing.assert_allclose(slope.astype(float), exact, atol=tolerance)


IN_HALF = {
    "Backtrack": Params(learning_rate=Backtrack()),
    "StrongWolfe": Params(learning_rate=StrongWolfe(1.0)),
    "HypergradientDescent": Params(learning_rate=HypergradientDescent(), gradient_clipping=NormClip(1.0)),
    "Newton": Params(method=Newton()),
    "NewtonCG": Params(method=NewtonCG(2)),
    "LBFGS": Params(method=LBFGS(2)),
    "CG": Params(method=CG(), learning_rate=Decay()),
    "Box": Params(constraint=Box(0.0, 0.5)),
    "Simplex": Params(learning_rate=0.1, constraint=Simplex()),
    "SoftThreshold": Params(constraint=SoftThreshold(), learning_rate=0.1),
}


DTYPES = [(jnp.float16, jnp.float16), (jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float64)]


def choices():
    """Each choice with each pair of dtypes; one for each choice is enough for each session."""
    for i, name in enumerate(IN_HALF):
        for j, (narrow, wide) in enumerate(DTYPES):
            yield pytest.param(name, narrow, wide, marks=() if i % len(DTYPES) == j else pytest.mark.slow)


@pytest.mark.parametrize(("name", "narrow", "wide"), list(choices()))
def test_all_choices_take_narrow_weights(name, narrow, wide):
    params = replace(IN_HALF[name], epochs=2, loss=Quadratic(), silent=True)

    def run(w, x):
        return Optimize.Train(lambda w, x: w.astype(x.dtype) @ x, w, Dataset(x, x[:, 0]), params)

    # Dtypes are found without a run.
    result = jax.eval_shape(run, jax.ShapeDtypeStruct((3,), narrow), jax.ShapeDtypeStruct((6, 3), wide))
    # Losses are added up in single precision at least.
    assert (result.w.dtype, result.loss.dtype) == (narrow, jnp.float32 if wide == jnp.float16 else wide)
