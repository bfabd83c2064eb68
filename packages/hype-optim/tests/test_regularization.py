"""Penalties and the parts of the weights that they apply to."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV
from hype_ad.testing import assert_derivatives_match
from hype_optim import CrossEntropyOnLinear, L1Reg, L2Reg, Params, positive, train

from .problems import classes, network

ARRAYS = {"weight": np.array([[1.0, -2.0], [0.5, 0.0]]), "bias": np.array([3.0, -1.0])}
MODEL = network()
L1, L2 = (lambda x: np.sum(np.abs(x))), (lambda x: np.sum(np.square(x)))


def weights(w):
    return w["weight"]


def both(w):
    return [w["weight"], w["bias"]]


def matrices(model):
    return [model.hidden, model.out]


def tail(w):
    return w[2:]


CASES = {
    "all of a dict": (0.5, None, ARRAYS, lambda of: 0.5 * (of(ARRAYS["weight"]) + of(ARRAYS["bias"]))),
    "one leaf of a dict": (0.5, weights, ARRAYS, lambda of: 0.5 * of(ARRAYS["weight"])),
    "a coefficient for each": (
        [0.5, 2.0],
        both,
        ARRAYS,
        lambda of: 0.5 * of(ARRAYS["weight"]) + 2 * of(ARRAYS["bias"]),
    ),
    "an Equinox model": (0.5, matrices, MODEL, lambda of: 0.5 * (of(MODEL.hidden) + of(MODEL.out))),
    "a part of a DV": (0.5, tail, DV([1.0, 2.0, 3.0, -4.0]), lambda of: 0.5 * of([3.0, -4.0])),
    "a coefficient for each number": (
        np.array([0.5, 2.0]),
        lambda w: w["bias"],
        ARRAYS,
        lambda of: 0.5 * of(ARRAYS["bias"][0]) + 2 * of(ARRAYS["bias"][1]),
    ),
}


@pytest.mark.parametrize(("regularization", "of"), [(L1Reg, L1), (L2Reg, L2)], ids=["L1", "L2"])
@pytest.mark.parametrize("name", CASES)
def test_what_it_applies_to(name, regularization, of):
    coefficient, where, w, expected = CASES[name]
    np.testing.assert_allclose(eqx.filter_jit(regularization(coefficient, where))(w), expected(of), rtol=1e-12)


@pytest.mark.parametrize("regularization", [L1Reg, L2Reg])
def test_derivatives(regularization):
    away = jax.tree.map(lambda leaf: leaf + 0.1, ARRAYS)  # from zero, where the absolute value has none
    run = lambda inputs: regularization(inputs[0], both)(inputs[1])
    assert_derivatives_match(run, ([0.5, 2.0], away), num_directions=1)
    gradient = jax.device_get(jax.jit(jax.grad(lambda w: regularization(0.5, weights)(w)))(ARRAYS))
    np.testing.assert_array_equal(gradient["bias"], 0)
    assert gradient["weight"][1, 1] == 0


def test_a_training_leaves_the_biases_alone():
    params = lambda reg: Params(4, learning_rate=0.2, loss=CrossEntropyOnLinear(), regularization=reg, silent=True)
    penalized = train(MODEL, classes(), params(L2Reg(positive(0.1), where=matrices)))
    explicit = train(MODEL, classes(), params(L2Reg(eqx.tree_at(lambda m: m.bias, COEFFICIENTS, jnp.zeros(4)))))
    np.testing.assert_allclose(penalized.loss, explicit.loss, rtol=1e-12)
    np.testing.assert_allclose(penalized.w.bias, explicit.w.bias, rtol=1e-12)


COEFFICIENTS = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1), MODEL)


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (L2Reg(0.1, where=lambda w: []), "`where` of the regularization must give at least one leaf of floats"),
        (L1Reg([0.1, 0.1, 0.1], where=both), "`coefficient` must be one number or a prefix of the weights' structure"),
        (L2Reg(np.ones(7)), r"`coefficient` must broadcast to the weights that it is for, got shape \(7,\)"),
    ],
)
def test_parts_that_do_not_fit(penalty, message):
    with pytest.raises(ValueError, match=message):
        penalty(ARRAYS)
