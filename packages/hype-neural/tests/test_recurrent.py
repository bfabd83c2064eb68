"""Recurrent layers against plain NumPy, and what holds for each of them."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match, tree_allclose
from hype_neural import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    FeedForward,
    InitNormal,
    InitOrthogonal,
    InitTanh,
    Linear,
    Recurrence,
    Recurrent,
)
from hype_optim import Checkpointed, Truncated

# What the layers say, or the type checker before them where tests run with it.
NO_KEY = r"`key` must be a key such as jax\.random\.key\(0\), got 0|parameter 'key'"
TIMES, IN, HIDDEN = 5, 3, 4
NUMBERS = np.random.default_rng(0).normal(size=(TIMES, IN))
XS, TWO, THREE, REST, BACK = jax.device_put([NUMBERS, NUMBERS[:2], NUMBERS[:3], NUMBERS[2:], NUMBERS[::-1]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn_reference(layer, xs):
    layer, xs = jax.tree.map(np.asarray, (layer, xs))
    h, ys = np.zeros(HIDDEN), []
    for x in xs:
        h = np.tanh(layer.hidden_weight @ h + layer.input_weight @ x + layer.hidden_bias)
        ys.append(layer.output_weight @ h + layer.output_bias)
    return np.stack(ys)


def lstm_reference(layer, xs):
    layer, xs = jax.tree.map(np.asarray, (layer, xs))
    h, c, ys = np.zeros(HIDDEN), np.zeros(HIDDEN), []
    for x in xs:
        z = layer.input_weight @ x + layer.hidden_weight @ h + layer.bias
        candidate, i, f, o = np.split(z, 4)
        c = sigmoid(i) * np.tanh(candidate) + sigmoid(f) * c
        h = sigmoid(o) * np.tanh(c)
        ys.append(h)
    return np.stack(ys)


def gru_reference(layer, xs):
    layer, xs = jax.tree.map(np.asarray, (layer, xs))
    h, ys = np.zeros(HIDDEN), []
    for x in xs:
        xz, xr, xh = np.split(layer.input_weight @ x + layer.bias, 3)
        hz, hr = np.split(layer.gate_weight @ h, 2)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        candidate = np.tanh(xh + layer.candidate_weight @ (h * r))
        h = (1 - z) * candidate + z * h
        ys.append(h)
    return np.stack(ys)


class Kind(NamedTuple):
    name: str
    make: Callable[..., Any]
    reference: Callable[..., np.ndarray]


KINDS = [
    Kind("RNN", lambda *args, **settings: RNN(IN, HIDDEN, 2, *args, **settings), rnn_reference),
    Kind("LSTM", lambda *args, **settings: LSTM(IN, HIDDEN, *args, **settings), lstm_reference),
    Kind("GRU", lambda *args, **settings: GRU(IN, HIDDEN, *args, **settings), gru_reference),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
# What goes over the times is the same for all: the one with the largest state shows it, `nox -s thorough` the others.
any_kind = pytest.mark.parametrize(
    "kind",
    [KINDS[1], *(pytest.param(kind, marks=pytest.mark.slow) for kind in (KINDS[0], KINDS[2]))],
    ids=lambda kind: kind.name,
)


@functools.cache
def make(kind, recurrence=None):
    """A layer none of whose weights is zero: a bias left out would be seen."""

    @jax.jit
    def layer():
        drawn = kind.make(key=jax.random.key(0), recurrence=recurrence)
        return drawn.decode(np.random.default_rng(1).normal(size=drawn.num_parameters))

    return layer()


@each_kind
def test_equations(kind):
    layer = make(kind)
    expected = kind.reference(layer, XS)
    np.testing.assert_allclose(layer.run(XS)[0], expected, rtol=1e-10)
    np.testing.assert_allclose(layer(XS), expected, rtol=1e-10)


@any_kind
def test_two_runs_are_one(kind):
    layer = make(kind)
    ys, state = layer.run(XS)
    first, between = layer.run(TWO)
    second, after = layer.run(REST, between)
    np.testing.assert_allclose(np.concatenate([first, second]), ys, rtol=1e-12)
    assert tree_allclose(after, state, rtol=1e-12)


@any_kind
def test_batches_and_singles(kind):
    layer = make(kind)
    batch = np.stack([-NUMBERS, NUMBERS, 2 * NUMBERS])
    np.testing.assert_allclose(np.asarray(jax.vmap(layer)(batch))[1], layer(XS), rtol=1e-12)


@any_kind
def test_last(kind):
    ys, state = make(kind).run(XS)
    last, after = make(kind, recurrence=Recurrence(last=True)).run(XS)
    np.testing.assert_allclose(last, np.asarray(ys)[-1], rtol=1e-12)
    assert tree_allclose(after, state, rtol=1e-12)


@any_kind
def test_padding_of_nan_has_no_part_in_derivatives(kind):
    layers = [make(kind), Bidirectional(make(kind), make(kind))]
    mask = np.arange(TIMES + 2) < TIMES
    loss = lambda layer, xs, mask: jnp.sum(layer(xs, mask=mask) ** 2)
    of_input = jax.grad(loss, argnums=1)

    @jax.jit
    def gradients(padded, mask):
        by_weights = [jax.grad(loss)(layer, padded, mask) for layer in layers]
        return by_weights, of_input(layers[0], padded, mask), of_input(layers[0], XS, None)

    with_nan, by_input, expected = gradients(np.pad(NUMBERS, ((0, 2), (0, 0)), constant_values=np.nan), mask)
    assert tree_allclose(with_nan, gradients(np.pad(NUMBERS, ((0, 2), (0, 0))), mask)[0], rtol=1e-14)
    np.testing.assert_allclose(np.asarray(by_input)[:TIMES], expected, rtol=1e-12)
    np.testing.assert_array_equal(np.asarray(by_input)[TIMES:], 0)


@any_kind
@pytest.mark.parametrize("settings", [{}, {"last": True}, {"reverse": True}, {"adjoint": Checkpointed(2)}], ids=str)
def test_padding_changes_nothing(kind, settings):
    layer = make(kind, recurrence=Recurrence(**settings))
    padded, mask = jax.device_put([np.concatenate([NUMBERS, np.full((3, IN), 100.0)]), np.arange(TIMES + 3) < TIMES])
    expected, state = layer.run(XS)
    ys, after = layer.run(padded, mask=mask)
    assert tree_allclose(after, state, rtol=1e-12)
    if layer.recurrence.last:
        np.testing.assert_allclose(ys, expected, rtol=1e-12)
    else:
        np.testing.assert_allclose(np.asarray(ys)[:TIMES], expected, rtol=1e-12)
        np.testing.assert_array_equal(np.asarray(ys)[TIMES:], 0)


@any_kind
def test_reverse(kind):
    ys, state = make(kind).run(BACK)
    backward, after = make(kind, recurrence=Recurrence(reverse=True)).run(XS)
    np.testing.assert_allclose(backward, np.asarray(ys)[::-1], rtol=1e-12)
    assert tree_allclose(after, state, rtol=1e-12)


@any_kind
def test_checkpointing_changes_nothing(kind):
    loss = lambda layer: jnp.sum(jnp.sin(layer(XS)))
    gradient = jax.jit(jax.value_and_grad(loss))
    plain = gradient(make(kind))
    value, nested = gradient(make(kind, recurrence=Recurrence(adjoint=Checkpointed(2))))
    np.testing.assert_allclose(value, plain[0], rtol=1e-12)
    assert tree_allclose(jax.tree.leaves(nested), jax.tree.leaves(plain[1]), rtol=1e-10)


@any_kind
def test_truncation_is_cutting_the_state(kind):
    layer = make(kind)
    truncated = make(kind, recurrence=Recurrence(truncate=2))

    def by_hand(xs):
        ys, state = [], None
        for start in range(0, TIMES, 2):
            y, state = layer.run(xs[start : start + 2], jax.lax.stop_gradient(state))
            ys.append(y)
        return jnp.sum(jnp.sin(jnp.concatenate(ys)))

    loss = lambda xs: jnp.sum(jnp.sin(truncated(xs)))
    gradient, expected = jax.jit(lambda xs: (jax.grad(loss)(xs), jax.grad(by_hand)(xs)))(XS)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10)
    np.testing.assert_allclose(truncated(XS), layer(XS), rtol=1e-12)


@each_kind
def test_derivatives(kind):
    layer = make(kind)
    state = jax.tree.map(lambda s: np.full(s.shape, 0.3), layer.initial_state())
    mask = jax.device_put(np.array([True, True, False]))

    def outputs(point):
        layer, xs, state = point
        return layer.run(xs, state, mask=mask)

    assert_derivatives_match(outputs, (layer, THREE, state), num_directions=1)


def test_derivatives_in_the_initializers(key):
    def outputs(stds):
        recurrent = InitNormal(0.0, stds[1])
        return RNN(IN, HIDDEN, 1, InitNormal(0.0, stds[0]), key=key, recurrent_initializer=recurrent)(TWO)

    assert_derivatives_match(outputs, np.array([0.5, 0.4]), num_directions=1)


@each_kind
def test_precision_stays(kind, key):
    def outputs(key, xs):
        layer = kind.make(key=key, dtype=jnp.float32)
        return layer, layer.run(xs), layer.init(key)

    shapes = jax.eval_shape(outputs, key, jax.ShapeDtypeStruct(XS.shape, jnp.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}


@each_kind
def test_init(kind):
    layer = make(kind, recurrence=Recurrence(last=True))
    again = layer.init(jax.random.key(1), InitNormal(), recurrent_initializer=InitOrthogonal())
    expected = kind.make(InitNormal(), key=jax.random.key(1), recurrent_initializer=InitOrthogonal())
    assert jax.tree.structure(again) == jax.tree.structure(layer)
    assert tree_allclose(jax.tree.leaves(again), jax.tree.leaves(expected))


@each_kind
def test_sequences_that_do_not_fit(kind):
    layer = make(kind)
    with pytest.raises(ValueError, match=rf"{kind.name} takes a sequence of shape \(time, 3\), got \(5, 2\)"):
        layer(jax.device_put(NUMBERS[:, :2]))
    with pytest.raises(ValueError, match=r"`mask` must have an entry for each of 5 times, got shape \(4,\)"):
        layer(XS, mask=jax.device_put(np.ones(4, bool)))
    with pytest.raises(ValueError, match="`state` must have the shapes"):
        layer.run(XS, jax.tree.map(lambda s: np.zeros(s.size - 1), layer.initial_state()))
    with pytest.raises(ValueError, match="`in_features` must be at least 1"):
        type(layer)(*(0, 1, 1)[: 3 if kind.name == "RNN" else 2], key=jax.random.key(0))
    with pytest.raises(TypeError, match=NO_KEY):
        kind.make(key=0)


def test_each_gate_is_drawn_by_itself(key):
    """So the scale of the weights follows from the shape of one gate, and an orthogonal matrix is one a gate."""
    weight = jax.jit(lambda key: LSTM(IN, 50, key=key).input_weight)(key)
    bound = np.sqrt(6 / (IN + 50))
    assert 0.9 * bound < np.max(np.abs(weight)) <= bound
    layer = LSTM(IN, HIDDEN, key=key, recurrent_initializer=InitOrthogonal())
    for gate in np.split(np.asarray(layer.hidden_weight), 4):
        np.testing.assert_allclose(gate @ gate.T, np.eye(HIDDEN), atol=1e-14)


def test_forget_bias(key):
    @jax.jit
    def biases(key):
        again = LSTM(IN, HIDDEN, key=key, forget_bias=2.0).init
        made = LSTM(IN, HIDDEN, key=key), LSTM(IN, HIDDEN, key=key, forget_bias=np.arange(HIDDEN))  # one for each unit
        return [layer.bias for layer in (*made, again(key), again(key, forget_bias=0.5))]

    for bias, expected in zip(jax.device_get(biases(key)), (1, np.arange(HIDDEN), 1, 0.5), strict=True):
        np.testing.assert_array_equal(np.split(bias, 4), [np.broadcast_to(b, HIDDEN) for b in (0, 0, expected, 0)])
    bias = lambda forget_bias: LSTM(1, 1, key=key, forget_bias=forget_bias).bias
    np.testing.assert_array_equal(jax.jit(jax.jacfwd(bias))(0.5), [0, 0, 1, 0])
    with pytest.raises(TypeError, match="forget_biass"):
        make(KINDS[1]).init(key, forget_biass=0.5)


def test_vector_of_the_rnn_is_in_the_original_order(key):
    layer = RNN(1, 1, 1, key=key).decode([1.0, 2.0, 3.0, 4.0, 5.0])
    values = layer.hidden_bias, layer.output_bias, layer.hidden_weight, layer.input_weight, layer.output_weight
    assert [value.item() for value in values] == [1, 2, 3, 4, 5]
    assert Recurrent is RNN


def test_activation_of_the_rnn(key):
    layer = RNN(1, 1, 1, InitTanh(), key=key, activation=jnp.sin).decode([0.1, 0.2, 0.3, 0.4, 0.5])
    h = np.sin(0.4 * 2.0 + 0.1)
    np.testing.assert_allclose(layer(jax.device_put(np.array([[2.0]]))), [[0.5 * h + 0.2]])


def test_bidirectional(key):
    forward, backward = make(KINDS[1]), make(KINDS[2])
    layer = Bidirectional(forward, backward)
    expected = np.concatenate([forward(XS), np.asarray(backward(BACK))[::-1]], axis=1)
    np.testing.assert_allclose(layer(XS), expected, rtol=1e-12)
    mask = jax.device_put(np.arange(TIMES) < 3)
    np.testing.assert_allclose(np.asarray(layer(XS, mask=mask))[:3], layer(THREE), rtol=1e-12)
    last = Recurrence(last=True)
    layer = Bidirectional(make(KINDS[1], recurrence=last), make(KINDS[2], recurrence=last))
    np.testing.assert_allclose(layer(XS), np.concatenate([expected[-1, :HIDDEN], expected[0, HIDDEN:]]), rtol=1e-12)
    assert jax.tree.structure(jax.eval_shape(layer.init, key)) == jax.tree.structure(layer)


def test_what_is_not_bidirectional(key):
    with pytest.raises(ValueError, match="`backward` must not go in reverse by itself"):
        Bidirectional(make(KINDS[1]), make(KINDS[1], recurrence=Recurrence(reverse=True)))
    with pytest.raises(ValueError, match="must both put out all steps"):
        Bidirectional(make(KINDS[1]), make(KINDS[1], recurrence=Recurrence(last=True)))
    with pytest.raises(ValueError, match="cannot go on from a state"):
        Bidirectional(make(KINDS[1]), make(KINDS[1])).run(XS, (None, None))


def test_feed_forward_carries_the_states(key):
    model = FeedForward([Linear(IN, IN, key=key), make(KINDS[1]), jnp.tanh, FeedForward([GRU(HIDDEN, 2, key=key)])])
    whole, _ = model.run(XS)
    np.testing.assert_allclose(whole, model(XS), rtol=1e-12)
    first, state = model.run(TWO)
    second, _ = model.run(REST, state)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-12)


def test_no_run_goes_on_from_both_ends(key):
    """What a run over a piece gives is refused by the next one, which would silently have begun anew."""
    model = FeedForward([Linear(IN, IN, key=key), Bidirectional(make(KINDS[1]), make(KINDS[1]))])
    _, state = model.run(TWO)
    with pytest.raises(ValueError, match="cannot go on from a state"):
        model.run(REST, state)


def test_a_state_needs_its_names():
    layer = make(KINDS[1])
    with pytest.raises(
        ValueError, match=r"must have the shapes LSTMState\(h=\(4,\), c=\(4,\)\), got \(\(4,\), \(4,\)\)"
    ):
        layer.run(XS, tuple(layer.initial_state()))


@each_kind
def test_classes_are_no_settings(kind, key):
    for name, value in (("initializer", InitTanh), ("recurrent_initializer", InitTanh), ("recurrence", Recurrence)):
        with pytest.raises(TypeError, match=f"`{name}` must be an instance of|parameter '{name}'"):
            kind.make(key=key, **{name: value})


def test_recurrence_that_is_refused():
    for name in ("reverse", "last"):
        with pytest.raises(TypeError, match=f"`{name}` must be True or False, got 'no'"):
            Recurrence(**{name: "no"})
    with pytest.raises(ValueError, match="`truncate` must be at least 1, got 0"):
        Recurrence(truncate=0)
    with pytest.raises(TypeError, match="`truncate` must be an integer"):
        Recurrence(truncate=True)
    with pytest.raises(TypeError, match=r"`adjoint` must be `Unrolled\(\)` or `Checkpointed\(levels\)` for a sequence"):
        Recurrence(adjoint=Truncated(2))
