"""Objectives of a whole batch that are the caller's: bounds, contrasts, penalties on gradients."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match, tree_allclose
from hype_optim import (
    AbstractAdjoint,
    Backtrack,
    Dataset,
    Early,
    Implicit,
    L2Reg,
    Minibatch,
    Momentum,
    Params,
    Quadratic,
    Solution,
    minimize,
    train,
)

X = np.random.default_rng(0).normal(size=(10, 3))
KEY = jax.random.key(5)
quiet = partial(Params, learning_rate=0.1, regularization=L2Reg(0.0), silent=True, return_best=False)


class Linear(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return self.weight @ x


def contrast(model, batch, key):
    """InfoNCE: the two views of an example are alike, and unlike those of the others of the batch."""
    first, second = (jax.vmap(model)(batch.x[name]) for name in ("first", "second"))
    return -jnp.mean(jnp.diag(jax.nn.log_softmax(first @ second.T)))


VIEWS = Dataset({"first": X, "second": X + 0.1})
MODEL = Linear(jnp.asarray(np.linspace(-0.5, 0.5, 6).reshape(2, 3), float))


@pytest.mark.slow
def test_the_last_batch_has_only_what_is_left_and_the_report_is_a_mean_over_batches():
    result = train(MODEL, VIEWS, quiet(1, batch=Minibatch(4)), objective=contrast)
    model, histories = MODEL, []
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
        value, slope = eqx.filter_value_and_grad(contrast)(model, VIEWS[rows], None)
        model = eqx.apply_updates(model, jax.tree.map(lambda g: -0.1 * g, slope))
        histories.append(value)
    np.testing.assert_allclose(result.loss_history, histories, rtol=1e-9)
    assert tree_allclose(result.w, model, rtol=1e-9)
    parts = [contrast(model, VIEWS[rows], None) for rows in (slice(0, 4), slice(4, 8), slice(8, 10))]
    np.testing.assert_allclose(result.loss, np.dot(parts, [0.4, 0.4, 0.2]), rtol=1e-9)


@pytest.mark.slow
def test_each_step_has_a_key_and_so_has_the_report():
    """A bound that draws: E (w (x + z))^2 = w^2 (x^2 + 1)."""

    def bound(model, batch, key):
        noise = jax.random.normal(key, batch.x.shape)
        return jnp.mean(jnp.sum((batch.x + noise) * model.weight[None] ** 2 * (batch.x + noise), -1))

    data, still = Dataset(jnp.zeros((400, 1))), Linear(jnp.ones(1))
    params = quiet(20, learning_rate=1e-12)
    result = train(still, data, params, objective=bound, key=KEY, valid=data)
    assert len(np.unique(result.loss_history)) == 20
    assert len(np.unique(result.valid_history.round(9))) == 1  # the same draws for all checks
    np.testing.assert_allclose([result.loss, result.valid_loss], 1.0, atol=0.3)  # not 0, as without a key
    again = train(still, data, params, objective=bound, key=KEY, evaluation_key=jax.random.key(1))
    assert again.loss != result.loss
    np.testing.assert_array_equal(again.loss_history, result.loss_history)


@pytest.mark.slow
def test_a_keyed_model_is_reported_with_the_key_that_the_caller_gives():
    class Noisy(eqx.Module):
        weight: jax.Array

        def __call__(self, x, key):
            return self.weight * (x if key is None else x + jax.random.normal(key, x.shape))

    data = Dataset(jnp.zeros((400, 1)), jnp.zeros((400, 1)))
    params = quiet(2, learning_rate=1e-12, loss=Quadratic())
    without = train(Noisy(jnp.ones(1)), data, params, keyed=True, key=KEY)
    assert without.loss == 0.0
    drawn = train(Noisy(jnp.ones(1)), data, params, keyed=True, key=KEY, evaluation_key=KEY)
    np.testing.assert_allclose(drawn.loss, 1.0, atol=0.3)


@pytest.mark.slow
def test_derivatives_of_a_penalty_on_gradients():
    """A second derivative within the objective, in a run of minibatches."""

    def objective(model, batch, key):
        value = lambda x: jnp.sum(jnp.tanh(model(x)))
        slopes = jax.vmap(jax.grad(value))(batch.x)
        return jnp.mean(jax.vmap(value)(batch.x)) + jnp.mean((jnp.linalg.norm(slopes, axis=-1) - 1) ** 2)

    def trained(at):
        rate, x, weight = at
        return train(
            Linear(weight), Dataset(x), quiet(2, learning_rate=rate, batch=Minibatch(6)), objective=objective
        ).loss

    assert_derivatives_match(trained, (np.array(0.1), X, MODEL.weight), num_directions=1)


@pytest.mark.slow
def test_an_adversarial_pair_has_the_derivative_of_its_steps():
    """Two players in one objective: each sees the other held. Single steps recomputed have the same derivative."""

    def losses(players, batch=None, key=None):
        x, y = players
        payoff = jnp.sum(x * y) + 0.3 * jnp.sum(x**2) - 0.2 * jnp.sum(y**3)
        return payoff, -payoff

    players = (jnp.ones(2), jnp.linspace(0.1, 0.5, 2))
    data = Dataset(jnp.zeros((1, 1)))

    def trained(rate):
        params = quiet(6, learning_rate=rate, momentum=Momentum(0.5))
        return jnp.sum(train(players, data, params, objective=losses).w[0] ** 2)

    def minimized(rate):
        params = Params(6, learning_rate=rate, momentum=Momentum(0.5), silent=True, return_best=False)
        return jnp.sum(minimize(losses, players, replace(params, adjoint=SingleSteps())).w[0] ** 2)

    for run in (trained, minimized):
        np.testing.assert_allclose(run(0.1), by_hand(0.1), rtol=1e-9)
        np.testing.assert_allclose(jax.grad(run)(0.1), jax.grad(by_hand)(0.1), rtol=1e-9)
    np.testing.assert_allclose(jax.jvp(jax.grad(trained), (0.1,), (1.0,))[1], jax.hessian(by_hand)(0.1), rtol=1e-9)
    np.testing.assert_allclose(train(players, data, quiet(2), objective=losses).loss, 0.0, atol=1e-12)
    best = train(players, data, quiet(6, momentum=Momentum(0.5), return_best=True), objective=losses)
    np.testing.assert_allclose(jnp.sum(best.w[0] ** 2), by_hand(0.1), rtol=1e-9)  # the last point, whatever the sum
    for wrong in ({"early_stopping": Early(2, 2)}, {"learning_rate": Backtrack()}):
        with pytest.raises(ValueError, match=r"must not be .* with several losses"):
            train(players, data, quiet(2, **wrong), objective=losses)


class SingleSteps(AbstractAdjoint):
    """Single steps computed again, in mixed mode."""

    def solve(self, run, state, params, gradient):
        scan = lambda step, init, xs, load: jax.lax.scan(jax.checkpoint(partial(step, mixed=True)), init, load(xs))
        return Solution(*run(scan, state, params))


def by_hand(rate):
    """Simultaneous steps of both players."""
    x, y, v, u = jnp.ones(2), jnp.linspace(0.1, 0.5, 2), jnp.zeros(2), jnp.zeros(2)
    for _ in range(6):
        v, u = 0.5 * v - rate * (y + 0.6 * x), 0.5 * u + rate * (x - 0.6 * y**2)
        x, y = x + v, y + u
    return jnp.sum(x**2)


def test_a_state_goes_through_an_objective():
    def objective(model, batch, key, state):
        return jnp.mean((jax.vmap(model)(batch.x) - state["target"][None]) ** 2), {
            "target": 0.9 * state["target"] + 0.1
        }

    first = {"target": np.zeros(2)}
    result = train(MODEL, Dataset(X), quiet(3), objective=objective, model_state=first)
    np.testing.assert_allclose(result.model_state["target"], 1 - 0.9**3, rtol=1e-12)
    value, _ = objective(result.w, Dataset(X), None, result.model_state)
    np.testing.assert_allclose(result.loss, value, rtol=1e-9)


def test_what_is_refused():
    data = Dataset(X, X[:, :2])
    for wrong, message in [
        ({"batched": True}, "`batched` must be left out"),
        ({"keyed": True}, "`keyed` must be left"),
    ]:
        with pytest.raises(ValueError, match=message):
            train(MODEL, data, quiet(1), objective=contrast, key=KEY, **wrong)
    with pytest.raises(ValueError, match="`loss` must be left out beside an `objective`"):
        train(MODEL, data, quiet(1, loss=Quadratic()), objective=contrast)
    with pytest.raises(
        TypeError, match=r"`objective` must be a function of a model, a batch and a key, got 1|parameter 'objective'"
    ):
        train(MODEL, data, quiet(1), objective=1)
    with pytest.raises(TypeError, match=r"`objective` must return a real scalar, got shape \(10,\)"):
        train(MODEL, data, quiet(1), objective=lambda m, b, k: b.x[:, 0])
    with pytest.raises(TypeError, match=r"`objective` must return a real scalar, got a dict of 1"):
        train(MODEL, data, quiet(1), objective=lambda m, b, k: {"loss": 1.0})
    with pytest.raises(ValueError, match="`adjoint` must not be Implicit with several losses"):
        train((MODEL,), data, quiet(1, adjoint=Implicit()), objective=lambda m, b, k: (jnp.sum(m[0].weight),))
    with pytest.raises(TypeError, match=r"`objective` must return the pair \(loss, state\)"):
        train(MODEL, data, quiet(1), objective=lambda m, b, k, s: 1.0, model_state=jnp.ones(1))
    with pytest.raises(ValueError, match="`data` must have targets `y` for the loss"):
        train(MODEL, Dataset(X), quiet(1))
    with pytest.raises((TypeError, ValueError), match="evaluation_key"):
        train(MODEL, data, quiet(1), evaluation_key=jax.random.split(KEY))
