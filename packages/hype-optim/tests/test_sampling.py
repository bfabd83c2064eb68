"""Which examples a step looks at, and how much each counts."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    CrossEntropyOnLinear,
    CrossEntropyOnSoftmax,
    Dataset,
    L2Reg,
    Minibatch,
    NoDerivativeError,
    Params,
    Quadratic,
    Stratified,
    Weighted,
    train,
)
from scipy.special import softmax

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(10, 3))
DATA = Dataset(X, np.sin(X[:, :1]))
MODEL = eqx.nn.Linear(3, 1, key=KEY)
quiet = partial(Params, learning_rate=0.1, loss=Quadratic(), regularization=L2Reg(0.0), silent=True, return_best=False)


@pytest.mark.slow
def test_what_does_not_fill_a_batch_is_left_out():
    result = train(MODEL, DATA, quiet(2, batch=Minibatch(4, drop_last=True)))
    assert len(result.loss_history) == 4
    expected = train(MODEL, DATA[:8], quiet(2, batch=Minibatch(4)))
    np.testing.assert_array_equal(result.w.weight, expected.w.weight)
    whole = np.mean((jax.vmap(result.w)(DATA.x) - DATA.y) ** 2)
    np.testing.assert_allclose(result.loss, whole, rtol=1e-9)  # of all examples
    once = train(MODEL, DATA, quiet(3, batch=Minibatch(6, drop_last=True), return_best=True), key=KEY)
    assert len(once.loss_history) == 3


@pytest.mark.slow
def test_every_batch_has_each_class_in_proportion():
    labels = np.repeat([0, 1, 2], [20, 12, 8])
    order = jax.vmap(lambda key: Stratified().order(key, Dataset(labels * 1.0, labels)))(jax.random.split(KEY, 50))
    assert all(sorted(row.tolist()) == list(range(40)) for row in np.asarray(order))
    assert len(np.unique(order, axis=0)) == 50
    batches = labels[np.asarray(order)].reshape(50, 4, 10)
    counts = np.stack([(batches == c).sum(-1) for c in range(3)], -1)
    assert np.all(np.abs(counts - np.array([5, 3, 2])) <= 1)
    with pytest.raises(TypeError, match="takes integers or rows of class scores"):
        train(MODEL, DATA, quiet(1, batch=Minibatch(5, sampling=Stratified())), key=KEY)


def test_examples_are_drawn_by_their_weights():
    weights = jax.device_put(np.array([0.0, 1.0, 3.0, 0.0]))
    draw = jax.vmap(lambda key: Weighted(weights).order(key, Dataset(weights)))
    drawn = np.concatenate(jax.jit(lambda key: draw(jax.random.split(key, 1000)))(KEY))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 4000, [0, 0.25, 0.75, 0], atol=0.03)
    four = Dataset(X[:4], X[:4, :1])

    def trained(weights):
        return train(MODEL, four, quiet(2, batch=Minibatch(2, sampling=Weighted(weights))), key=KEY).loss

    with pytest.raises(NoDerivativeError, match=r"Weighted\(\) sampling has no derivative"):
        jax.grad(trained)(weights)
    with pytest.raises(ValueError, match=r"`weights` must be at least 0 and finite, got -1.0 at index \(1,\)"):
        Weighted([1.0, -1.0])
    with pytest.raises(ValueError, match="`weights` must not all be 0"):
        Weighted(jnp.zeros(3))
    with pytest.raises(ValueError, match="The `weights` of `data` must not all be 0"):
        train(MODEL, Dataset(X, DATA.y, jnp.zeros(10)), quiet(1))
    with pytest.raises(ValueError, match=r"`weights` must have one number for each of 4 examples, got \(2,\)"):
        trained(jnp.ones(2))
    with pytest.raises(ValueError, match=r"`key` must be given for Stratified\(\) to draw from"):
        train(MODEL, DATA, quiet(1, batch=Minibatch(2, sampling=Stratified())))


@pytest.mark.slow
def test_weights_of_examples_are_those_of_a_mean():
    """An example of weight 2 is one that is there twice; only ratios matter; in batches too, on average."""
    twice = Dataset(jnp.concatenate([X, X[:3]]), jnp.concatenate([DATA.y, DATA.y[:3]]))
    weights = jnp.ones(10).at[:3].set(2.0)
    for scale in (1.0, 7.0):
        result = train(MODEL, Dataset(X, DATA.y, scale * weights), quiet(3), valid=Dataset(X, DATA.y, weights))
        expected = train(MODEL, twice, quiet(3))
        np.testing.assert_allclose(result.w.weight, expected.w.weight, rtol=1e-9)
        np.testing.assert_allclose([result.loss, result.valid_loss], expected.loss, rtol=1e-9)
    split = train(MODEL, Dataset(X, DATA.y, weights), quiet(1, learning_rate=1e-12, batch=Minibatch(4)))
    np.testing.assert_allclose(np.dot(split.loss_history, [0.4, 0.4, 0.2]), split.loss, rtol=1e-9)


@pytest.mark.slow
def test_derivatives_with_respect_to_weights():
    def trained(at):
        weights, x = at
        return train(MODEL, Dataset(x, DATA.y, weights), quiet(2, batch=Minibatch(4))).loss

    assert_derivatives_match(trained, (jnp.linspace(0.5, 2, 10), X), num_directions=1)


@pytest.mark.slow
def test_padding_that_is_not_finite_counts_for_nothing():
    padded = Dataset(
        jnp.concatenate([X, jnp.array([jnp.nan, jnp.inf, -jnp.inf])[:, None] * jnp.ones((1, 3))]),
        jnp.concatenate([DATA.y, jnp.full((3, 1), jnp.nan)]),
        jnp.concatenate([jnp.ones(10), jnp.zeros(3)]),
    )

    def trained(data, rate):
        return train(MODEL, data, quiet(2, learning_rate=rate)).loss

    value, slope = jax.value_and_grad(trained, 1)(padded, 0.1)
    expected, expected_slope = jax.value_and_grad(trained, 1)(DATA, 0.1)
    np.testing.assert_allclose([value, slope], [expected, expected_slope], rtol=1e-9)
    of_data = jax.grad(trained)(padded, 0.1)
    np.testing.assert_allclose(of_data.x[:10], jax.grad(trained)(DATA, 0.1).x, rtol=1e-9)
    np.testing.assert_array_equal(of_data.x[10:], 0.0)
    np.testing.assert_array_equal(of_data.weights[10:], 0.0)
    assert np.all(np.isfinite(of_data.weights))


@pytest.mark.parametrize("loss", [CrossEntropyOnLinear, pytest.param(CrossEntropyOnSoftmax, marks=pytest.mark.slow)])
def test_an_ignored_label_does_not_count(loss):
    scores = softmax(np.random.default_rng(1).normal(size=(4, 3)), axis=1)
    target = np.array([2, -1, 0, -1])
    both = jax.jit(jax.value_and_grad(loss(ignored=-1)))
    value, slope = both(scores, target)
    np.testing.assert_allclose(value, jax.jit(loss())(scores[::2], target[::2]), rtol=1e-12)
    broken = np.where(np.arange(4)[:, None] == 1, np.nan, scores)
    np.testing.assert_array_equal(both(broken, target)[1], slope)
    np.testing.assert_array_equal(both(broken, np.full(4, -1))[1], 0.0)
    assert np.isnan(both(scores, np.array([-2, -1, 0, -1]))[0])  # no class, and not the ignored one
    with pytest.raises(ValueError, match="`ignored` takes integer class numbers of shape"):
        loss(ignored=-1)(*jax.device_put([scores, scores]))
    with pytest.raises(TypeError, match=r"`ignored` must be an integer, got 0\.5"):
        loss(ignored=0.5)


@pytest.mark.slow
def test_in_training_the_mean_is_over_all_targets_that_count():
    """Sequences with different numbers of targets, in one batch or several; one without any."""
    rng = np.random.default_rng(2)
    x, y = jnp.asarray(rng.normal(size=(6, 4, 3))), rng.integers(0, 2, (6, 4))
    y[0, 1:], y[3], y[4, :2] = -1, -1, -1
    model = eqx.nn.Linear(3, 2, key=KEY)

    class Rows(eqx.Module):
        linear: eqx.nn.Linear

        def __call__(self, x):
            return jax.vmap(self.linear)(x)

    kept = y.ravel() >= 0
    single = Dataset(x.reshape(-1, 3)[kept], y.ravel()[kept])
    params = partial(quiet, 2, learning_rate=0.3)
    result = train(Rows(model), Dataset(x, y), params(loss=CrossEntropyOnLinear(ignored=-1)))
    expected = train(model, single, params(loss=CrossEntropyOnLinear()))
    np.testing.assert_allclose(result.w.linear.weight, expected.w.weight, rtol=1e-9)
    np.testing.assert_allclose(result.loss, expected.loss, rtol=1e-9)
    pieces = train(
        Rows(model),
        Dataset(x, y),
        params(loss=CrossEntropyOnLinear(ignored=-1), batch=Minibatch(4), learning_rate=1e-12),
    )
    np.testing.assert_allclose(np.dot(pieces.loss_history[:2], [4 / 6, 2 / 6]), pieces.loss, rtol=1e-9)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"x": {"a": X, "b": X[:9]}}, ValueError, r"`x\['a'\]` has 10 rows .* and `x\['b'\]` has 9"),
        ({"x": {"a": X}, "y": {"c": X[:8]}}, ValueError, r"`x\['a'\]` has 10 rows .* and `y\['c'\]` has 8"),
        ({"x": X, "weights": X}, ValueError, "`weights` must have one number for each example, got shape"),
        ({"x": X, "weights": -(X[:, 0] ** 2)}, ValueError, "`weights` must be at least 0 and finite"),
        ({"x": {}}, TypeError, "`x` must hold at least one array, got {}"),
        ({"x": np.ma.masked_array([1.0, 2.0], [0, 1])}, ValueError, "`x` must have no masked entries, got 1 of them"),
        ({"x": {"a": ["text"]}}, TypeError, r"`x\['a'\]` must be an array of"),
    ],
)
def test_unequal_rows(wrong, error, message):
    with pytest.raises(error, match=message):
        Dataset(**wrong)


@pytest.mark.slow
def test_a_data_set_of_several_arrays():
    data = Dataset({"tokens": jnp.arange(10), "image": X, "key": jax.random.split(KEY, 10)}, None, jnp.arange(10.0))
    assert len(data) == 10
    part = data[jnp.array([7, 2])]
    np.testing.assert_array_equal(part.x["image"], X[jnp.array([7, 2])])
    np.testing.assert_array_equal(part.weights, [7.0, 2.0])
    assert data[3][0]["tokens"] == 3
    assert data[3][1] is None
    np.testing.assert_array_equal([x["tokens"] for x, _ in data], np.arange(10))
    assert len(data.filter(lambda x, y: x["tokens"] < 4)) == 4
    np.testing.assert_array_equal(data.shuffle(KEY).x["tokens"], data.shuffle(KEY).weights)
    first, second = data.split(0.5)
    np.testing.assert_array_equal(np.concatenate([first.weights, second.weights]), np.arange(10))
    doubled = data.map_x(lambda x: {**x, "tokens": 2 * x["tokens"]})
    np.testing.assert_array_equal(doubled.x["tokens"], 2 * np.arange(10))
    with pytest.raises(TypeError, match="`x` must be one array here, got a dict of several"):
        data.standardize()
    with pytest.raises(TypeError, match="`y` must be one array here, got none"):
        _ = data.labels
