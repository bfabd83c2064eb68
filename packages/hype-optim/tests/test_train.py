from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import tree_allclose
from hype_optim import (
    Constant,
    CrossEntropyOnLinear,
    Dataset,
    Early,
    Full,
    L2Loss,
    L2Reg,
    Minibatch,
    Nesterov,
    NoReg,
    Optimize,
    Params,
    Quadratic,
    RMSProp,
    Status,
    StepSchedule,
    Stochastic,
    train,
)

from .problems import Network, classes, network, regression

quiet = partial(Params, silent=True)


class Affine(eqx.Module):
    weight: jax.Array
    bias: jax.Array

    def __call__(self, x):
        return self.weight @ x + self.bias


@jax.jit
@jax.value_and_grad
def batch_loss_and_gradient(model, x, y, chosen, coefficient):
    """Of the examples that are chosen, as numbers: one program for batches of all sizes."""
    losses = jnp.stack([CrossEntropyOnLinear()(model(x[i]), y[i]) for i in range(len(x))])
    penalty = coefficient * sum(jnp.sum(w**2) for w in jax.tree.leaves(model))
    return jnp.sum(chosen * losses) / jnp.sum(chosen) + penalty


BATCHES = {"full": Full(), "minibatch": Minibatch(4), "an even minibatch": Minibatch(5), "stochastic": Stochastic()}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "an even minibatch" else ()) for name in BATCHES]
)
def test_makes_the_steps_of_a_loop_written_by_hand(name):
    data, model = classes(10), network()
    size = BATCHES[name].size(10)
    expected, values = model, []
    for _ in range(2):
        for start in range(0, 10, size):
            chosen = np.array([float(start <= i < start + size) for i in range(10)])
            value, gradient = batch_loss_and_gradient(expected, data.x, data.y, chosen, 0.01)
            values.append(value)
            expected = jax.tree.map(lambda w, g: np.asarray(w) - 0.3 * np.asarray(g), expected, gradient)
    params = quiet(2, learning_rate=0.3, loss=CrossEntropyOnLinear(), regularization=L2Reg(0.01), batch=BATCHES[name])
    result = train(model, data, replace(params, return_best=False))
    assert tree_allclose(result.w, expected, rtol=1e-10)
    np.testing.assert_allclose(result.loss_history, values, rtol=1e-10)
    at_the_end, _ = batch_loss_and_gradient(expected, data.x, data.y, np.ones(10), 0.01)
    np.testing.assert_allclose(result.loss, at_the_end, rtol=1e-10)


def test_an_epoch_sees_every_example_once_in_an_order_of_its_own():
    # Each step adds its batch's mean of unit vectors, scaled so that an epoch adds one to each entry.
    data = Dataset(np.eye(12), np.zeros(12))
    params = quiet(3, learning_rate=4.0, loss=lambda p, y: -p, batch=Minibatch(4), regularization=NoReg())
    params = replace(params, return_best=False, keep_w_history=True)
    predict = lambda w, x: w @ x
    in_order = Optimize.Train(predict, np.zeros(12), data, params)
    shuffled = Optimize.Train(predict, np.zeros(12), data, params, key=jax.random.key(7))
    np.testing.assert_allclose(in_order.w, 3 * np.ones(12))
    np.testing.assert_allclose(shuffled.w, 3 * np.ones(12))
    np.testing.assert_allclose(np.asarray(in_order.w_history)[1], np.repeat([1.0, 0, 0], 4))
    first_batches = np.diff(shuffled.w_history, axis=0)[[0, 3, 6]]
    assert all(np.sum(batch) == 4 for batch in first_batches)
    assert not any(np.array_equal(first_batches[0], other) for other in first_batches[1:])


def test_the_same_key_gives_the_same_run_and_another_key_another():
    run = lambda seed: (
        train(
            network(), classes(), quiet(2, loss=CrossEntropyOnLinear(), batch=Minibatch(4)), key=jax.random.key(seed)
        ).w
    )
    assert tree_allclose(run(0), run(0), rtol=0.0, atol=0.0)
    assert not tree_allclose(run(0), run(1))


