"""Pytrees in files: what comes back, bit for bit, and what is refused."""

import errno
import json
import pathlib
import random
import sys
import zipfile
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV
from hype_ad.testing import tree_allclose
from hype_optim import (
    CrossEntropyOnLinear,
    Dataset,
    Early,
    Minibatch,
    Nesterov,
    Params,
    RMSProp,
    Status,
    load,
    load_csv,
    load_idx,
    load_image,
    load_npz,
    positive,
    save,
    train,
)

from .problems import classes, network

equal = partial(tree_allclose, rtol=0.0, atol=0.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


KEY = jax.random.key(3)


def run(state=None, key=KEY):
    params = Params(
        2,
        learning_rate=RMSProp(0.02),
        momentum=Nesterov(0.7),
        loss=CrossEntropyOnLinear(),
        batch=Minibatch(4),
        early_stopping=Early(9, 9),
        silent=True,
    )
    return train(network(), classes(12), params, valid=classes(5), key=key, state=state)


def test_a_run_goes_on_from_a_loaded_result_bit_for_bit(path):
    first = run()
    save(path, first)
    loaded = load(path, eqx.filter_eval_shape(run))
    assert equal(loaded, first)
    assert loaded.status == Status.MAX_STEPS
    assert equal(run(state=loaded.state), run(state=first.state))
    assert list(path.parent.iterdir()) == [path]


DTYPES = "bool", "int8", "uint64", "float16", "bfloat16", "float8_e5m2", "complex64"
MANY_KEYS = jax.random.wrap_key_data(np.arange(24, dtype=np.uint32).reshape(2, 3, 4), impl="rbg")
TREES = {
    "params": Params(learning_rate=RMSProp(positive(0.1)), tolerance=1e-3),
    "DV, DM": {"v": DV([1.0, 2.0]), "m": DM([[1.0], [2.0]])},
    "keys": {"one": jax.random.key(1), "many": MANY_KEYS},
    "numbers": {"b": np.bool_(True), "i": -(2**63), "f": 0.1, "c": 1 + 2j, "generic": np.float32(0.1)},
    "dtypes": jax.device_put([np.ones(2, d) for d in DTYPES]),
    "layouts": [np.arange(6).reshape(2, 3).T, np.zeros((0, 3)), jax.device_put(np.float32(1)), np.arange(4)[::2]],
    "one array": jax.device_put(np.arange(3.0)),
    "awkward names": {"file": np.zeros(1), "a/b": {"../c.npy": np.ones(1), "": np.ones(2)}, "ü": np.ones(3)},
    "what is not saved": {"x": np.ones(1), "text": "text", "function": jnp.tanh, "nothing": None, "flag": False},
    "status": Status.DIVERGED,
}


@pytest.mark.parametrize("name", TREES)
def test_there_and_back(name, path):
    tree = TREES[name]
    save(path, tree)
    like = jax.tree.map(lambda x: type(x)(0) if isinstance(x, int | float | complex) else x, tree)
    loaded = load(path, like)
    assert equal(loaded, tree)
    assert [type(x) for x in jax.tree.leaves(loaded)] == [type(x) for x in jax.tree.leaves(tree)]


def test_arrays_of_another_byte_order_come_back_in_the_machines(path):
    save(path, np.arange(3, dtype=">i4"))
    np.testing.assert_array_equal(load(path, np.zeros(3, np.int32)), np.arange(3))
    np.savez_compressed(path, np.zeros(0), a=np.arange(3, dtype=">f8"), b=np.asfortranarray(np.eye(2)))
    loaded = load(path, {"arr_0": np.ones(0), "a": np.zeros(3), "b": np.zeros((2, 2)), "rate": 0.5})
    assert equal(loaded["a"], np.arange(3.0))
    assert equal(loaded["b"], np.eye(2))
    assert loaded["rate"] == 0.5  # other programs do not write numbers


@pytest.mark.parametrize("inference", [True, False])
def test_truth_values_are_the_templates(path, inference):
    make = lambda inference, p: {
        "dropout": eqx.nn.Dropout(p, inference),
        "flag": inference,
        "array": jnp.array(inference),
    }
    save(path, make(inference, 0.1))
    with np.load(path) as archive:
        assert archive.files == ["about", "array", "dropout.p"]
    loaded = load(path, make(not inference, 0.7))
    assert loaded["dropout"].p == 0.1
    assert loaded["dropout"].inference is loaded["flag"] is not inference
    assert loaded["array"] == inference


def test_a_file_that_is_replaced_keeps_its_link_and_its_permissions(path):
    target, link = path.parent / "elsewhere" / "target.npz", path
    target.parent.mkdir()
    link.symlink_to(target)
    save(link, MODEL)
    assert link.is_symlink()
    target.chmod(0o640)
    save(link, MODEL | {"bias": jnp.ones(3)})
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert equal(load(target, MODEL)["bias"], jnp.ones(3))
    assert list(target.parent.iterdir()) == [target]


def test_an_unfinished_file_has_no_name_or_one_that_says_so(path, monkeypatch):
    save(path, MODEL)
    before, seen, write = path.read_bytes(), [], np.lib.format.write_array

    def spy(*args, **settings):
        seen.append([file.name for file in path.parent.iterdir() if file != path])
        if len(seen) in (2, 4):
            raise KeyboardInterrupt
        write(*args, **settings)

    monkeypatch.setattr(np.lib.format, "write_array", spy)
    with pytest.raises(KeyboardInterrupt):
        save(path, {"other": jnp.ones(1)})
    monkeypatch.delattr("os.O_TMPFILE", raising=False)
    with pytest.raises(KeyboardInterrupt):
        save(path, {"other": jnp.ones(1)})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    if sys.platform == "linux":
        assert seen[:2] == [[], []]
    assert all(name.startswith(".run.npz.") and name.endswith(".unfinished") for names in seen[2:] for name in names)
    assert len(seen[3]) == 1


def test_a_file_that_may_not_be_read_is_not_called_damaged(path, monkeypatch):
    save(path, MODEL)

    def refuse(self, *args):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(pathlib.Path, "open", refuse)  # permissions do not bind whom tests may run as
    for read in (lambda: load(path, MODEL), lambda: load_csv(path), lambda: load_idx(path), lambda: load_image(path)):
        with pytest.raises(PermissionError, match=r"Permission denied.*run\.npz"):
            read()
    monkeypatch.undo()
    for read in (lambda: load(path.parent, MODEL), lambda: load_csv(path.parent), lambda: load_npz(path.parent)):
        with pytest.raises(ValueError, match="expected a file, found a directory"):
            read()


def rewrite(path, **changes):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


MODEL = {"weight": np.ones((3, 2)), "bias": np.zeros(3)}
ABOUT = {"format": "hype", "version": 1, "types": {}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": None}, r"missing arrays: \['bias'\]; unexpected arrays: none"),
        ({"more": np.zeros(1)}, r"missing arrays: none; unexpected arrays: \['more'\]"),
        ({"bias": np.zeros(4)}, r"array 'bias': expected float64 of shape \(3,\), found float64 of shape \(4,\)"),
        ({"about": None, "bias": np.zeros(3, np.float32)}, r"array 'bias': expected float64 .*, found float32"),
        ({"bias": np.array([{}] * 3)}, "array 'bias': it holds Python objects, which are not unpickled"),
        ({"about": np.array("{")}, "the entry 'about' is not what `save` writes"),
        ({"about": np.array(json.dumps(ABOUT | {"version": 2}))}, "expected hype version 1, found hype 2"),
        ({"about": np.array(json.dumps(ABOUT | {"format": "other"}))}, "expected hype version 1, found other 1"),
        (
            {"about": np.array(json.dumps(ABOUT | {"types": {"bias": "rbg key"}}))},
            r"array 'bias': expected float64 .*, found rbg key",
        ),
    ],
)
def test_files_that_do_not_fit(path, changes, message):
    save(path, MODEL)
    rewrite(path, **changes)
    with pytest.raises(ValueError, match=message) as error:
        load(path, MODEL)
    assert str(path) in str(error.value)


