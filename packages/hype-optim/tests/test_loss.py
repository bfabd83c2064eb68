import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import CrossEntropyOnLinear, CrossEntropyOnSoftmax, L1Loss, L1Reg, L2Loss, L2Reg, NoReg, Quadratic
from scipy.special import log_softmax

PREDICTION, TARGET = np.array([0.3, -1.2, 2.0]), np.array([1.0, 0.5, -0.5])
ERROR = np.array([0.7, 1.7, -2.5])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(L1Loss(), np.abs(ERROR).sum()), (L2Loss(), np.sqrt((ERROR**2).sum())), (Quadratic(), (ERROR**2).sum())],
    ids=["L1", "L2", "Quadratic"],
)
def test_losses_of_an_error(loss, expected):
    @jax.jit
    def compute(p, t):
        sequence = loss(jnp.stack([p, t]), jnp.stack([t, t]))
        slope = jax.grad(loss)
        return loss(p, t), sequence, (loss(p[0], t[0]), loss(p[:1], t[:1])), slope(t, t), jax.jacfwd(slope)(t, t)

    value, sequence, (scalar, of_one), slope, bend = compute(PREDICTION, TARGET)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(scalar, of_one)
    np.testing.assert_allclose(sequence, expected / 2, rtol=1e-14)
    assert_derivatives_match(lambda pair: loss(*pair), (PREDICTION, TARGET))
    np.testing.assert_array_equal(slope, 0)
    assert np.all(np.isfinite(bend))


def test_cross_entropy():
    expected = -log_softmax(PREDICTION)[2]
    one_hot = np.array([0.0, 0.0, 1.0])
    on_softmax = lambda z, target: CrossEntropyOnSoftmax()(jax.nn.softmax(z), target)
    both = jax.jit(lambda z, target: (CrossEntropyOnLinear()(z, target), on_softmax(z, target)))
    for target in (np.array(2), one_hot):
        np.testing.assert_allclose(both(PREDICTION, target), expected, rtol=1e-14)
        assert_derivatives_match(lambda z, target=target: CrossEntropyOnLinear()(z, jnp.asarray(target)), PREDICTION)
    time = np.stack([PREDICTION, -PREDICTION])
    by_hand = -(log_softmax(PREDICTION)[1] + log_softmax(-PREDICTION)[0]) / 2
    np.testing.assert_allclose(jax.jit(CrossEntropyOnLinear())(time, np.array([1, 0])), by_hand, rtol=1e-14)


def test_cross_entropy_stays_finite_where_a_softmax_has_underflowed():
    @jax.jit
    def compute(z, target):
        slope_of = jax.grad(lambda z: CrossEntropyOnSoftmax()(jax.nn.softmax(z), target))
        return jax.value_and_grad(CrossEntropyOnSoftmax())(jax.nn.softmax(z), target), jax.jacfwd(slope_of)(z)

    z = np.array([0.0, -2000.0])
    for target in (np.array(1), np.array([0.0, 1.0])):
        (value, slope), bend = compute(z, target)
        np.testing.assert_allclose(value, -np.log(np.finfo(float).tiny))
        np.testing.assert_array_equal(slope, 0)
        np.testing.assert_array_equal(bend, 0)
    np.testing.assert_allclose(jax.jit(CrossEntropyOnLinear())(z, np.array(1)), 2000)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (jnp.float16, 1e-4),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((jnp.float16, 1e3), (jnp.float32, 1e-30))),
        (jnp.float64, 1e200),
    ],
)
def test_a_norm_whose_squares_no_number_of_its_dtype_holds(dtype, size):
    target = np.asarray([3 * size, 4 * size], dtype)
    value, slope = jax.jit(jax.value_and_grad(L2Loss()))(np.zeros_like(target), target)
    np.testing.assert_allclose(float(value), 5 * size, rtol=0.01)
    np.testing.assert_allclose(np.asarray(slope, float), [-0.6, -0.8], rtol=0.01)
    assert value.dtype == dtype


@pytest.mark.parametrize("label", [-1, 3])
def test_a_number_of_no_class_has_no_loss(label):
    assert np.isnan(jax.jit(CrossEntropyOnLinear())(PREDICTION, np.array(label)))


@pytest.mark.parametrize("loss", [L1Loss(), L2Loss(), Quadratic()])
def test_a_prediction_and_a_target_of_different_shapes(loss):
    with pytest.raises(ValueError, match=r"prediction of one example has shape \(3,\) and its target \(1,\)"):
        loss(*jax.device_put([PREDICTION, TARGET[:1]]))


@pytest.mark.parametrize("target", [np.array([1, 2]), np.array(1.0), np.array([0.5, 0.5])])
def test_a_target_that_is_no_class(target):
    with pytest.raises(ValueError, match="takes integer class numbers of shape"):
        CrossEntropyOnLinear()(*jax.device_put([PREDICTION, target]))


WEIGHTS = {"a": np.array([1.0, -2.0]), "b": np.array([[3.0]])}


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (NoReg(), 0),
        (L1Reg(0.1), 0.6),
        (L2Reg(0.1), 1.4),
        (L1Reg({"a": 0.1, "b": 0.0}), 0.3),
        (L2Reg({"a": np.array([0.0, 1.0]), "b": 2.0}), 4 + 18),
    ],
)
def test_penalties(penalty, expected):
    np.testing.assert_allclose(eqx.filter_jit(penalty)(WEIGHTS), expected, rtol=1e-14)
