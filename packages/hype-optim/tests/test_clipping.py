import equinox as eqx
import jax
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import NoClip, NormClip

GRADIENT = {"a": np.array([3.0, 0.0]), "b": np.array(4.0)}


@pytest.mark.parametrize(("clip", "factor"), [(NoClip(), 1.0), (NormClip(2.5), 0.5), (NormClip(5.1), 1.0)])
def test_the_norm_is_that_of_all_leaves(clip, factor):
    clipped = eqx.filter_jit(clip)(GRADIENT)
    np.testing.assert_allclose(clipped["a"], [3 * factor, 0], rtol=1e-14)
    np.testing.assert_allclose(clipped["b"], 4 * factor, rtol=1e-14)


@pytest.mark.parametrize("size", [1e-30, 1e30], ids=str)
def test_long_and_short_gradients_of_short_floats(size):
    gradient = np.array([3 * size, 4 * size], np.float32)  # whose squares are no float32
    expected = [0.6, 0.8] if size > 1 else gradient
    np.testing.assert_allclose(eqx.filter_jit(NormClip(np.float32(1.0)))(gradient), expected, rtol=1e-6)


@pytest.mark.parametrize("threshold", [2.5, 7.0])
def test_derivatives(threshold):
    run = lambda inputs: NormClip(inputs[0])(inputs[1])
    assert_derivatives_match(run, (threshold, GRADIENT), num_directions=1)
    still = jax.jit(jax.jacrev(lambda g: NormClip(threshold)(g)))(np.zeros(2))
    np.testing.assert_array_equal(still, np.eye(2))
