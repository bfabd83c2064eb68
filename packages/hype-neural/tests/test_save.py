"""Models in files: what comes back, and what is refused."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import tree_allclose
from hype_neural import LSTM, FeedForward, Linear, load, save


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
    assert list(path.parent.iterdir()) == [path]


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


def test_short_floats_and_other_pytrees(path):
    tree = {"a": jnp.array([1.5, 2.5], jnp.bfloat16), "b": [jnp.array(3, jnp.int32), "text"], "c": jnp.array([True])}
    save(path, tree)
    assert tree_allclose(load(path, tree), tree)


def test_files_of_others(path, key):
    layer = Linear(2, 3, key=key)
    np.savez(path, weight=np.ones((3, 2)), bias=np.zeros(3))
    np.testing.assert_array_equal(load(path, layer).weight, np.ones((3, 2)))


def rewrite(path, **changes):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    np.savez(path, allow_pickle=True, **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": None}, r"the model's arrays \['bias'\] are not there, and \[\] have no place"),
        ({"more": np.zeros(1)}, r"arrays \[\] are not there, and \['more'\] have no place"),
        ({"bias": np.zeros(4)}, r"expected float64 of shape \(3,\) for bias, found float64 of \(4,\)"),
        ({"about": None, "bias": np.zeros(3, np.float32)}, r"for bias, found float32"),
        ({"bias": np.array([{}] * 3)}, "Object arrays cannot be loaded"),
        ({"about": np.array("{")}, "the entry 'about' is not what `save` writes"),
        ({"about": np.array(json.dumps({"format": "hype-neural", "version": 2, "dtypes": {}}))}, "found hype-neural 2"),
    ],
)
def test_files_that_do_not_fit(path, key, changes, message):
    layer = Linear(2, 3, key=key)
    save(path, layer)
    rewrite(path, **changes)
    with pytest.raises(ValueError, match=message) as error:
        load(path, layer)
    assert str(path) in str(error.value)


def test_no_file_and_other_files(path, key):
    layer = Linear(2, 3, key=key)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load(path, layer)
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=r"expected a NumPy \.npz archive"):
        load(path, layer)
    save(path, layer)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"expected a NumPy \.npz archive"):
        load(path, layer)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    with pytest.raises(ValueError, match=r"expected a NumPy \.npz archive"):
        load(path.with_suffix(".npy"), layer)


def test_what_is_not_saved(path):
    with pytest.raises(ValueError, match="`model` must have at least one array"):
        save(path, FeedForward([jnp.tanh]))
    with pytest.raises(ValueError, match="must have different names"):
        save(path, {"a": {"b": jnp.zeros(1)}, "a.b": jnp.ones(1)})
    assert not path.exists()
