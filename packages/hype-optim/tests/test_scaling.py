"""Scaling of features and targets: against NumPy, to be applied to other data, finite where nothing varies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import Dataset, Scaling

ROWS = 12
X = np.random.default_rng(0).normal(size=(ROWS, 3))
LABELS = np.arange(ROWS) % 3


@pytest.fixture
def data():
    return Dataset(X, LABELS)


def test_standardize(data):
    scaled, scaling = data.standardize()
    assert isinstance(scaling, Scaling)
    np.testing.assert_allclose(scaling.shift, X.mean(0))
    np.testing.assert_allclose(scaling.scale, X.std(0))
    np.testing.assert_allclose(scaled.x, (X - X.mean(0)) / X.std(0))
    np.testing.assert_array_equal(scaled.y, LABELS)


def test_normalize(data):
    scaled, scaling = data.normalize()
    np.testing.assert_allclose(scaling.shift, X.min(0))
    np.testing.assert_allclose(scaling.scale, np.ptp(X, axis=0))
    np.testing.assert_allclose(np.min(scaled.x, 0), 0, atol=1e-15)
    np.testing.assert_allclose(np.max(scaled.x, 0), 1)


@pytest.mark.parametrize("method", ["standardize", "normalize"])
def test_scaling_of_other_data(data, method):
    train, test = data[:8], data[8:]
    _, scaling = {"standardize": train.standardize, "normalize": train.normalize}[method]()
    scaled = test.map_x(scaling)
    np.testing.assert_allclose(scaled.x, (X[8:] - np.asarray(scaling.shift)) / np.asarray(scaling.scale))
    np.testing.assert_allclose(scaling.inverse(scaled.x), test.x)
    one = jax.device_put(X[8])  # as a model gets it
    np.testing.assert_allclose(scaling(one), np.asarray(scaled.x)[0])
    for apply in (scaling, scaling.inverse):
        with pytest.raises(ValueError, match=r"shape \(3,\) cannot be applied to an array of shape \(4, 2\)"):
            apply(jax.device_put(np.ones((4, 2))))


@pytest.mark.parametrize("method", [Dataset.standardize, Dataset.normalize])
def test_scaling_of_images_and_integers(method):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 2, 2)).astype(np.uint8)
    scaled, scaling = method(Dataset(pixels, np.arange(5)))
    assert scaling.shift.shape == (2, 2)
    assert scaled.x.dtype == jnp.float64
    single, _ = method(Dataset(pixels.astype(np.float32), np.arange(5)))
    assert single.x.dtype == jnp.float32
    np.testing.assert_allclose(single.x, scaled.x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [Dataset.standardize, Dataset.normalize])
def test_constant_feature_becomes_zero_with_finite_derivatives(method):
    x = np.stack([np.full(5, 0.1), np.arange(5.0)], axis=1)

    def scaled(x):
        return method(Dataset(x, np.zeros(5)))[0].x

    first = jax.jacrev(scaled)
    value, *derivatives = jax.jit(lambda x: (scaled(x), first(x), jax.jacfwd(first)(x)))(x)
    np.testing.assert_allclose(np.asarray(value)[:, 0], 0, atol=1e-15)
    for derivative in derivatives:
        assert np.all(np.isfinite(derivative))


def test_variance_that_underflows_is_none():
    scaled, scaling = Dataset(np.array([[0.0], [1e-200]]), [0, 1]).standardize()
    assert np.asarray(scaling.scale)[0] == 1
    assert np.all(np.isfinite(scaled.x))


def test_scaling_of_targets():
    y = np.random.default_rng(2).normal(size=(ROWS, 2))
    scaled, scaling = Dataset(X, y).standardize_y()
    np.testing.assert_allclose(scaling.inverse(scaled.y), y)
    np.testing.assert_allclose(np.std(scaled.y, 0), 1)
    np.testing.assert_array_equal(scaled.x, X)
    scaled, _ = Dataset(X, y[:, 0]).normalize_y()
    np.testing.assert_allclose(scaled.y, (y[:, 0] - y[:, 0].min()) / np.ptp(y[:, 0]))


@pytest.mark.parametrize("method", [Dataset.standardize, Dataset.normalize])
def test_nothing_has_no_scale(data, method):
    with pytest.raises(ValueError, match="without examples has no scale"):
        method(data[:0])


@pytest.mark.parametrize("method", [Dataset.standardize, Dataset.normalize])
def test_derivatives_in_x_and_y(method):
    y = np.random.default_rng(3).normal(size=ROWS)
    assert_derivatives_match(lambda d: method(d.append_bias()[1:])[0], Dataset(X, y), num_directions=1)
