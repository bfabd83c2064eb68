"""Linear layers against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match, tree_allclose
from hype_neural import InitNormal, InitStandard, InitUniform, Linear, LinearNoBias

pytestmark = pytest.mark.smoke

KINDS = [Linear, LinearNoBias]
# What the layers say, or the type checker before them where tests run with it.
NO_KEY = r"`key` must be a key such as jax\.random\.key\(0\), got 0|parameter 'key'"
X = np.random.default_rng(0).normal(size=(2, 5, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_last_axis_is_mapped(kind, key):
    layer = kind(4, 3, key=key)
    if kind is Linear:
        layer = layer.decode(np.r_[np.ravel(layer.weight), np.arange(3.0)])
    expected = X @ np.asarray(layer.weight).T + (np.arange(3.0) if kind is Linear else 0)
    for index in ((), 0, (0, 0)):
        x = jax.device_put(X[index])
        np.testing.assert_allclose(layer(x), expected[index])
        np.testing.assert_allclose(jax.jit(lambda layer, x: layer(x))(layer, x), expected[index])
    np.testing.assert_allclose(jax.vmap(layer)(X[0]), expected[0])


@pytest.mark.parametrize("kind", KINDS)
def test_initializer(kind, key):
    np.testing.assert_array_equal(kind(4, 3, key=key).weight, InitStandard()(key, 3, 4))
    layer = kind(4, 3, InitNormal(1.0, 0.5), key=key)
    np.testing.assert_array_equal(layer.weight, InitNormal(1.0, 0.5)(key, 3, 4))
    if kind is Linear:
        np.testing.assert_array_equal(layer.bias, np.zeros(3))
    again = layer.init(jax.random.key(1), InitUniform())
    np.testing.assert_array_equal(again.weight, InitUniform()(jax.random.key(1), 3, 4))
    assert jax.tree.structure(again) == jax.tree.structure(layer)
    assert (again.bias is None) == (kind is LinearNoBias)


@pytest.mark.parametrize("kind", KINDS)
def test_dtype(kind, key):
    layer = kind(4, 3, InitNormal(0.0, 0.1), key=key, dtype=jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(layer)} == {jnp.dtype(jnp.float32)}
    assert {leaf.dtype for leaf in jax.tree.leaves(layer.init(key))} == {jnp.dtype(jnp.float32)}
    assert jax.eval_shape(layer, jnp.ones(4, jnp.float32)).dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(kind(4, 3, key=key))} == {jnp.dtype(jnp.float64)}


def test_order_of_the_vector(key):
    layer = Linear(2, 2, key=key).decode([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    np.testing.assert_array_equal(layer.weight, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(layer.bias, [5, 6])


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives(kind, key):
    layer = kind(4, 3, key=key)
    assert_derivatives_match(lambda pair: jnp.sin(pair[0](pair[1])), (layer, X[0]), num_directions=1)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_in_the_scale_of_the_weights(kind, key):
    def outputs(std):
        return jnp.tanh(kind(4, 3, InitNormal(0.0, std), key=key)(jnp.asarray(X[0])))

    assert_derivatives_match(outputs, 0.5, num_directions=1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused(kind, key):
    with pytest.raises(ValueError, match=r"Linear\(4, 3\) takes 4 features on the last axis, got shape \(3,\)"):
        kind(4, 3, key=key)(jnp.zeros(3))
    with pytest.raises(ValueError, match="`in_features` must be at least 1, got 0"):
        kind(0, 3, key=key)
    with pytest.raises(TypeError, match="`out_features` must be an integer known before compiling, got True"):
        kind(3, True, key=key)
    with pytest.raises(TypeError, match="`dtype` must be a dtype of real floats"):
        kind(3, 4, key=key, dtype=jnp.int32)
    with pytest.raises(TypeError, match=r"`initializer` must be an instance of AbstractInitializer|'initializer'"):
        kind(3, 4, InitNormal, key=key)
    with pytest.raises(TypeError, match=NO_KEY):
        kind(3, 4, key=0)


def test_no_bias_is_a_choice(key):
    layer = Linear(4, 3, use_bias=False, key=key)
    assert tree_allclose(layer, LinearNoBias(4, 3, key=key), rtol=0.0, atol=0.0)
    assert layer.bias is None
    with pytest.raises(TypeError, match=r"`use_bias` must be True or False|parameter 'use_bias'"):
        Linear(4, 3, use_bias=1, key=key)
