"""Models with a state that a step changes: running statistics, spectral norms, states of one's own."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match, tree_allclose
from hype_optim import (
    Checkpointed,
    Dataset,
    Implicit,
    L2Reg,
    Minibatch,
    Momentum,
    Params,
    Quadratic,
    Reversible,
    load,
    save,
    train,
)

X = np.random.default_rng(0).normal(2.0, 3.0, size=(10, 2))
DATA = Dataset(X, np.sin(X[:, :1]))
quiet = partial(Params, learning_rate=0.1, loss=Quadratic(), regularization=L2Reg(0.0), silent=True, return_best=False)


class Normed(eqx.Module):
    norm: eqx.nn.BatchNorm
    linear: eqx.nn.Linear

    def __init__(self, mode, key):
        self.norm = eqx.nn.BatchNorm(2, "rows", momentum=0.8, mode=mode)
        self.linear = eqx.nn.Linear(2, 1, key=key)

    def __call__(self, x, state):
        x, state = self.norm(x, state)
        return self.linear(x), state


def made(mode="batch"):
    return eqx.nn.make_with_state(Normed)(mode, jax.random.key(1))


def by_hand(model, state, batches, rate=0.1):
    """Gradient descent, the state threaded through."""

    def loss(model, state, batch):
        predict = jax.vmap(model, axis_name="rows", in_axes=(0, None), out_axes=(0, None))
        predictions, state = predict(batch.x, state)
        return jnp.mean(jnp.sum((predictions - batch.y) ** 2, 1)), state

    @eqx.filter_jit
    def step(model, state, batch):
        (_, state), slope = eqx.filter_value_and_grad(loss, has_aux=True)(model, state, batch)
        return eqx.apply_updates(model, jax.tree.map(lambda g: -rate * g, slope)), state

    for batch in batches:
        model, state = step(model, state, batch)
    return model, state


@eqx.filter_jit
def final_loss(model, state, data=DATA):
    model = eqx.nn.inference_mode(model)
    predictions = jax.vmap(lambda x: model(x, state)[0])(data.x)
    return jnp.mean(jnp.sum((predictions - data.y) ** 2, 1))


@pytest.mark.parametrize("mode", ["batch", pytest.param("ema", marks=pytest.mark.slow)])
def test_minibatches_make_the_steps_of_a_loop_by_hand(mode):
    model, state = made(mode)
    result = train(model, DATA, quiet(2, batch=Minibatch(4)), model_state=state, valid=DATA[:3])
    batches = [DATA[:4], DATA[4:8], DATA[8:]] * 2  # the last batch of an epoch is what is left, not filled up
    expected, after = by_hand(*made(mode), batches)
    assert tree_allclose(result.w, expected, rtol=1e-9)
    assert tree_allclose(result.model_state, after, rtol=1e-9)
    np.testing.assert_allclose(result.loss, final_loss(expected, after), rtol=1e-9)
    _, after = by_hand(*made(mode), batches)
    np.testing.assert_allclose(result.valid_loss, final_loss(expected, after, DATA[:3]), rtol=1e-9)
    np.testing.assert_allclose(result.valid_history[-1], result.valid_loss, rtol=1e-9)


def test_the_best_weights_come_with_their_state():
    model, state = made()
    result = train(model, DATA, quiet(6, learning_rate=0.9, return_best=True), model_state=state, valid=DATA[:3])
    assert np.argmin(result.valid_history) < 5
    np.testing.assert_allclose(final_loss(result.w, result.model_state, DATA[:3]), result.valid_loss, rtol=1e-9)
    np.testing.assert_allclose(result.valid_loss, np.min(result.valid_history), rtol=1e-9)


@jax.numpy_dtype_promotion("standard")  # Equinox raises a number to an integer that has come from a file
@pytest.mark.slow
def test_a_run_goes_on_and_is_saved_bit_for_bit(tmp_path):
    model, state = made()
    run = lambda epochs, **more: train(model, DATA, quiet(epochs, batch=Minibatch(4)), model_state=state, **more)
    whole, first = run(4, key=jax.random.key(2)), run(2, key=jax.random.key(2))
    save(tmp_path / "run.npz", first.state)
    second = run(2, state=load(tmp_path / "run.npz", first.state))
    assert tree_allclose(second.w, whole.w, rtol=0.0, atol=0.0)
    assert tree_allclose(second.model_state, whole.model_state, rtol=0.0, atol=0.0)


@pytest.mark.slow
def test_derivatives_with_respect_to_rate_data_weights_and_state():
    model, state = made()
    leaves, structure = jax.tree.flatten(state)
    floats = [leaf for leaf in leaves if eqx.is_inexact_array(leaf)]

    def trained(at):
        rate, x, weight, floats = at
        rest = iter(floats)
        state = jax.tree.unflatten(structure, [next(rest) if eqx.is_inexact_array(leaf) else leaf for leaf in leaves])
        start = eqx.tree_at(lambda m: m.linear.weight, model, weight)
        params = quiet(2, learning_rate=rate, batch=Minibatch(4))
        result = train(start, Dataset(x, DATA.y), params, model_state=state)
        return result.loss + sum(
            jnp.sum(leaf**2) for leaf in jax.tree.leaves(eqx.filter(result.model_state, eqx.is_inexact_array))
        )

    assert_derivatives_match(trained, (jnp.array(0.05), X, model.linear.weight, floats), num_directions=1)


@pytest.mark.slow
def test_single_steps_recomputed_and_reversed_have_the_same_derivative():
    model, state = made()

    def trained(rate, adjoint):
        params = quiet(20, learning_rate=rate, momentum=Momentum(0.5), adjoint=adjoint)
        return train(model, DATA, params, model_state=state).loss

    expected = jax.grad(trained)(0.02, Checkpointed())
    np.testing.assert_allclose(jax.grad(trained)(0.02, Reversible()), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"`model_state` must be left out under Implicit\(\)"):
        trained(0.02, Implicit())


def test_a_state_of_ones_own_and_a_spectral_norm():
    class Counting(eqx.Module):
        weight: jax.Array

        def __call__(self, x, state, key=None):
            return self.weight * x, {"calls": state["calls"] + 1, "mean": state["mean"] + jnp.mean(self.weight)}

    first = {"calls": jnp.array(0), "mean": jnp.array(0.0)}
    params = quiet(3, batch=Minibatch(5))
    result = train(
        Counting(jnp.ones(2)), Dataset(X, X * 2), params, model_state=first, keyed=True, key=jax.random.key(0)
    )
    assert result.model_state["calls"] == 6

    class Spectral(eqx.Module):
        layer: eqx.nn.SpectralNorm

        def __init__(self, key):
            self.layer = eqx.nn.SpectralNorm(eqx.nn.Linear(2, 1, key=key), "weight", key=key)

        def __call__(self, x, state):
            return self.layer(x, state)

    model, state = eqx.nn.make_with_state(Spectral)(jax.random.key(0))
    result = train(model, DATA, params, model_state=state)
    assert np.isfinite(result.loss)
    assert not tree_allclose(result.model_state, state)


def test_a_sweep_of_runs():
    model, state = made()
    rates = jnp.array([0.01, 0.1])
    singly = [train(model, DATA, quiet(2, learning_rate=rate), model_state=state).loss for rate in (0.01, 0.1)]
    sweep = jax.vmap(lambda rate: train(model, DATA, quiet(2, learning_rate=rate), model_state=state).loss)
    np.testing.assert_allclose(sweep(rates), singly, rtol=1e-12)


def test_what_is_refused():
    model, state = made()
    with pytest.raises(TypeError, match=r"`model_state` must be given for a model that keeps state.*make_with_state"):
        train(model, DATA, quiet(2))
    with pytest.raises(TypeError, match=r"`model_state` must be the `equinox.nn.State` of `model`, got dict"):
        train(model, DATA, quiet(2), model_state={"mean": jnp.zeros(2)})
    with pytest.raises(TypeError, match="`model_state` must be a pytree of arrays"):
        train(lambda_model(lambda x, s: (x, s)), DATA, quiet(2), model_state="none")
    two = eqx.tree_at(lambda m: m.linear, model, eqx.nn.BatchNorm(2, "other", mode="batch"))
    with pytest.raises(ValueError, match="`model` must have one `axis_name` for all of its BatchNorm layers"):
        train(two, DATA, quiet(2), model_state=state)
    first = {"mean": jnp.zeros(())}
    wide = Dataset(X, X)
    with pytest.raises(TypeError, match=r"`model` must return the pair \(prediction, state\) with `model_state`"):
        train(lambda_model(lambda x, s: x), wide, quiet(2), model_state=first)
    with pytest.raises(ValueError, match="`model` must return a state of the structure, shapes and dtypes"):
        train(lambda_model(lambda x, s: (x, {"mean": x})), wide, quiet(2), model_state=first)
    with pytest.raises(ValueError, match="out_axes") as raised:
        train(lambda_model(lambda x, s: (x, {"mean": x[0]})), wide, quiet(2), model_state=first)
    assert any("pmean" in note for note in raised.value.__notes__)
    with pytest.raises(ValueError, match="`state` must be that of a run"):
        train(model, DATA, quiet(2), model_state=state, state=train(Scaled(), wide, quiet(1)).state)


class Scaled(eqx.Module):
    weight: jax.Array = eqx.field(default_factory=lambda: jnp.ones(2))

    def __call__(self, x):
        return self.weight * x


def lambda_model(f):
    class Model(eqx.Module):
        weight: jax.Array

        def __call__(self, x, state):
            return f(self.weight * x, state)

    return Model(jnp.ones(2))
