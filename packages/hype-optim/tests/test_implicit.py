"""Derivatives by the implicit function theorem are those of the minimum, and what has none there raises."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    Checkpointed,
    Constant,
    CrossEntropyOnLinear,
    Dataset,
    Early,
    Implicit,
    L1Reg,
    L2Reg,
    Minibatch,
    Momentum,
    Neumann,
    NormClip,
    Params,
    Quadratic,
    Status,
    minimize,
    positive,
    train,
)

from .problems import classes

quiet = partial(Params, silent=True)
# The last point, since near a minimum losses do not tell points apart that differ in half of their digits.
sure = quiet(80, learning_rate=Constant(0.2), adjoint=Implicit(), return_best=False)
SOLVERS = {
    "cg": None,
    "normal cg": lx.Normal(lx.CG(1e-9, 1e-9)),
    "gmres": lx.GMRES(1e-9, 1e-9),
    "lu": lx.LU(),
    "cholesky": lx.Cholesky(),
    "auto": lx.AutoLinearSolver(well_posed=None),
    "neumann": Neumann(250, 0.2),
}


def bowl(c, w):
    """A convex function that is no quadratic, of weights of several shapes."""
    return jnp.sum((w["a"] - c) ** 2) + jnp.sum(jnp.cosh(w["a"])) + w["b"] ** 2 * jnp.exp(c[0]) - w["b"] * w["a"][1]


START = {"a": np.zeros(2), "b": np.array(0.5)}
C = np.array([0.3, -0.7])


def outcome(c, params):
    result = minimize(jax.tree_util.Partial(bowl, c), START, params)
    return result.w, result.loss


def test_derivatives_of_a_minimum():
    tight = replace(sure, adjoint=Implicit(lx.CG(1e-12, 1e-12)))
    assert_derivatives_match(lambda c: outcome(c, tight), C, order=2, mode_rtol=1e-8, num_directions=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [("normal cg", "neumann"), pytest.param(("cg", "lu", "gmres", "cholesky", "auto"), marks=pytest.mark.slow)],
    ids=" ".join,
)
def test_all_solvers_agree(names):
    slopes = lambda adjoint: jax.jacrev(outcome)(C, replace(sure, adjoint=adjoint))
    exact, *others = jax.jit(lambda: [slopes(Checkpointed()), *(slopes(Implicit(SOLVERS[name])) for name in names)])()
    for other in others:
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-8), other, exact)


@pytest.mark.slow
def test_closed_over_values_are_seen():
    # The minimum of (w - b)^2 + a w is at b - a / 2.
    found = lambda a, b: minimize(lambda w: (w - b) ** 2 + a * w, jnp.array(0.0), sure).w
    forward, reverse = jax.jacfwd(found, argnums=(0, 1)), jax.vmap(jax.grad(found), in_axes=(0, None))
    both, slopes = jax.jit(lambda a, b: (forward(a[0] + 0.5, b), reverse(a, b)))(jnp.arange(3.0), 2.0)
    np.testing.assert_allclose(both, (-0.5, 1.0), rtol=1e-8)
    np.testing.assert_allclose(slopes, jnp.full(3, -0.5), rtol=1e-8)


def test_ridge_regression_in_its_coefficient_and_its_data():
    draw = np.random.default_rng(0).normal
    x, y, model = draw(size=(12, 3)), draw(size=12), jax.tree_util.Partial(jnp.dot, np.zeros(3))
    params = replace(sure, epochs=300, loss=Quadratic())

    def trained(coefficient, x, y):
        p = replace(params, regularization=L2Reg(positive(coefficient)))
        return train(model, Dataset(x, y), p).w.args[0]

    def closed_form(coefficient, x, y):
        return jnp.linalg.solve(x.T @ x / 12 + coefficient * jnp.eye(3), x.T @ y / 12)

    weighted = lambda f: lambda *inputs: jnp.sum(np.array([1.0, -2.0, 3.0]) * f(*inputs))
    gradient = lambda f: jax.jit(jax.grad(weighted(f), argnums=(0, 1, 2)))(0.3, x, y)
    ours, exact = gradient(trained), gradient(closed_form)
    for one, other in zip(ours, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_a_run_on_minibatches_has_the_derivative_of_the_whole_objective():
    data, model = classes(12), jax.tree_util.Partial(jnp.matmul, jnp.zeros((2, 3)))
    params = quiet(loss=CrossEntropyOnLinear(), adjoint=Implicit(lx.LU()))
    whole = replace(params, learning_rate=Constant(0.5), epochs=300)
    parts = replace(params, batch=Minibatch(4), epochs=1500, learning_rate=Constant(1e-2))
    parts = replace(parts, adjoint=Implicit(lx.LU(), tolerance=0.05))
    at = lambda params: lambda c: train(model, data, replace(params, regularization=L2Reg(c))).w.args[0]
    fine, coarse = (jax.jit(jax.jacfwd(at(p)))(0.1) for p in (whole, parts))
    np.testing.assert_allclose(coarse, fine, rtol=0.05, atol=1e-3)


@pytest.mark.slow
def test_the_losses_have_their_whole_derivatives():
    data, valid = classes(12), classes(9)
    model = jax.tree_util.Partial(jnp.matmul, jnp.zeros((2, 3)))
    params = replace(sure, epochs=300, learning_rate=Constant(0.5), loss=CrossEntropyOnLinear())

    def losses(inputs):
        coefficient, x, x_valid = inputs
        p = replace(params, regularization=L2Reg(coefficient))
        result = train(model, Dataset(x, data.y), p, valid=Dataset(x_valid, valid.y))
        return result.loss, result.valid_loss

    assert_derivatives_match(losses, (0.1, data.x, valid.x), mode_rtol=1e-7, num_directions=1)


unseeing = partial(quiet, 3, adjoint=Implicit())
UNSEEN = {
    r"`params\.learning_rate\.rate`": lambda x: (START, unseeing(learning_rate=x)),
    r"`params\.momentum\.decay`": lambda x: (START, unseeing(momentum=Momentum(x))),
    r"`params\.gradient_clipping\.threshold`": lambda x: (START, unseeing(gradient_clipping=NormClip(x))),
    r"where a run starts \(`w0`": lambda x: ({"a": jnp.full(2, x), "b": jnp.array(0.0)}, sure),
}


@pytest.mark.parametrize(
    "message",
    [pytest.param(message, marks=pytest.mark.slow if i else ()) for i, message in enumerate(UNSEEN)],
)
def test_what_the_minimum_does_not_depend_on_raises(message):
    end = lambda x: minimize(jax.tree_util.Partial(bowl, C), *UNSEEN[message](x)).loss
    assert np.isfinite(end(0.1))
    each = lambda derivative: lambda x: jax.vmap(derivative)(np.stack([x, x]))
    forward = lambda x: jax.jvp(end, (x,), (np.ones(()),))
    for derivative in (jax.grad(end), forward, jax.jit(jax.grad(end)), each(jax.grad(end))):
        with pytest.raises(ValueError, match="`Implicit` has no derivative with respect to.*" + message):
            derivative(np.array(0.1))


@pytest.mark.slow
def test_a_state_and_histories_have_no_derivative():
    run = lambda b, state=None: minimize(lambda w: (w - b) ** 2, jnp.array(0.0), sure, state=state)
    after_another = lambda b: run(b, run(b).state).w  # does not raise: what reaches the second run is constant
    histories = lambda b: jnp.sum(run(b).loss_history) + run(b).state.w
    slopes = jax.jit(lambda b: (jax.grad(after_another)(b), jax.grad(histories)(b)))(2.0)
    np.testing.assert_allclose(slopes[0], 1, rtol=1e-8)
    assert slopes[1] == 0
    state = run(2.0).state
    moved = lambda w: run(2.0, replace_weights(state, w)).w
    with pytest.raises(ValueError, match=r"`state\.w`"):
        jax.grad(moved)(jnp.array(0.1))


def replace_weights(state, w):
    return eqx.tree_at(lambda s: s.w, state, w)


def test_it_says_how_nearly_stationary_the_point_is():
    h = np.array([1.0, 4.0])
    f = lambda w: 0.5 * jnp.sum(h * (w - 1) ** 2)
    rough = quiet(3, learning_rate=Constant(0.1), adjoint=Implicit(), return_best=False)
    result = minimize(f, np.zeros(2), rough)
    gradient = -h * (1 - 0.1 * h) ** 3
    np.testing.assert_allclose(result.stationarity.gradient_norm, np.linalg.norm(gradient), rtol=1e-12)
    np.testing.assert_allclose(result.stationarity.distance, np.linalg.norm(gradient / h), rtol=1e-7)
    assert result.stationarity.residual < 1e-7
    assert minimize(f, np.zeros(2), replace(rough, adjoint=Implicit(Neumann(2, 0.2)))).stationarity.residual > 0.1
    exact = minimize(f, np.ones(2), rough).stationarity
    assert exact.gradient_norm == exact.distance == exact.residual == 0
    assert minimize(f, np.zeros(2), quiet(3)).stationarity is None


@pytest.mark.slow
def test_a_linear_solve_that_fails_gives_nan():
    wide = jnp.geomspace(1e-3, 1e3, 8)
    f = lambda b, w: jnp.sum(wide * (w - b) ** 2) + jnp.sum(w[1:] * w[:-1]) * 1e-3
    params = lambda solver: quiet(1, learning_rate=Constant(1e-4), adjoint=Implicit(solver, None))
    end = lambda solver: lambda b: jnp.sum(minimize(jax.tree_util.Partial(f, b), jnp.zeros(8), params(solver)).w)
    hurried = end(lx.CG(1e-8, 1e-8, max_steps=2))
    good, *bad = jax.jit(lambda b: [jax.grad(end(lx.LU()))(b), jax.grad(hurried)(b), jax.jacfwd(hurried)(b)])(1.0)
    assert np.isfinite(good)
    assert np.all(np.isnan(bad))
    flat = lambda b: minimize(lambda w: (w[0] - b) ** 2, jnp.zeros(2), params(lx.LU())).w[0]
    assert np.isnan(jax.jit(jax.grad(flat))(1.0))


def test_a_saddle_needs_a_solver_that_does_not_mind():
    saddle = lambda b, w: (w[0] - b) ** 2 - (w[1] - 2 * b) ** 2
    there, params = jnp.array([1.0, 2.0]), replace(sure, adjoint=Implicit(lx.LU()))
    end = lambda b: minimize(jax.tree_util.Partial(saddle, b), there, params).w
    np.testing.assert_allclose(jax.jit(jax.jacrev(end))(1.0), [1, 2], rtol=1e-12)


def test_weights_of_several_dtypes():
    start = {"a": jnp.zeros(2, jnp.float32), "b": jnp.array(0.5, jnp.float64)}

    def f(c, w):
        return jnp.sum((w["a"].astype(float) - c) ** 2) + (w["b"] - c) ** 2

    found = lambda c: minimize(jax.tree_util.Partial(f, c), start, sure).w
    slope = jax.jit(lambda c: jax.jvp(found, (c,), (1.0,))[1])(1.0)
    assert (slope["a"].dtype, slope["b"].dtype) == (jnp.float32, jnp.float64)
    np.testing.assert_allclose(slope["a"], 1, rtol=1e-6)
    np.testing.assert_allclose(slope["b"], 1, rtol=1e-6)


def test_single_precision():
    single = lambda c: minimize(lambda w: jnp.sum((w - c) ** 2), jnp.zeros(2, jnp.float32), sure).w
    np.testing.assert_allclose(jax.jit(jax.jacfwd(single))(jnp.float32(3.0)), 1, rtol=1e-5)


def test_a_run_that_stops_early_has_the_derivative_where_it_stopped():
    params = quiet(50, learning_rate=Constant(0.4), tolerance=1e-10, early_stopping=Early(40, 40), adjoint=Implicit())
    result = minimize(lambda w: (w - 2) ** 2, jnp.array(0.0), params)
    assert result.status == Status.CONVERGED
    end = lambda b: minimize(lambda w: (w - b) ** 2, jnp.array(0.0), params).w
    np.testing.assert_allclose(jax.jit(jax.grad(end))(2.0), 1, rtol=1e-9)


@pytest.mark.slow
def test_a_minimize_within_a_minimize():
    # min over x of (x - 2)^2 + min over y of (y - x)^2 + y^2: y = x / 2, so x = 4/3 and the value is 4/3.
    best_y = lambda x: minimize(lambda y: (y - x) ** 2 + y**2, jnp.array(0.0), sure).loss
    result = minimize(lambda x: (x - 2) ** 2 + best_y(x), jnp.array(0.0), quiet(60, learning_rate=Constant(0.2)))
    np.testing.assert_allclose((result.w, result.loss), 4 / 3, rtol=1e-8)


def test_solvers_are_checked():
    with pytest.raises(TypeError, match="linear_solver"):
        Implicit("cg")
    with pytest.raises(TypeError, match="must hold Python numbers, not arrays"):
        Implicit(lx.CG(jnp.array(1e-6), 1e-6))
    with pytest.raises(ValueError, match="`terms` must be at least 1, got 0"):
        Neumann(0, 0.1)
    with pytest.raises(TypeError, match="terms"):
        Neumann(1.5, 0.1)
    with pytest.raises(ValueError, match=r"`step` must be above 0, got 0\.0"):
        Neumann(3, 0.0)
    with pytest.raises(TypeError, match="step"):
        Neumann(3, jnp.array(0.1))


@pytest.mark.slow
def test_a_point_that_is_not_stationary_has_no_derivative():
    x, y = jax.random.normal(jax.random.key(0), (20, 4)), jax.random.normal(jax.random.key(1), (20,))
    model = jax.tree_util.Partial(jnp.dot, jnp.zeros(4))
    boxed = optax.chain(optax.sgd(0.2), optax.keep_params_nonnegative())
    loss = Quadratic()
    cases = {
        "a kink": quiet(400, learning_rate=0.1, loss=loss, regularization=L1Reg(0.3)),
        "a box": quiet(400, method=boxed, loss=loss),
        "not done": quiet(2, learning_rate=0.01, loss=loss),
    }

    def slopes(factor):
        end = lambda y, params: train(model, Dataset(x, factor * y), params).w.args[0]
        forward = lambda params: jax.jvp(lambda y: end(y, params), (y,), (y,))[1]
        reverse = lambda params: jax.grad(lambda y: jnp.sum(end(y, params)))(y)
        both = lambda params: (forward(params), reverse(params))
        checked = [replace(p, adjoint=Implicit(), return_best=False) for p in cases.values()]
        last = replace(checked[-1], adjoint=Implicit(tolerance=None))
        return [*map(both, checked), both(last)]

    def run():
        results = jax.jit(slopes)(1.0)
        jax.effects_barrier()
        return results

    with pytest.warns(UserWarning, match="the gradient has length .* more than `Implicit`'s `tolerance`"):
        *held, unchecked = run()
    assert all(np.all(np.isnan(leaf)) for leaf in jax.tree.leaves(held))
    assert all(np.all(np.isfinite(leaf)) for leaf in unchecked)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_run_that_has_converged_is_accepted_whatever_its_units(dtype):
    h = jnp.geomspace(0.1, 1, 5, dtype=dtype)
    f = lambda scale, c, w: jnp.sum(h * (w - c) ** 2) + jnp.sum(scale**2 * jnp.cosh((w - c) / scale))
    params = quiet(150, learning_rate=Constant(0.3), adjoint=Implicit())
    for scale in (1e-6, 1.0, 1e6):
        goal = jnp.asarray(scale * np.array([0.0, 1.0, -2.0, 0.5, 3.0]), dtype)
        for start in (jnp.zeros(5, dtype), goal):
            result = minimize(jax.tree_util.Partial(f, jnp.asarray(scale, dtype), goal), start, params)
            assert result.stationarity.accepted, (scale, start)