@pytest.mark.bitwise
@pytest.mark.parametrize(
    ("batch", "key"),
    [
        pytest.param(Full(), None, marks=pytest.mark.slow),
        pytest.param(Minibatch(3), None, marks=pytest.mark.slow),
        (Minibatch(5), jax.random.key(1)),
    ],
    ids=["full", "in order", "shuffled with a remainder"],
)
def test_a_run_goes_on_where_it_stopped(batch, key):
    # 12 rows: two, eight or six steps.
    params = quiet(2, learning_rate=RMSProp(0.02), momentum=Nesterov(0.7), loss=CrossEntropyOnLinear(), batch=batch)
    data, valid = classes(12), classes(5)
    whole = train(network(), data, replace(params, epochs=4), valid=valid, key=key)
    first = train(network(), data, params, valid=valid, key=key)
    second = train(network(), data, params, valid=valid, state=first.state)
    assert tree_allclose(second.w, whole.w, rtol=0.0, atol=0.0)
    assert tree_allclose(second.state.w, whole.state.w, rtol=0.0, atol=0.0)
    np.testing.assert_array_equal(np.append(first.loss_history, second.loss_history), whole.loss_history)
    np.testing.assert_array_equal(np.append(first.valid_history, second.valid_history), whole.valid_history)


def test_a_run_that_stopped_within_an_epoch_goes_on_within_it():
    rates = np.full(9, 0.1)
    params = lambda n: quiet(learning_rate=StepSchedule(rates[:n]), loss=CrossEntropyOnLinear(), batch=Minibatch(3))
    run = partial(train, network(), classes(12), key=jax.random.key(1))
    first = run(params(5))
    second = train(network(), classes(12), params(9), state=first.state)
    assert tree_allclose(second.state.w, run(params(9)).state.w, rtol=1e-14)
    assert second.loss_history.shape == (4,)


def test_the_best_point_is_that_of_the_validation_loss():
    # The model climbs through the validation optimum at 1 to the training optimum at 2.
    one = lambda target: Dataset(np.ones((1, 1)), np.full((1, 1), target))
    params = quiet(30, learning_rate=0.05, loss=Quadratic(), regularization=NoReg(), keep_w_history=True)
    result = Optimize.Train(lambda w, x: w * x, np.array(0.0), one(2.0), params, valid=one(1.0))
    errors = (np.append(np.asarray(result.w_history)[1:], result.state.w) - 1) ** 2
    np.testing.assert_allclose(result.valid_history, errors, rtol=1e-12)
    np.testing.assert_allclose((float(result.w) - 1) ** 2, errors.min(), rtol=1e-12)
    np.testing.assert_allclose(result.valid_loss, errors.min(), rtol=1e-12)
    np.testing.assert_allclose(result.loss, (float(result.w) - 2) ** 2, rtol=1e-12)
    assert result.status == Status.MAX_STEPS


def test_the_validation_loss_is_without_the_penalty():
    data = regression()
    params = quiet(1, learning_rate=0.0, loss=Quadratic(), regularization=L2Reg(1.0))
    result = train(network(), data, params, valid=data)
    penalty = sum(np.sum(np.square(w)) for w in jax.tree.leaves(network()))
    np.testing.assert_allclose(float(result.loss) - float(result.valid_loss), penalty, rtol=1e-12)


@pytest.mark.parametrize(
    ("epochs", "interval", "checks"), [(7, 2, [0, 2, 4, 6]), pytest.param(7, 9, [6], marks=pytest.mark.slow)]
)
def test_checks_are_an_interval_of_epochs_apart_and_end_with_the_last(epochs, interval, checks):
    data = classes(12)
    params = quiet(epochs, learning_rate=0.1, loss=CrossEntropyOnLinear(), batch=Minibatch(4))
    result = train(network(), data, replace(params, validation_interval=interval), valid=classes(5))
    assert result.valid_history.shape == (len(checks),)
    every = train(network(), data, params, valid=classes(5)).valid_history
    np.testing.assert_allclose(result.valid_history, np.asarray(every)[checks], rtol=1e-12)