def test_keys_are_not_taken_for_others(path):
    save(path, {"key": jax.random.key(0)})
    for other in (jax.random.key(0, impl="rbg"), jnp.zeros(2, jnp.uint32), jax.random.split(jax.random.key(0))):
        with pytest.raises(ValueError, match=r"array 'key': expected .*, found threefry2x32 key of shape \(2,\)"):
            load(path, {"key": other})


def test_a_state_of_another_kind_of_run(path):
    save(path, run().state)
    with pytest.raises(ValueError, match=r"missing arrays: none; unexpected arrays: \['key'\]"):
        load(path, eqx.filter_eval_shape(run, key=None).state)


def test_files_that_claim_more_than_they_have(path):
    header = lambda shape: {"descr": "<f8", "fortran_order": False, "shape": shape}
    for shape in ((10**15,), (2**40, 2**40), (-1,), (3,)):
        with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as entry:
            np.lib.format.write_array_header_1_0(entry, header(shape))
            entry.write(b"\0" * 16)
        like = jax.ShapeDtypeStruct(shape, jnp.float64) if shape[0] > 0 else jnp.zeros(1)
        with pytest.raises(ValueError, match=r"array 'a': its header promises|expected float64 of shape \(1,\), found"):
            load(path, {"a": like})


def test_every_damaged_file_is_refused_or_holds_what_was_saved(path):
    draw, tree = random.Random(0), TREES["keys"] | TREES["numbers"]
    save(path, tree)
    whole, refused = path.read_bytes(), 0
    for i in range(150):
        content = bytearray(whole[: draw.randrange(len(whole))] if i % 3 == 0 else whole)
        for _ in range(i % 3):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            assert equal(load(path, tree), tree)  # what was changed is the time of an entry, say
        except ValueError:
            refused += 1
    assert refused > 100


