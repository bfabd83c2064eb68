"""Models in files; what files hold and what is refused is tested where `save` and `load` are, in hype-optim."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import tree_allclose
from hype_neural import LSTM, FeedForward, Linear, load, save

pytestmark = pytest.mark.smoke


def network(key):
    return FeedForward([Linear(3, 4, key=key), jnp.tanh, LSTM(4, 2, key=key), eqx.nn.LayerNorm(2)])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


def test_there_and_back(path, key):
    model = network(key)
    save(path, model)
    assert tree_allclose(load(path, network(jax.random.key(1))), model, rtol=0.0, atol=0.0)
    assert tree_allclose(load(str(path), eqx.filter_eval_shape(network, key)), model, rtol=0.0, atol=0.0)


def test_names_are_places(path, key):
    save(path, network(key))
    with np.load(path, allow_pickle=False) as archive:
        assert archive.files == [
            "about",
            "layers.0.weight",
            "layers.0.bias",
            "layers.2.input_weight",
            "layers.2.hidden_weight",
            "layers.2.bias",
            "layers.3.leaves.weight",
            "layers.3.leaves.bias",
        ]


def test_files_of_others(path, key):
    layer = Linear(2, 3, key=key)
    np.savez(path, weight=np.ones((3, 2)), bias=np.zeros(3))
    np.testing.assert_array_equal(load(path, layer).weight, np.ones((3, 2)))


def test_another_model(path, key):
    save(path, Linear(2, 3, key=key))
    with pytest.raises(ValueError, match=r"the array 'weight': expected float64 of shape \(4, 2\), found"):
        load(path, Linear(2, 4, key=key))
    with pytest.raises(ValueError, match="must have at least one array"):
        save(path, FeedForward([jnp.tanh]))