def test_the_best_point_is_never_that_of_one_lucky_batch():
    # The second batch of each epoch is easy whatever the weights; the epoch's mean grows all the time.
    data = Dataset(np.array([[1.0], [0.0]]), np.zeros((2, 1)))
    params = quiet(
        4, learning_rate=Constant(2.0), loss=lambda p, y: jnp.sum(p), batch=Minibatch(1), regularization=NoReg()
    )
    result = Optimize.Train(lambda w, x: jnp.abs(w) * x, np.array(0.5), data, replace(params, keep_w_history=True))
    epoch_means = np.asarray(result.loss_history).reshape(4, 2).mean(axis=1)
    ends = np.append(np.asarray(result.w_history)[2::2], result.state.w)
    np.testing.assert_allclose(result.w, ends[np.argmin(epoch_means)])


def test_the_few_examples_of_a_last_batch_do_not_decide_for_all():
    # The weight grows by 0.1 an epoch. Three examples lose w each, and the fourth, alone in its batch, gains 2 w.
    data = Dataset(np.array([[1.0], [1.0], [1.0], [-2.0]]), np.zeros((4, 1)))
    params = quiet(6, learning_rate=0.1, loss=lambda p, y: jnp.sum(p), batch=Minibatch(3), regularization=NoReg())
    result = Optimize.Train(lambda w, x: w * x, np.array(0.5), data, replace(params, early_stopping=Early(2, 2)))
    np.testing.assert_allclose(result.w, 0.6)
    assert (result.status, result.steps) == (Status.EARLY_STOPPED, 6)
    part = quiet(learning_rate=StepSchedule(np.full(3, 0.1)), loss=params.loss, batch=Minibatch(2))
    replaced = Optimize.Train(lambda w, x: w * x, np.array(0.5), data[:3], replace(part, regularization=NoReg()))
    assert replaced.status == Status.MAX_STEPS


def test_a_run_that_ended_early_and_goes_on_has_not_ended():
    data, stuck = regression(), quiet(9, learning_rate=0.0, loss=Quadratic(), early_stopping=Early(3, 3))
    first = train(network(), data, stuck)
    assert first.status == Status.EARLY_STOPPED
    again = train(network(), data, replace(stuck, epochs=2, learning_rate=Constant(0.1)), state=first.state)
    assert again.status == Status.MAX_STEPS
    assert int(again.steps) == int(first.steps) + 2


def test_a_run_stops_when_it_no_longer_improves():
    data = regression()
    stuck = quiet(50, learning_rate=0.0, loss=Quadratic(), early_stopping=Early(5, 3))
    result = train(network(), data, stuck)
    assert result.status == Status.EARLY_STOPPED
    assert result.steps == 6  # the first check is an improvement on nothing, then five without any
    np.testing.assert_array_equal(np.isnan(result.loss_history), np.arange(50) >= 6)
    assert np.all(np.isfinite(np.asarray(result.loss_history)[:6]))
    moving = train(network(), data, replace(stuck, learning_rate=Constant(0.05)))
    assert moving.steps == 50


def test_a_run_stops_when_it_overfits():
    one = lambda target: Dataset(np.ones((1, 1)), np.full((1, 1), target))
    params = quiet(60, learning_rate=0.05, loss=Quadratic(), regularization=NoReg(), early_stopping=Early(50, 4))
    result = Optimize.Train(lambda w, x: w * x, np.array(0.0), one(2.0), params, valid=one(1.0))
    assert result.status == Status.EARLY_STOPPED
    best = int(np.nanargmin(result.valid_history))
    assert result.steps == best + 1 + 4
    np.testing.assert_allclose(result.valid_loss, np.asarray(result.valid_history)[best], rtol=1e-12)


def test_a_training_that_diverges_says_so_and_keeps_its_best_finite_point():
    result = train(network(), regression(), quiet(40, learning_rate=1e3, loss=Quadratic(), batch=Minibatch(4)))
    assert result.status == Status.DIVERGED
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(result.w))
    assert np.isfinite(result.loss)


