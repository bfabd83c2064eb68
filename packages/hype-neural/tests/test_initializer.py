"""What initializers draw, and its derivatives."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_neural import (
    AbstractInitializer,
    InitCustom,
    InitNormal,
    InitOrthogonal,
    InitRBM,
    InitReLU,
    InitSigmoid,
    InitStandard,
    InitTanh,
    InitUniform,
)
from hype_optim import positive

FAN_OUT, FAN_IN = 200, 300


class Case(NamedTuple):
    initializer: AbstractInitializer
    mean: float
    std: float
    bounds: tuple[float, float] | None


def uniform(initializer, low, high):
    return Case(initializer, (low + high) / 2, (high - low) / np.sqrt(12), (low, high))


def symmetric(initializer, bound):
    return uniform(initializer, -bound, bound)


CASES = [
    uniform(InitUniform(), -0.1, 0.1),
    uniform(InitUniform(1.0, 3.0), 1.0, 3.0),
    Case(InitNormal(), 0.0, 0.01, None),
    Case(InitNormal(2.0, 0.5), 2.0, 0.5, None),
    Case(InitNormal(0, positive(0.5)), 0.0, 0.5, None),
    Case(InitRBM(), 0.0, 0.01, None),
    Case(InitRBM(0.3), 0.0, 0.3, None),
    Case(InitReLU(), 0.0, np.sqrt(2 / FAN_IN), None),
    Case(InitReLU(0.5), 0.0, 0.5 * np.sqrt(2 / FAN_IN), None),
    symmetric(InitSigmoid(), 4 * np.sqrt(6 / (FAN_IN + FAN_OUT))),
    symmetric(InitTanh(), np.sqrt(6 / (FAN_IN + FAN_OUT))),
    symmetric(InitTanh(2.0), 2 * np.sqrt(6 / (FAN_IN + FAN_OUT))),
    symmetric(InitStandard(), 1 / np.sqrt(FAN_IN)),
    Case(InitOrthogonal(3.0), 0.0, 3 / np.sqrt(FAN_IN), None),
    symmetric(InitCustom(lambda k, n_in, n_out: jax.random.uniform(k, minval=-n_in, maxval=n_in)), FAN_IN),
    Case(InitCustom(lambda k, n_in, n_out: jax.random.normal(k) * n_out), 0.0, FAN_OUT, None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case.initializer).__name__)
def test_distribution(case, key):
    weights = np.asarray(case.initializer(key, FAN_OUT, FAN_IN))
    assert weights.shape == (FAN_OUT, FAN_IN)
    assert weights.dtype == jnp.float64
    error = case.std / np.sqrt(weights.size)  # of the mean; that of the standard deviation is less
    np.testing.assert_allclose(np.mean(weights), case.mean, rtol=0, atol=4 * error)
    np.testing.assert_allclose(np.std(weights), case.std, rtol=0, atol=4 * error)
    if case.bounds is not None:
        low, high = case.bounds
        width = high - low
        assert low <= np.min(weights) < low + 0.001 * width
        assert high - 0.001 * width < np.max(weights) <= high


@pytest.mark.parametrize("case", CASES[::2], ids=lambda case: type(case.initializer).__name__)
def test_key_and_dtype_decide(case, key):
    draw = lambda k: case.initializer(k, 4, 6, jnp.float32)
    assert draw(key).dtype == jnp.float32
    np.testing.assert_array_equal(draw(key), draw(key))
    assert np.all(np.asarray(draw(key)) != np.asarray(draw(jax.random.key(1))))


@pytest.mark.parametrize(("fan_out", "fan_in"), [(3, 5), (5, 3), (4, 4)])
def test_orthogonal(fan_out, fan_in, key):
    w = np.asarray(InitOrthogonal()(key, fan_out, fan_in))
    gram = w @ w.T if fan_out <= fan_in else w.T @ w
    np.testing.assert_allclose(gram, np.eye(min(fan_out, fan_in)), atol=1e-14)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_orthogonal_in_half_precision(dtype, key):
    """Drawn in single precision and rounded."""
    draw = lambda dtype: InitOrthogonal(0.5)(key, 3, 5, dtype)
    assert draw(dtype).dtype == dtype
    np.testing.assert_array_equal(draw(dtype), np.asarray(draw(jnp.float32)).astype(dtype))


def test_derivatives_in_the_floats(key):
    cube = jax.tree_util.Partial(lambda s, k, n_in, n_out: s**3 * jax.random.normal(k), np.array(0.5))
    initializers = [
        InitUniform(-0.3, 0.7),
        InitNormal(0.2, 0.5),
        InitNormal(0.2, positive(0.5)),
        InitRBM(0.5),
        InitReLU(0.5),
        InitSigmoid(0.5),
        InitTanh(0.5),
        InitStandard(0.5),
        InitOrthogonal(0.5),
        InitCustom(cube),
    ]
    assert all(jax.tree.leaves(initializer) for initializer in initializers)
    assert_derivatives_match(lambda initializers: [i(key, 2, 3) for i in initializers], initializers, num_directions=1)


def test_derivative_in_closed_form(key):
    def weights(std):
        return InitNormal(0.0, std)(key, 2, 3)

    np.testing.assert_allclose(*jax.jit(lambda: (jax.jacobian(weights)(0.3), weights(1.0)))())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: InitNormal(0.0, -0.1), ValueError, "`std` must be a number of at least 0, got -0.1"),
        (lambda: InitNormal(float("nan")), ValueError, "`mean` must be a finite number, got nan"),
        (lambda: InitRBM(-1), ValueError, "`std` must be a number of at least 0"),
        (lambda: InitUniform(0.0, float("inf")), ValueError, "`high` must be a finite number, got inf"),
        (lambda: InitUniform(np.zeros(2)), TypeError, r"`low` must be a finite number, got an array of shape \(2,\)"),
        (
            lambda: InitStandard(np.array(1j)),
            TypeError,
            "`gain` must be a finite number, got an array of dtype complex",
        ),
        (lambda: InitReLU(True), TypeError, "`gain` must be a finite number, got True"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_shapes_and_types_that_are_refused(key):
    with pytest.raises(ValueError, match="`fan_in` must be at least 1, got 0"):
        InitTanh()(key, 3, 0)
    with pytest.raises(TypeError, match="`dtype` must be a dtype of real floats, got 'int32'"):
        InitTanh()(key, 3, 2, "int32")
    with pytest.raises(TypeError, match=r"`key` must be a key such as jax\.random\.key\(0\), got 0|parameter 'key'"):
        InitTanh()(0, 3, 2)
    with pytest.raises(ValueError, match=r"`function` of InitCustom must return a scalar, got shape \(3,\)"):
        InitCustom(lambda k, n_in, n_out: jnp.zeros(3))(key, 2, 2)
