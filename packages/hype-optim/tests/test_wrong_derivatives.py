"""`check_hypergradient` finds the wrong derivatives that field trials have met, made again, and says where they are."""

import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import optax
import pytest
from hype_ad import fixed_point
from hype_optim import (
    Dataset,
    Implicit,
    L1Reg,
    Optax,
    Params,
    Quadratic,
    Truncated,
    check_hypergradient,
    minimize,
    train,
)

from .problems import valley

STATIONARY = "must have converged: look at `Result.stationarity`"
CUT = "cuts its derivative off"
RULE = "custom derivative rule is wrong"
NAN = "square root, norm, logarithm or quotient at zero"
PARAMS = Params(6, learning_rate=0.1, return_best=False, silent=True)


def implicit(**changes):
    return replace(PARAMS, adjoint=Implicit(tolerance=None), **changes)


def projected(inputs):
    """Gradient descent whose caller projects the weights; the bound holds the second of them."""
    params, target = inputs
    return jnp.sum(minimize(lambda w: jnp.sum(w**2) + w[0] * w[1] - target @ w, jnp.ones(2), params).w ** 2)


KEPT = optax.chain(optax.sgd(0.1), optax.keep_params_nonnegative())


def lasso(params):
    """The kink of the penalty holds the only weight."""
    data = Dataset(jnp.array([[1.0], [-1.0]]), jnp.array([0.1, -0.2]))
    return train(jax.tree_util.Partial(lambda w, x: w @ x, jnp.array([0.2])), data, params).loss


@jax.custom_jvp
def power(x, y):
    return x**y


@power.defjvp
def _(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    slope = jnp.where(y == 0, 0, y * x ** jnp.where(y == 0, 1, y - 1))
    return power(x, y), slope * dx + jnp.log(x) * power(x, y) * dy


def safe_norm(x):
    square = jnp.sum(x**2)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def zero_gradient(params):
    return minimize(lambda w: w[0] ** 2, jnp.array([1.0, 0.0]), params).w @ jnp.array([1.0, 2.0])


def logistic_map(b):
    """An iteration that does not converge, and the theorem of implicit functions where it ended."""
    g = lambda a, b: b * a * (1 - a)
    a = jax.lax.fori_loop(0, 30, lambda _, a: g(a, 3.9), jnp.array(0.3))
    root = lambda b: jax.lax.custom_root(
        lambda a: g(a, b) - a, a, lambda _, start: start, lambda slope, right: right / slope(jnp.ones(()))
    )
    return root(b) + 0 * g(a, b)


def padded(weight):
    x = jnp.array([1.0, 2.0, jnp.nan])
    return jnp.sum(jnp.where(jnp.isnan(x), 0, jnp.tanh(weight * x)))


def searched(inputs):
    """A step whose length is found without a derivative."""
    rate, target = inputs
    w = jnp.array(0.0)
    gradient = jax.grad(lambda w: (w - target) ** 2)(w)
    w = w - jax.lax.stop_gradient(rate / (1 + gradient**2)) * gradient
    return (w - 2) ** 2


# Of each the function, its argument, where the fault is, what it is, and what is said of it.
FAULTS = {
    "projected by hand under Implicit": (
        projected,
        (implicit(method=Optax(lambda: KEPT), learning_rate=None, epochs=100), jnp.array([1.0, -1.0])),
        "[1]",
        "wrong",
        STATIONARY,
    ),
    "L1Reg under Implicit": (
        lasso,
        implicit(loss=Quadratic(), regularization=L1Reg(0.3), epochs=40),
        ".regularization.coefficient",
        "wrong",
        STATIONARY,
    ),
    "an exponent of zero": (lambda p: jax.grad(power)(2.0, p["y"]), {"y": 0.0}, "['y']", "wrong", CUT),
    "the square of a norm at zero": (
        lambda p: jnp.sum(jax.grad(lambda x: safe_norm(x) ** 2)(p["x"]) * jnp.array([1.0, 3.0])),
        {"x": jnp.zeros(2)},
        "['x']",
        "wrong",
        CUT,
    ),
    "too few steps": (
        lambda params: minimize(valley, jnp.array([-0.4, 0.8]), params).loss,
        replace(PARAMS, learning_rate=0.03, adjoint=Truncated(2)),
        ".learning_rate.rate",
        "wrong",
        "what comes of earlier steps is missing",
    ),
    "Optax's Adam at a gradient of zero": (
        zero_gradient,
        Params(3, method=Optax(optax.adam, {"learning_rate": 0.1}), return_best=False, silent=True),
        ".method.hyperparameters['learning_rate']",
        "not finite",
        NAN,
    ),
    "a length that stop_gradient holds": (searched, (0.3, 1.5), "[0]", "wrong", CUT),
    "a part that stop_gradient holds": (searched, (0.3, 1.5), "[1]", "wrong", RULE),
    "an iteration that does not converge": (logistic_map, 3.9, "params", "wrong", "stop_gradient"),
    "a fixed point that is none": (
        lambda b: fixed_point(lambda a, b: b * a * (1 - a), jnp.array(0.3), b, max_steps=30).value,
        3.9,
        "params",
        "not finite",
        "a failed linear solve",
    ),
    "NaN under a mask": (padded, 0.5, "params", "not finite", NAN),
    "a square root at zero": (
        lambda p: jnp.sqrt(p["a"] * 0) + p["b"],
        {"a": 1.0, "b": 2.0},
        "['a']",
        "not finite",
        NAN,
    ),
}


# Others of the list have the same cause.
ALIKE = {
    *("L1Reg under Implicit", "a length that stop_gradient holds", "a fixed point that is none", "NaN under a mask"),
    *("the square of a norm at zero", "too few steps", "a square root at zero"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in ALIKE else ()) for name in FAULTS]
)
def test_the_fault_is_found_where_it_is(name):
    f, params, path, verdict, note = FAULTS[name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The Optax transformation of")
        check = check_hypergradient(f, params)
    assert not check.ok
    (row,) = (row for row in check.rows if row.path == path)
    assert row.verdict == verdict
    assert note in row.note
    assert f"{path}: {row.note}" in str(check)