def test_a_batched_model_is_given_whole_batches():
    data = classes()
    params = quiet(2, learning_rate=0.3, loss=CrossEntropyOnLinear(), batch=Minibatch(4))
    whole = jax.tree_util.Partial(lambda model, x: jax.vmap(model)(x), network())
    batched = train(whole, data, params, batched=True)
    assert tree_allclose(batched.w.args[0], train(network(), data, params).w, rtol=1e-12)


def test_an_equinox_model_with_functions_as_leaves():
    mlp = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    params = quiet(3, learning_rate=0.3, loss=CrossEntropyOnLinear())
    result = eqx.filter_jit(train)(mlp, classes(), params)
    assert result.w.activation == mlp.activation
    assert result.loss < train(mlp, classes(), replace(params, learning_rate=Constant(0.0))).loss


@pytest.mark.slow  # `test_sweep.py` has one of all else
def test_a_batch_of_seeds_is_one_program():
    params = quiet(2, learning_rate=0.1, batch=Minibatch(4), loss=L2())
    run = lambda key: train(network(), classes(), params, key=key)
    keys = jax.random.split(jax.random.key(0), 3)
    np.testing.assert_allclose(jax.vmap(lambda k: run(k).loss)(keys), [run(k).loss for k in keys], rtol=1e-12)


def L2():
    one_hot = lambda y: jax.nn.one_hot(y, 2)
    return lambda p, y: L2Loss()(p, one_hot(y))


def test_new_data_and_hyperparameters_do_not_compile_again():
    traces = 0

    def predict(w, x):
        nonlocal traces
        traces += 1
        return w @ x

    run = lambda data, rate: Optimize.Train(predict, np.zeros(3), data, quiet(2, learning_rate=rate, loss=squared))
    squared = lambda p, y: (p - y) ** 2
    x = classes(10).x
    run(Dataset(x, x[:, 0]), 0.1)
    after_first = traces
    run(Dataset(2 * x, x[:, 1]), 0.2)
    assert traces == after_first


def test_what_is_not_used_is_not_computed():
    run = lambda w: Optimize.Train(lambda w, x: jnp.sin(w @ x), w, classes(60), quiet(1, loss=lambda p, y: p**2))
    flops = lambda pick: jax.jit(lambda w: pick(run(w))).lower(jnp.ones(3)).compile().cost_analysis()["flops"]
    last = lambda result: result.state.w
    assert flops(last) < flops(lambda result: (last(result), result.loss))


MODEL, DATA = network(), classes(11)
BAD = {
    "model": (lambda: train(3, DATA), TypeError, "model"),
    "model without floats": (lambda: train(lambda x: x, DATA), TypeError, "`model` must have at least one leaf"),
    "model with NaN": (
        lambda: train(Network(jax.device_put(np.full((4, 3), np.nan)), MODEL.bias, MODEL.out), DATA),
        ValueError,
        r"`model.hidden` must be finite",
    ),
    "data": (lambda: train(MODEL, (DATA.x, DATA.y)), TypeError, "data"),
    "data in two": (lambda: train(MODEL, DATA.x, DATA.y), TypeError, "data"),
    "no function": (lambda: Optimize.Train(1.0, jnp.dot, DATA), TypeError, "f"),
    "no data": (lambda: train(MODEL, DATA[:0]), ValueError, "`data` must hold at least one example"),
    "no validation data": (lambda: train(MODEL, DATA, valid=DATA[:0]), ValueError, "`valid` must hold at least one"),
    "batch": (lambda: train(MODEL, DATA, quiet(batch=Minibatch(12))), ValueError, r"Minibatch\(12\), but .* only 11"),
    "rows": (lambda: Dataset(DATA.x, DATA.y[1:]), ValueError, "11 .* 10"),
    "target's shape": (
        lambda: train(MODEL, DATA, quiet(loss=Quadratic())),
        ValueError,
        r"shape \(2,\) and its target \(\)",
    ),
    "loss": (lambda: train(MODEL, DATA, quiet(loss=lambda p, y: p)), TypeError, "`loss` must return a real scalar"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()
