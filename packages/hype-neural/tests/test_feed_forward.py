"""Compositions of layers, functions and Equinox's layers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match, tree_allclose
from hype_neural import Activation, EquinoxLayer, FeedForward, InitUniform, Linear, summary
from hype_optim import Dataset, Params

X = np.random.default_rng(0).normal(size=(6, 3))
XS, X0 = jax.device_put([X, X[0]])


@pytest.fixture
def model(key):
    first, second = jax.random.split(key)
    return FeedForward([Linear(3, 4, key=first), jnp.tanh, Linear(4, 2, key=second)])


def test_composition(model):
    expected = np.tanh(X @ np.asarray(model[0].weight).T) @ np.asarray(model[2].weight).T
    np.testing.assert_allclose(jax.vmap(model)(X), expected)
    nested = FeedForward([FeedForward([model[0]]), FeedForward([jnp.tanh, model[2]])])
    np.testing.assert_allclose(jax.vmap(nested)(X), expected)
    np.testing.assert_array_equal(nested.encode().array, model.encode().array)


def test_container(model):
    assert len(model) == 3
    assert list(model) == [model[0], model[1], model[-1]]
    assert isinstance(model[1], Activation)
    assert isinstance(model[1:], FeedForward)
    assert list(model[1:]) == list(model)[1:]


def test_edits_leave_the_original(model, key):
    more = model.add(jnp.sin)
    np.testing.assert_allclose(more(X0), np.sin(model(X0)))
    wider = model.insert(1, Linear(4, 4, key=key))
    assert [line.split()[1] for line in summary(wider, (3,)).splitlines()[2:-1]] == [
        "Linear",
        "Linear",
        "tanh",
        "Linear",
    ]
    linear = model.remove(1)
    np.testing.assert_allclose(linear(X0), model[2](model[0](X0)))
    assert list(model.remove(-1)) == list(model)[:2]
    assert list(FeedForward().add(model[0])) == [model[0]]
    assert len(model) == 3


def test_places_that_are_not_there(model):
    with pytest.raises(IndexError, match="`i` must be from 0 to 3, the number of layers, got 4"):
        model.insert(4, jnp.tanh)
    with pytest.raises(IndexError, match="`i` must be the place of one of 3 layers, got 3"):
        model.remove(3)
    with pytest.raises(IndexError, match="`i` must be the place of one of 0 layers"):
        FeedForward().remove(0)
    with pytest.raises(IndexError):
        model[3]


def test_init(model, key):
    again = model.init(key, InitUniform(1.0, 2.0))
    assert jax.tree.structure(again) == jax.tree.structure(model)
    for layer in (again[0], again[2]):
        assert np.all(np.abs(np.asarray(layer.weight) - 1.5) <= 0.5)
        np.testing.assert_array_equal(layer.bias, 0)
    assert not np.array_equal(np.asarray(again[0].weight).ravel()[:8], np.asarray(again[2].weight).ravel())
    assert len(FeedForward().init(key)) == 0


def test_run_without_memory(model):
    ys, state = model.run(XS)
    np.testing.assert_allclose(ys, jax.vmap(model)(X))
    assert state == (None, None, None)
    with pytest.raises(ValueError, match="`state` must have an entry for each of 3 layers, got 1"):
        model.run(XS, (None,))


def test_a_class_is_no_element():
    with pytest.raises(TypeError, match=r"`elements\[0\]` must be a layer or a function \(an instance, not a class\)"):
        FeedForward([Linear])


class Scaled(eqx.Module):
    """A user's own module."""

    factor: jax.Array

    def __call__(self, x):
        return self.factor * x


MODULES = {
    "Linear": lambda key: eqx.nn.Linear(3, 3, key=key),
    "MLP": lambda key: eqx.nn.MLP(3, 3, 4, 1, key=key),
    "LayerNorm": lambda key: eqx.nn.LayerNorm(3),
    "PReLU": lambda key: eqx.nn.PReLU(),
    "Sequential": lambda key: eqx.nn.Sequential([eqx.nn.Lambda(jnp.tanh), eqx.nn.LayerNorm(3)]),
    "own": lambda key: Scaled(jax.device_put(np.array(2.0))),
    "Partial": lambda key: jax.tree_util.Partial(jnp.multiply, np.array(2.0)),
}


@pytest.mark.parametrize("name", MODULES)
def test_any_module_is_an_element(name, key):
    module = MODULES[name](key)
    model = FeedForward([jnp.sin, module])
    expected, plain, keyed = eqx.filter_jit(lambda x: (module(jnp.sin(x)), model(x), model(x, key=key)))(X0)
    np.testing.assert_array_equal(plain, expected)
    np.testing.assert_allclose(keyed, expected)
    layer = model[1]
    assert isinstance(layer, EquinoxLayer)
    assert type(layer.module) is type(module)