def test_no_file_and_other_files(path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load(path, MODEL)
    path.write_bytes(b"text")
    with pytest.raises(
        ValueError, match=r"cannot be read as a NumPy \.npz archive of the arrays in `like`: File is not a zip file"
    ):
        load(path, MODEL)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "text")
    with pytest.raises(ValueError, match=r"these are no arrays: \['letter.txt'\]"):
        load(path, MODEL)


def test_what_is_not_saved(path):
    save(path, MODEL)
    before = path.read_bytes()
    for tree, error, message in (
        ({"f": jnp.tanh}, ValueError, "`tree` must have at least one array"),
        ({"a": {"b": jnp.zeros(1)}, "a.b": jnp.ones(1)}, ValueError, "must have different names"),
        ({"about": jnp.ones(1)}, ValueError, "none 'about'"),
        ({"a": 2**64}, ValueError, "numbers of at most 64 bits, got object at a"),
        ({"a": np.array("text")}, ValueError, "numbers of at most 64 bits"),
    ):
        with pytest.raises(error, match=message):
            save(path, tree)
    with pytest.raises(TypeError, match="`tree` has no values yet at a; save outside of `jit`"):
        jax.jit(lambda a: save(path, {"a": a}))(1.0)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_state_of_another_function_says_so():
    data, params = Dataset(jnp.ones((4, 2)), jnp.ones(4)), Params(2, silent=True)
    model = lambda: jax.tree_util.Partial(lambda w, x: w @ x, jnp.ones(2))
    with pytest.raises(ValueError, match="differs in what is no array, such as a function"):
        train(model(), data, params, state=train(model(), data, params).state)
