"""Models that draw at random while they are trained."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match, tree_allclose
from hype_optim import Dataset, L2Reg, Minibatch, Nesterov, Params, Quadratic, train

X = np.random.default_rng(0).normal(size=(6, 3))
DATA = Dataset(X, np.sin(X[:, :1]))
quiet = partial(Params, learning_rate=0.1, momentum=Nesterov(0.5), loss=Quadratic(), silent=True)


class Dropping(eqx.Module):
    """A linear map of an input of which half is dropped."""

    weight: jax.Array
    inference: bool = False

    def __call__(self, x, key=None):
        kept = x if self.inference else jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x / 0.5, 0.0)
        return self.weight @ kept


def model():
    return Dropping(jnp.ones((1, 3)))


def test_each_step_draws_anew_for_each_example_and_losses_are_without():
    params = quiet(40, learning_rate=1e-12, regularization=L2Reg(0.0), return_best=False)  # weights stay
    result = train(model(), DATA, params, valid=DATA[:4], key=jax.random.key(0), keyed=True)
    exact = lambda data: np.mean((np.asarray(data.x).sum(1) - np.asarray(data.y)[:, 0]) ** 2)
    np.testing.assert_allclose(result.loss, exact(DATA), rtol=1e-6)
    np.testing.assert_allclose(result.valid_loss, exact(DATA[:4]), rtol=1e-6)
    np.testing.assert_allclose(result.valid_history, exact(DATA[:4]), rtol=1e-6)
    assert len(np.unique(result.loss_history)) == 40
    # What is dropped adds the variance x**2 to the square of the error.
    np.testing.assert_allclose(np.mean(result.loss_history), exact(DATA) + np.mean(np.sum(X**2, 1)), rtol=0.2)
    alike = Dataset(X[:1].repeat(6, 0), np.asarray(DATA.y)[:1].repeat(6, 0))
    same = train(model(), alike, params, valid=DATA[:4], key=jax.random.key(0), keyed=True)
    assert len(np.unique(same.loss_history)) > 8  # one draw for all examples would have at most 2**3


def test_a_loop_written_by_hand_with_the_same_keys_makes_the_same_steps():
    params = quiet(3, momentum=None, regularization=L2Reg(0.0), return_best=False)
    result = train(model(), DATA, params, key=jax.random.key(3), keyed=True, batched=False)
    w = model()

    @eqx.filter_jit
    @eqx.filter_grad
    def slope(w, step):
        stream = jax.random.fold_in(jax.random.key(3), 2**32 - 1)
        predictions = jax.vmap(lambda x, key: w(x, key=key))(X, jax.random.split(jax.random.fold_in(stream, step), 6))
        return jnp.mean(jnp.sum((predictions - DATA.y) ** 2, 1))

    for step in np.arange(3):
        w = eqx.tree_at(lambda w: w.weight, w, np.asarray(w.weight) - 0.1 * np.asarray(slope(w, step).weight))
    np.testing.assert_allclose(result.w.weight, w.weight, rtol=1e-12)
    assert result.w.inference is False


def test_derivatives_are_exact_given_the_key():
    def trained(rate, coefficient, weight, x):
        params = quiet(3, learning_rate=rate, regularization=L2Reg(coefficient), return_best=False)
        result = train(Dropping(weight), Dataset(x, DATA.y), params, key=jax.random.key(1), keyed=True)
        return result.loss + jnp.sum(result.loss_history)

    assert_derivatives_match(
        lambda at: trained(*at), (np.array(0.1), np.array(0.01), model().weight, X), num_directions=1
    )


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit():
    params = quiet(2, batch=Minibatch(4))
    run = lambda params, **more: train(model(), DATA, params, keyed=True, **more)
    whole, first = run(replace(params, epochs=4), key=jax.random.key(2)), run(params, key=jax.random.key(2))
    second = run(params, state=first.state)
    assert tree_allclose(second.w, whole.w, rtol=0.0, atol=0.0)
    assert tree_allclose(second.state, whole.state, rtol=0.0, atol=0.0)
    losses = np.concatenate([first.loss_history, second.loss_history])
    np.testing.assert_array_equal(losses, whole.loss_history)


def test_a_batched_model_is_given_one_key():
    class Noisy(eqx.Module):
        weight: jax.Array

        def __call__(self, x, key):
            noise = 0.0 if key is None else jax.random.normal(key, (x.shape[0], 1))
            return x @ self.weight.T + noise

    params = quiet(3, learning_rate=1e-12, regularization=L2Reg(0.0))
    result = train(Noisy(jnp.ones((1, 3))), DATA, params, key=jax.random.key(0), keyed=True, batched=True)
    assert len(np.unique(result.loss_history)) == 3


def test_what_is_refused():
    with pytest.raises(ValueError, match="`key` must be given for a model that is `keyed`"):
        train(model(), DATA, quiet(2), keyed=True)
    unkeyed = train(eqx.nn.inference_mode(model()), DATA, quiet(2))
    with pytest.raises(ValueError, match="`key` must be given"):
        train(model(), DATA, quiet(2), state=unkeyed.state, keyed=True)


def test_a_model_that_draws_says_what_it_needs():
    model = eqx.nn.Sequential([eqx.nn.Linear(2, 1, key=jax.random.key(0)), eqx.nn.Dropout(0.5)])
    with pytest.raises(RuntimeError, match="requires a key") as raised:
        train(model, Dataset(np.ones((3, 2)), np.ones((3, 1))), Params(1, silent=True))
    assert any("keyed=True" in note for note in raised.value.__notes__)
