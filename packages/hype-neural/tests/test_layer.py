"""What every layer can do: its weights as a vector, and training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV
from hype_ad.testing import assert_derivatives_match, tree_allclose
from hype_neural import FeedForward, InitNormal, Linear
from hype_optim import Constant, Dataset, Minibatch, Nesterov, NoReg, Params, Quadratic, train

ROWS = 8
X = np.random.default_rng(0).normal(size=(ROWS, 3))
Y = np.random.default_rng(1).normal(size=(ROWS, 2))
DATA = Dataset(X, Y)
PARAMS = Params(
    epochs=3, learning_rate=Constant(0.1), momentum=Nesterov(0.9), loss=Quadratic(), batch=Minibatch(4), silent=True
)


def network(key, std=0.5):
    first, second = jax.random.split(key)
    initializer = InitNormal(0.0, std)
    return FeedForward([Linear(3, 4, initializer, key=first), jnp.tanh, Linear(4, 2, initializer, key=second)])


def test_weights_as_a_vector(key):
    model = network(key)
    assert model.num_parameters == 3 * 4 + 4 + 4 * 2 + 2
    vector = model.encode()
    assert isinstance(vector, DV)
    pieces = jax.tree.leaves(model)
    assert [piece.shape for piece in pieces] == [(4, 3), (4,), (2, 4), (2,)]
    np.testing.assert_array_equal(vector.array, np.concatenate([np.ravel(piece) for piece in pieces]))
    assert tree_allclose(model.decode(vector), model, rtol=0.0, atol=0.0)
    other = model.decode(np.arange(26.0))
    np.testing.assert_array_equal(other.encode().array, np.arange(26.0))


def test_vector_of_mixed_precision(key):
    model = FeedForward([Linear(1, 1, key=key), Linear(1, 1, key=key, dtype=jnp.float32)])
    vector = model.encode()
    assert vector.dtype == jnp.float64
    assert tree_allclose(model.decode(vector), model, rtol=0.0, atol=0.0)


def test_no_weights():
    empty = FeedForward()
    assert empty.num_parameters == 0
    assert empty.encode().shape == (0,)
    assert empty.decode([]) == empty
    np.testing.assert_array_equal(empty(DATA.x), X)


def test_vector_of_another_length(key):
    with pytest.raises(ValueError, match=r"`w` must be a vector of the layer's 26 weights, got shape \(25,\)"):
        network(key).decode(np.zeros(25))


def test_derivatives_in_the_vector(key):
    model = network(key)
    assert_derivatives_match(lambda w: jax.vmap(model.decode(w))(DATA.x[:2]), model.encode(), num_directions=1)


@pytest.mark.slow
def test_training_is_that_of_hype_optim(key):
    model = network(key)
    result = model.train(DATA, PARAMS, valid=DATA[:3], key=key)
    assert tree_allclose(result, train(model, DATA, PARAMS, valid=DATA[:3], key=key), rtol=0.0, atol=0.0)
    assert jax.tree.structure(result.w) == jax.tree.structure(model)
    assert result.loss_history[-1] < result.loss_history[0]
    further = result.w.train(DATA, PARAMS, state=result.state)
    assert int(further.steps) == 12


def test_training_fits_a_linear_model(key):
    """Against the normal equations."""
    layer = Linear(3, 2, key=key)
    params = Params(epochs=400, learning_rate=0.3, loss=Quadratic(), regularization=NoReg(), silent=True)
    result = layer.train(DATA, params)
    design = np.c_[X, np.ones(ROWS)]
    expected = np.linalg.lstsq(design, Y)[0]
    np.testing.assert_allclose(result.w.weight, expected[:3].T, atol=1e-6)
    np.testing.assert_allclose(result.w.bias, expected[3], atol=1e-6)


@pytest.mark.slow
def test_hypergradient_of_the_scale_of_the_first_weights(key):
    def loss(std):
        params = Params(epochs=3, learning_rate=0.1, loss=Quadratic(), silent=True)
        return network(key, std).train(DATA, params).loss

    assert_derivatives_match(loss, 0.5, num_directions=1)


def test_new_weights_do_not_compile_anew(key):
    traces = 0

    @jax.jit
    def outputs(model, x):
        nonlocal traces
        traces += 1
        return model(x)

    for seed in range(3):
        outputs(network(jax.random.key(seed)), DATA.x[0])
    assert traces == 1


def test_plain_transformations(key):
    model = network(key)
    loss = lambda model: jnp.sum(model(DATA.x[0]) ** 2)
    plain = jax.jit(jax.grad(loss))(model)
    assert tree_allclose(plain, eqx.filter_jit(eqx.filter_grad(loss))(model), rtol=1e-12)
    keys, x = jax.random.split(key, 5), DATA.x[0]
    ensemble = jax.jit(lambda keys: jax.vmap(lambda model: model(x))(jax.vmap(network)(keys)))(keys)
    alone = jax.jit(lambda keys: network(keys[2])(x))(keys)
    np.testing.assert_allclose(np.asarray(ensemble)[2], alone)