def test_modules_need_no_filtering_and_are_trained(key):
    model = FeedForward([make(key) for make in MODULES.values()])
    loss = lambda model: jnp.sum(model(X0) ** 2)
    value, gradient = jax.jit(jax.value_and_grad(loss))(model)
    np.testing.assert_allclose(value, jax.jit(loss)(model))
    assert jax.tree.structure(gradient) == jax.tree.structure(model)
    result = model.train(Dataset(X, X), Params(epochs=2, learning_rate=0.01, silent=True))
    for before, after in zip(model, result.w, strict=True):
        assert not tree_allclose(after, before, rtol=0.0, atol=0.0)


def test_convolution(key):
    model = FeedForward([eqx.nn.Conv2d(1, 2, 3, key=key), jax.nn.relu, eqx.nn.MaxPool2d(2, 2), jnp.ravel])
    assert jax.eval_shape(model, jnp.ones((1, 6, 6))).shape == (8,)


def test_dropout_follows_its_key_and_its_mode(key):
    model = FeedForward([eqx.nn.Dropout(0.5), jnp.sin])
    x = jnp.ones(100)
    dropped = lambda key: eqx.nn.Dropout(0.5)(x, key=jax.random.split(key, 2)[0])
    ours, expected = jax.jit(lambda key: (model(x, key=key), jnp.sin(dropped(key))))(key)
    np.testing.assert_allclose(ours, expected)
    np.testing.assert_allclose(eqx.nn.inference_mode(model)(x), np.sin(x))
    np.testing.assert_allclose(eqx.filter_jit(eqx.nn.inference_mode(model))(x), np.sin(x))
    with pytest.raises(ValueError, match=r"Dropout draws at random and needs `key=`.*equinox\.nn\.inference_mode"):
        model(x)


@pytest.mark.slow
def test_training_with_dropout(key):
    model = FeedForward([eqx.nn.Dropout(0.5), Linear(3, 3, key=key)])
    data, params = Dataset(X, X), Params(epochs=3, learning_rate=0.01, silent=True)
    with pytest.raises(ValueError, match=r"Dropout draws at random.*`train` with `keyed=True`"):
        model.train(data, params)
    with pytest.raises(ValueError, match="`key` must be given"):
        model.train(data, params, keyed=True)
    run = lambda seed: model.train(data, params, key=jax.random.key(seed), keyed=True)
    result = run(0)
    assert not tree_allclose(result.w[1], run(1).w[1])
    assert result.w[0].module.p == 0.5
    assert result.w[0].module.inference is False
    without = eqx.nn.inference_mode(result.w)
    mean = np.mean(np.linalg.norm(jax.vmap(without)(X) - X, axis=1))
    penalty = params.regularization(eqx.filter(result.w, eqx.is_inexact_array))
    np.testing.assert_allclose(result.loss, mean + penalty)  # nothing is dropped in what is reported
    fitted = without.train(data, params)  # and a model in inference mode is trained as any other
    assert fitted.loss < result.loss


def test_state_is_refused():
    with pytest.raises(TypeError, match=r"must not have state, but BatchNorm does.*LayerNorm or GroupNorm"):
        FeedForward([eqx.nn.BatchNorm(3, "batch", mode="batch")])


def test_modules_keep_their_weights_in_init(key):
    model = FeedForward([eqx.nn.Dropout(0.5), eqx.nn.MaxPool1d(2)])
    assert jax.tree.structure(model.init(key)) == jax.tree.structure(model)
    with pytest.raises(TypeError, match="The weights of LayerNorm cannot be drawn anew"):
        FeedForward([eqx.nn.LayerNorm(3)]).init(key)


def test_what_is_no_activation():
    with pytest.raises(TypeError, match="`function` is a pytree"):
        Activation(eqx.nn.PReLU())
    with pytest.raises(TypeError, match="`function` must be a function of an array, got <class"):
        Activation(Linear)
    with pytest.raises(TypeError, match="`module` must be a callable pytree"):
        EquinoxLayer(jnp.tanh)


def test_derivatives(model):
    assert_derivatives_match(lambda pair: pair[0](pair[1]), (model, X0), num_directions=1)


def test_summary(model):
    deep = FeedForward([model, eqx.nn.Dropout(0.5), eqx.nn.MLP(2, 500, 4, 1, key=jax.random.key(0))])
    assert summary(deep, (3,)).splitlines() == [
        "layer          output  weights",
        "-------------  ------  -------",
        "0 FeedForward    (2,)       26",
        "  0 Linear       (4,)       16",
        "  1 tanh         (4,)        0",
        "  2 Linear       (2,)       10",
        "1 Dropout        (2,)        0",
        "2 MLP          (500,)    2,512",
        "all            (500,)    2,538",
    ]
    assert summary(model[0], X0).splitlines()[2:] == ["Linear    (4,)       16"]
