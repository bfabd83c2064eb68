"""Training a part of the weights and holding the rest; and leaving out what is not asked for."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import CG, Dataset, Implicit, L2Reg, Params, Quadratic, minimize, train

quiet = partial(Params, silent=True)
START = {"a": jnp.array([1.0, -2.0]), "b": [jnp.array(3.0), jnp.array(0.5)]}


def bowl(w):
    return jnp.sum((w["a"] - w["b"][0]) ** 2) + w["b"][1] * w["b"][0] ** 2


@pytest.mark.parametrize(
    "where",
    [
        lambda w: w["a"],
        lambda w: [[w["a"]]],
        lambda w: [leaf for leaf in jax.tree.leaves(w) if leaf.shape == (2,)],
        {"a": True, "b": False},
        {"a": True, "b": [False, False]},
    ],
)
def test_what_is_held_stays(where):
    result = minimize(bowl, START, quiet(40, learning_rate=0.3), where=where)
    np.testing.assert_allclose(result.w["a"], 3.0, rtol=1e-6)
    assert result.w["b"] == START["b"]


def test_the_choice_may_be_a_pytree_of_the_models_kind():
    model = eqx.nn.Linear(2, 1, key=jax.random.key(0))
    held = eqx.tree_at(lambda m: m.bias, jax.tree.map(lambda _: False, model), True)
    data = Dataset(np.ones((3, 2)), np.ones((3, 1)))
    params = quiet(60, learning_rate=0.3, loss=Quadratic(), regularization=L2Reg(0.0))
    result = train(model, data, params, where=held)
    np.testing.assert_array_equal(result.w.weight, model.weight)
    np.testing.assert_allclose(result.w(data.x[0]), 1.0, rtol=1e-6)
    with pytest.raises(ValueError, match="`where` must be a pytree of truth values of the structure of `model`"):
        train(model, data, params, where={"weight": True})


def test_penalties_do_not_touch_what_is_held():
    model = eqx.nn.Linear(2, 1, key=jax.random.key(0))
    data = Dataset(np.zeros((3, 2)), np.zeros((3, 1)))
    run = lambda where: train(model, data, quiet(1, learning_rate=0.1, regularization=L2Reg(1.0)), where=where)
    result = run(lambda m: m.bias)
    np.testing.assert_array_equal(result.w.weight, model.weight)
    (bias,) = np.asarray(result.w.bias)
    np.testing.assert_allclose(result.loss, bias**2 + abs(bias), rtol=1e-9)


@pytest.mark.slow
def test_what_is_held_is_differentiated_like_any_constant():
    def least(at, adjoint=None):
        start = {"a": START["a"], "b": [at, START["b"][1]]}
        params = quiet(60, learning_rate=0.3, adjoint=adjoint, return_best=False)
        return jnp.sum(minimize(bowl, start, params, where=lambda w: w["a"]).w["a"] ** 2)

    np.testing.assert_allclose(jax.jit(jax.grad(least))(3.0), 12.0, rtol=1e-6)  # a is b[0] at the end, twice
    np.testing.assert_allclose(jax.jit(jax.grad(partial(least, adjoint=Implicit())))(3.0), 12.0, rtol=1e-6)
    few = lambda b: minimize(bowl, {**START, "b": b}, quiet(2, learning_rate=0.1), where=lambda w: w["a"]).loss
    assert_derivatives_match(few, START["b"], num_directions=1)


def test_a_method_that_counts_weights_sees_those_that_move():
    result = minimize(bowl, START, quiet(3, method=CG()), where=lambda w: w["a"])
    np.testing.assert_allclose(result.w["a"], 3.0, rtol=1e-6)
    again = minimize(bowl, START, quiet(3, method=CG()), where=lambda w: w["a"], state=result.state)
    np.testing.assert_allclose(again.w["a"], 3.0, rtol=1e-6)
    assert again.w["b"] == START["b"]


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        (
            lambda w: w["c"],
            ValueError,
            r"that are there, whole arrays or what holds them, got KeyError\('c'\)",
        ),
        (lambda w: w["b"][2], ValueError, "`where` must give parts of `w0` that are there"),
        (lambda w: w["a"] * 2, ValueError, "`where` must give parts of `w0` that are there"),
        (lambda w: jnp.zeros(2), ValueError, "`where` must give parts of `w0` and nothing else, got Array"),
        ({"a": False, "b": False}, ValueError, "`where` must choose at least one leaf of floats of `w0`"),
        ({"a": True}, ValueError, "`where` must be a pytree of truth values"),
        ("a", TypeError, "`where` must be a function from `w0` to the parts that are changed"),
    ],
)
def test_what_is_refused(where, error, message):
    with pytest.raises(error, match=message):
        minimize(bowl, START, quiet(1), where=where)


def test_without_the_final_loss():
    """It is the same run, whose end is not evaluated: neither is the loss, nor does it say that it diverged."""
    calls = []

    def watched(w):
        jax.debug.callback(lambda x: calls.append(float(x)), w["b"][0])
        return bowl(w)

    params = partial(quiet, 3, learning_rate=0.1, return_best=False)
    plain, without = minimize(bowl, START, params()), minimize(bowl, START, params(evaluate=False))
    np.testing.assert_array_equal(without.w["a"], plain.w["a"])
    assert np.isnan(without.loss)
    assert bool(without.status == plain.status)
    minimize(watched, START, params(evaluate=False))
    jax.effects_barrier()
    assert len(calls) == 3
    with pytest.raises(ValueError, match="`return_best` must be False with evaluate=False"):
        Params(evaluate=False)
