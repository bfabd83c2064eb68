"""Minima of regressions are those that scikit-learn finds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV
from hype_optim import (
    LBFGS,
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    Nesterov,
    Newton,
    Optimize,
    Params,
    Quadratic,
    Status,
    train,
)

from .problems import classes

quiet = partial(Params, silent=True)


@pytest.fixture(scope="module")
def sklearn():
    """Imported here since it takes seconds, which each worker would spend to collect this module."""
    import sklearn.datasets
    import sklearn.linear_model

    return sklearn


@pytest.mark.slow
def test_ridge_regression(sklearn):
    x, y = sklearn.datasets.load_diabetes(return_X_y=True)
    x, y = x[:60] * 10, y[:60] / 100
    theirs = sklearn.linear_model.Ridge(alpha=60 * 0.1, fit_intercept=False).fit(x, y)
    params = quiet(600, learning_rate=0.2, momentum=Nesterov(0.9), loss=Quadratic(), regularization=L2Reg(0.1))
    result = Optimize.Train(lambda w, x: w @ x, jnp.zeros(10), Dataset(x, y), params)
    np.testing.assert_allclose(result.w, theirs.coef_, rtol=1e-6)


def test_logistic_regression(sklearn):
    data = classes(40)
    theirs = sklearn.linear_model.LogisticRegression(C=1 / (40 * 2 * 0.05), fit_intercept=False, tol=1e-12)
    theirs.fit(data.x, data.y)
    logits = lambda w, x: jnp.stack([0.0 * w[0], w @ x])
    params = quiet(
        300, learning_rate=0.5, momentum=Nesterov(0.8), loss=CrossEntropyOnLinear(), regularization=L2Reg(0.05)
    )
    result = Optimize.Train(logits, DV(jnp.zeros(3)), data, params)
    np.testing.assert_allclose(result.w.array, theirs.coef_[0], rtol=1e-6, atol=1e-7)  # their solver stops there


@pytest.mark.parametrize("method", [Newton(), LBFGS()], ids=lambda method: type(method).__name__)
@pytest.mark.slow
def test_logistic_regression_by_other_methods(method, sklearn):
    x, y = sklearn.datasets.load_breast_cancer(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0))[::3]
    y = y[::3]
    penalty = 0.01  # C = 1 / (2 n penalty) where the loss is a mean and the penalty has no half
    theirs = sklearn.linear_model.LogisticRegression(
        C=1 / (2 * len(y) * penalty), fit_intercept=False, tol=1e-10, max_iter=1000
    ).fit(x, y)
    model = jax.tree_util.Partial(lambda w, x: jnp.stack([jnp.zeros(()), w @ x]), jnp.zeros(30))
    params = quiet(60, method=method, loss=CrossEntropyOnLinear(), regularization=L2Reg(penalty), tolerance=1e-8)
    result = train(model, Dataset(x, y), params)
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.w.args[0], theirs.coef_[0], rtol=1e-4, atol=1e-5)
