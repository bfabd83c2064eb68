"""The check passes right hypergradients and finds what is wrong with the others."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import (
    Constant,
    Implicit,
    Momentum,
    NoReg,
    Params,
    StepSchedule,
    check_hypergradient,
    minimize,
    positive,
)

from .problems import valley

START = np.array([-0.4, 0.8])
PARAMS = Params(4, learning_rate=Constant(positive(0.03)), momentum=Momentum(0.7), regularization=NoReg(), silent=True)
RATE, DECAY, THRESHOLD = ".learning_rate.rate.raw", ".momentum.decay", ".improvement_threshold"
loss = lambda params: minimize(valley, START, params).loss


def verdicts(check):
    return {row.path: row.verdict for row in check.rows}


def test_a_right_hypergradient_passes():
    check = check_hypergradient(loss, PARAMS)
    assert check.ok
    assert verdicts(check) == {RATE: "ok", DECAY: "ok", THRESHOLD: "no influence"}
    assert check.without_influence == (THRESHOLD,)
    assert check.value == pytest.approx(float(loss(PARAMS)), rel=1e-14)
    gradient = jax.grad(loss)(PARAMS)
    row = check.rows[0]
    for found in (row.reverse, row.forward, row.difference):
        np.testing.assert_allclose(found, gradient.learning_rate.rate.raw, rtol=1e-5)
    printed = str(check)
    assert "All derivatives are right." in printed
    assert "computed in float64" in printed
    assert [line.split()[0] for line in printed.splitlines()[2:5]] == [RATE, DECAY, THRESHOLD]


def test_a_hyperparameter_that_matters_little_is_not_one_without_influence():
    rates = StepSchedule(jnp.array([0.03, 0.0]))
    check = check_hypergradient(
        lambda p: minimize(lambda w: w**2, jnp.array(0.0), p).loss, replace(PARAMS, learning_rate=rates)
    )
    assert verdicts(check) == {".learning_rate.rates": "ok", DECAY: "ok", THRESHOLD: "no influence"}
    assert check.rows[0].reverse == check.rows[0].forward == 0


@jax.custom_jvp
def twice(x):
    return 2 * x


@twice.defjvp
def _(primals, tangents):
    return twice(*primals), 3 * tangents[0]


jump = lambda x: x + jnp.where(x > 0.7, 1e-3, 0.0)
WRONG = {
    "cut off": (lambda x: jax.lax.stop_gradient(x) ** 2, "wrong", "cuts its derivative off"),
    "cut in part": (lambda x: x * jax.lax.stop_gradient(x), "wrong", "custom derivative rule is wrong"),
    "custom rule": (lambda x: twice(x), "wrong", "custom derivative rule is wrong"),
    "nan": (lambda x: x + jnp.sqrt(0 * x), "not finite", "square root"),
    "jumps": (jump, "undecided", "f jumps"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found_where_it_is(name):
    broken, verdict, note = WRONG[name]
    check = check_hypergradient(lambda p: broken(p["a"]) + jnp.sin(p["b"]), {"a": 0.7, "b": 0.3, "c": 1.0})
    assert not check.ok
    assert verdicts(check) == {
        "['a']": verdict,
        "['b']": "ok",
        "['c']": "no influence",
    }
    assert note in str(check)
    assert "of 3 derivatives failed" in str(check)


def test_modes_that_differ_are_found():
    @jax.custom_vjp
    def g(x):
        return x**2

    g.defvjp(lambda x: (x**2, x), lambda x, ct: (2.01 * x * ct,))
    with pytest.raises(TypeError, match="forward-mode"):
        check_hypergradient(g, 0.3)
    solve = lambda x: jax.lax.custom_linear_solve(lambda y: y * 3, x, lambda _, b: b / 3, lambda _, b: b / 4)
    (row,) = check_hypergradient(lambda x: solve(x) ** 2, 0.3).rows
    assert (row.path, row.verdict) == ("params", "modes differ")


@pytest.mark.slow
def test_an_inner_problem_that_has_not_converged():
    outer = lambda p, scale: minimize(lambda w: jnp.sum((w - scale) ** 2 * jnp.array([1.0, 3.0])), START, p)
    f = lambda inputs: jnp.sum(outer(*inputs).w ** 2)
    params = Params(3, learning_rate=0.1, adjoint=Implicit(), silent=True, return_best=False)
    rough = check_hypergradient(f, (replace(params, adjoint=Implicit(tolerance=None)), 0.5))
    assert verdicts(rough)["[1]"] == "wrong"
    assert "must have converged: look at `Result.stationarity`" in str(rough)
    fine = check_hypergradient(f, (replace(params, epochs=200), 0.5))
    assert fine.ok
    assert verdicts(fine)["[0].learning_rate.rate"] == "unseen"
    assert verdicts(fine)["[1]"] == "ok"


@pytest.mark.slow
def test_without_64_bit_mode():
    with jax.enable_x64(False):
        params = Params(4, learning_rate=0.03, momentum=Momentum(0.7), regularization=NoReg(), silent=True)
        start = jnp.array([-0.4, 0.8])
        assert start.dtype == jnp.float32
        closed = check_hypergradient(lambda p: minimize(valley, start, p).loss, params)
        end = jax.tree_util.Partial(lambda start, p: minimize(valley, start, p).loss, start)
        given = check_hypergradient(end, params)
        assert (closed.ok, closed.dtype) == (True, "float32")
        assert (given.ok, given.dtype) == (True, "float64")
        assert jnp.ones(1).dtype == jnp.float32  # as it was


def test_what_cannot_be_checked_raises():
    with pytest.raises(TypeError, match="f"):
        check_hypergradient(0.5, lambda p: p)
    with pytest.raises(TypeError, match="`params` must have at least one float leaf"):
        check_hypergradient(lambda p: 1.0, {"steps": 3})
    with pytest.raises(TypeError, match="`f` must return a real scalar, got shape"):
        check_hypergradient(lambda p: p * jnp.ones(2), 0.5)
