"""Examples read from elsewhere while a training runs, against the same ones in memory."""

import gc
import threading
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import tree_allclose
from hype_optim import CrossEntropyOnLinear, Dataset, L2Reg, Minibatch, Params, Quadratic, Stratified, Stream, train

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(23, 3)), RNG.integers(0, 3, 23)
Y = np.sin(X[:, :1])
quiet = partial(Params, 3, learning_rate=0.1, loss=Quadratic(), batch=Minibatch(4), silent=True)
MODEL = eqx.nn.Linear(3, 1, key=jax.random.key(0))


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    return Stream.of_arrays(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy"))


def assert_same(a, b):
    """The same steps to the bit; means over all rows are added up in another order."""
    assert tree_allclose(a.w, b.w, rtol=0.0, atol=0.0)
    np.testing.assert_array_equal(a.loss_history, b.loss_history)
    for name in ("loss", "valid_loss", "valid_history"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-13, err_msg=name)


@pytest.mark.parametrize(
    "key", [pytest.param(None, marks=pytest.mark.slow), jax.random.key(1)], ids=["in order", "shuffled"]
)
def test_a_run_is_that_of_the_data_in_memory(files, key):
    run = lambda data: train(MODEL, data, quiet(), valid=data, key=key)
    assert_same(run(files), run(Dataset(X, Y)))


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit(files):
    run = lambda epochs, data, **more: train(MODEL, data, Params(epochs, **SETTINGS), valid=data, **more)
    first = run(2, files, key=jax.random.key(3))
    second, whole = run(2, files, state=first.state), run(4, Dataset(X, Y), key=jax.random.key(3))
    assert tree_allclose(second.w, whole.w, rtol=0.0, atol=0.0)
    assert tree_allclose(second.state, whole.state, rtol=0.0, atol=0.0)


SETTINGS = {"learning_rate": 0.1, "loss": Quadratic(), "batch": Minibatch(4), "silent": True}


@pytest.mark.slow
def test_derivatives_are_those_of_the_data_in_memory(files):
    @partial(jax.jit, static_argnums=0)
    def hypergradients(trained, at):
        return jax.grad(trained)(at), jax.jvp(trained, (at,), (jnp.ones(2),))[1], jax.hessian(trained)(at)

    def trained(read, at):
        data = files if read else Dataset(X, Y)
        params = quiet(learning_rate=at[0], regularization=L2Reg(at[1]), return_best=False)
        return train(MODEL, data, params, key=jax.random.key(1)).loss

    at = jnp.array([0.1, 0.01])
    read, kept = (hypergradients(partial(trained, read), at) for read in (True, False))
    assert tree_allclose(read, kept, rtol=1e-12)


@pytest.mark.slow
def test_runs_are_mapped_over_seeds_and_rates(files):
    keys = jax.random.split(jax.random.key(0), 3)
    run = lambda data: jax.vmap(lambda key, rate: train(MODEL, data, quiet(learning_rate=rate), key=key).loss)
    rates = jnp.array([0.1, 0.2, 0.05])
    np.testing.assert_array_equal(run(files)(keys, rates), run(Dataset(X, Y))(keys, rates))


@pytest.mark.slow
def test_items_dictionaries_weights_and_classes():
    source = [{"a": row, "b": row[0] > 0, "label": label} for row, label in zip(X, LABELS, strict=True)]
    read = Stream.of_items(source, lambda item: ({"a": item["a"], "b": item["b"]}, item["label"], 1.0 + item["label"]))
    kept = Dataset({"a": X, "b": X[:, 0] > 0}, LABELS, 1.0 + LABELS)
    assert len(read) == 23
    np.testing.assert_array_equal(read.labels, LABELS)

    class Two(eqx.Module):
        weight: jax.Array

        def __call__(self, x):
            return self.weight @ x["a"] * jnp.where(x["b"], 2.0, 1.0)

    params = quiet(loss=CrossEntropyOnLinear(ignored=1), batch=Minibatch(5, sampling=Stratified()))
    run = lambda data: train(Two(jnp.ones((3, 3))), data, params, valid=data, key=jax.random.key(0))
    assert_same(run(read), run(kept))


def test_one_chunk_is_read_ahead_and_each_once():
    asked = []

    def read(rows):
        asked.append(tuple(rows))
        return X[rows], Y[rows]

    data = Stream(read, 23)
    jax.block_until_ready(train(MODEL, data, Params(4, return_best=False, **SETTINGS)).w)
    chunks = [rows for rows in asked if len(rows) > 4]  # of steps, not the pieces of the report
    epoch = np.minimum(np.arange(24), 22)
    length = len(chunks[0])
    whole = np.array([rows for rows in chunks if len(rows) == length][: 96 // length])
    np.testing.assert_array_equal(whole.ravel(), np.tile(epoch, 4)[: whole.size])
    assert len(chunks) <= 96 // length + 3


@pytest.mark.slow
def test_another_stream_is_no_other_program_and_readers_are_let_go(files):
    traces = []

    def loss(prediction, y):
        traces.append(None)
        return jnp.sum((prediction - y) ** 2)

    params = quiet(loss=loss)
    first = train(MODEL, files, params).loss
    made = len(traces)
    for scale in (1.0, 2.0):
        other = Stream.of_arrays(scale * X, Y)
        assert (train(MODEL, other, params).loss == first) == (scale == 1.0)
    assert len(traces) == made
    threads = threading.active_count()
    for _ in range(30):
        train(MODEL, Stream.of_arrays(X, Y), params)
    gc.collect()
    assert threading.active_count() < threads + 15


def test_what_is_refused(files):
    with pytest.raises(ValueError, match=r"`batch` must be smaller than a Stream, got Full\(\)"):
        train(MODEL, files, quiet(batch=None))
    with pytest.raises(
        TypeError, match=r"`read` must be a function from row numbers to arrays, got 3|parameter 'read'"
    ):
        Stream(3, 4)
    with pytest.raises(ValueError, match="`rows` must be at least 1"):
        Stream(lambda rows: X[rows], 0)
    with pytest.raises(ValueError, match="`read` must give one row for each row number, got 3 for one"):
        Stream(lambda rows: X[:3], 4)
    with pytest.raises(
        TypeError, match="`read` must give `x`, `\\(x, y\\)` or `\\(x, y, weights\\)`, got a tuple of 4"
    ):
        Stream(lambda rows: (X[rows],) * 4, 4)
    with pytest.raises(ValueError, match="the source ends early"):
        Stream(lambda rows: X[rows[rows < 20]], 23)
    with pytest.raises(TypeError, match="must be arrays or pytrees of them"):
        Stream.of_arrays([[1.0]], [1.0])
    with pytest.raises(ValueError, match=r"the same number of rows, got \[22, 23\]"):
        Stream.of_arrays(X, Y[:22])
    with pytest.raises(ValueError, match="`data` must have targets `y`"):
        train(MODEL, Stream.of_arrays(X), quiet())


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda rows: (X[rows[rows != 9]], Y[rows[rows != 9]]), "the source ends early, or its rows are of several"),
        (
            lambda rows: (X[rows], Y[rows]) if 9 not in rows else X[rows],
            "`read` must give 2 arrays for all rows, got 1",
        ),
        (lambda rows: (X[rows], rows + (rows == 11) * 2**40), "`read` must have numbers that int32 holds"),
    ],
)
def test_a_source_that_changes_its_kind_is_found_when_it_is_read(read, message):
    with jax.enable_x64("int32" not in message):
        model = eqx.nn.Linear(3, 1, key=jax.random.key(0))
        run = lambda: jax.block_until_ready(train(model, Stream(read, 23), quiet(loss=lambda p, y: jnp.sum(p**2))).loss)
        with pytest.raises(jax.errors.JaxRuntimeError, match=message):
            run()
