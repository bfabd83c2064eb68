"""Projected and proximal steps: against SciPy's constrained solvers and scikit-learn, and in their derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hype_ad import DM, DV
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    CG,
    GD,
    Backtrack,
    Box,
    Checkpointed,
    Dataset,
    Decay,
    HypergradientDescent,
    Implicit,
    L1Ball,
    L2Ball,
    Momentum,
    Nesterov,
    NonNegative,
    NoReg,
    Params,
    Projection,
    Proximal,
    Quadratic,
    RMSProp,
    Simplex,
    SoftThreshold,
    Status,
    StrongWolfe,
    minimize,
    train,
)
from jax.tree_util import Partial

RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(8, 5)), 2 * RANDOM.normal(size=8)


def misfit(b, w):
    return jnp.mean((A @ w - b) ** 2)


def run(constraint, b=B, **settings):
    """A fit that is followed until the projected step vanishes."""
    params = dict(epochs=2000, method=GD(), learning_rate=0.1, tolerance=1e-9, return_best=False, silent=True)
    return minimize(Partial(misfit, b), np.full(5, 0.3), Params(**params | settings, constraint=constraint))


def scipy_minimum(**settings):
    found = scipy.optimize.minimize(
        lambda w: np.mean((A @ w - B) ** 2), np.full(5, 0.1), tol=1e-14, **settings, options={"maxiter": 2000}
    )
    return found.x


SETS = {
    "box": (Box(-0.3, 0.4), dict(method="L-BFGS-B", bounds=[(-0.3, 0.4)] * 5)),
    "nonnegative": (NonNegative(), dict(method="L-BFGS-B", bounds=[(0, None)] * 5)),
    "simplex": (
        Simplex(1.5),
        dict(bounds=[(0, None)] * 5, constraints={"type": "eq", "fun": lambda w: np.sum(w) - 1.5}, method="SLSQP"),
    ),
    "l2 ball": (L2Ball(0.4), dict(constraints={"type": "ineq", "fun": lambda w: 0.16 - w @ w}, method="SLSQP")),
}


@pytest.mark.parametrize("name", ["box", *(pytest.param(n, marks=pytest.mark.slow) for n in SETS if n != "box")])
def test_finds_the_minimum_in_a_set(name):
    constraint, settings = SETS[name]
    result = run(constraint, momentum=Momentum(0.5))
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.w, scipy_minimum(**settings), atol=2e-6)
    np.testing.assert_allclose(result.loss, misfit(B, result.w))


def test_finds_the_minimum_in_an_l1_ball():
    # Split in two parts above 0, as SciPy has no such set.
    split = scipy.optimize.minimize(
        lambda w: np.mean((A @ (w[:5] - w[5:]) - B) ** 2),
        np.full(10, 0.1),
        method="SLSQP",
        tol=1e-14,
        bounds=[(0, None)] * 10,
        constraints={"type": "ineq", "fun": lambda w: 1.2 - np.sum(w)},
        options={"maxiter": 2000},
    ).x
    result = run(L1Ball(1.2))
    np.testing.assert_allclose(result.w, split[:5] - split[5:], atol=2e-6)


@pytest.mark.slow
def test_soft_thresholding_is_scikit_learns_lasso():
    from sklearn.linear_model import Lasso

    x, y = RANDOM.normal(size=(40, 8)), RANDOM.normal(size=40)
    lasso = Lasso(alpha=0.1, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y)
    params = Params(
        2000,
        learning_rate=0.2,
        loss=Quadratic(),
        regularization=NoReg(),
        constraint=SoftThreshold(0.2),  # scikit-learn halves the squares
        tolerance=1e-10,
        silent=True,
    )
    result = train(Partial(jnp.dot, np.zeros(8)), Dataset(x, y), params)
    (w,) = map(np.asarray, jax.tree.leaves(result.w))
    assert 0 < np.sum(lasso.coef_ == 0) < 8
    np.testing.assert_array_equal(w == 0, lasso.coef_ == 0)
    np.testing.assert_allclose(w, lasso.coef_, atol=1e-8)
    np.testing.assert_allclose(result.loss, np.mean((x @ w - y) ** 2) + 0.2 * np.sum(np.abs(w)))


def test_a_support_vector_machine_by_its_dual():
    from sklearn.svm import LinearSVC

    x = RANDOM.normal(size=(30, 3))
    sign = np.where(x @ [1.0, -2.0, 0.5] + 0.5 * RANDOM.normal(size=30) > 0, 1.0, -1.0)
    machine = LinearSVC(C=0.7, loss="hinge", fit_intercept=False, tol=1e-10, max_iter=1_000_000, dual=True)
    machine.fit(x, sign)
    rows = sign[:, None] * x
    dual = lambda a: jnp.sum((a @ rows) ** 2) / 2 - jnp.sum(a)
    params = Params(20_000, learning_rate=0.01, constraint=Box(0.0, 0.7), tolerance=1e-8, silent=True)
    np.testing.assert_allclose(np.asarray(minimize(dual, np.zeros(30), params).w) @ rows, machine.coef_[0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-3, pytest.param(1e5, marks=pytest.mark.slow)])
def test_a_search_for_the_length_is_the_default_and_minds_no_units(scale):
    f = lambda b, w: scale * misfit(b, w)
    for constraint, settings in (SETS["box"], SETS["simplex"]):
        params = Params(2000, constraint=constraint, tolerance=1e-8 * scale, silent=True)
        result = minimize(Partial(f, B), np.full(5, 0.3), params)
        assert result.status in (Status.CONVERGED, Status.NO_DECREASE)
        np.testing.assert_allclose(result.w, scipy_minimum(**settings), atol=3e-6)
    soft = minimize(Partial(f, B), np.full(5, 0.3), Params(3000, constraint=SoftThreshold(0.5 * scale), silent=True))
    np.testing.assert_allclose(soft.w, run(SoftThreshold(0.5)).w, atol=1e-6)
    np.testing.assert_array_equal(soft.w == 0, run(SoftThreshold(0.5)).w == 0)
    assert soft.status == Status.NO_DECREASE


def test_functions_stand_for_sets_and_penalties():
    box = Projection(lambda w: jnp.clip(w, -0.3, 0.4))
    np.testing.assert_array_equal(run(box).w, run(SETS["box"][0]).w)
    penalty = Proximal(lambda w, length: w / (1 + 2 * 0.3 * length), lambda w: 0.3 * jnp.sum(w**2))
    ridge = np.linalg.solve(A.T @ A / 8 + 0.3 * np.eye(5), A.T @ B / 8)
    result = run(penalty)
    np.testing.assert_allclose(result.w, ridge, atol=1e-7)
    np.testing.assert_allclose(result.loss, misfit(B, ridge) + 0.3 * np.sum(ridge**2))


def test_functions_of_tensors_give_tensors():
    halved = lambda w: {"v": w["v"] / 2, "m": w["m"]}
    w = {"v": DV([1.0, 2.0]), "m": DM([[3.0]])}
    np.testing.assert_array_equal(Projection(halved).proximal(w, jnp.ones(()))["v"].array, [0.5, 1.0])
    for wrong in (lambda w: w["v"], lambda w: {"v": DV([1.0]), "m": w["m"]}):
        with pytest.raises(ValueError, match="`function` of the constraint must give weights like those"):
            Projection(wrong).proximal(w, jnp.ones(()))


MAKERS = {
    "box": lambda t: Box(-t, t),
    "simplex": Simplex,
    "l1 ball": L1Ball,
    "l2 ball": L2Ball,
    "soft threshold": SoftThreshold,
    "projection": lambda t: Projection(Partial(lambda t, w: jnp.clip(w, -t, t), t)),
    "proximal": lambda t: Proximal(Partial(lambda t, w, s: w / (1 + 2 * t * s), t), Partial(lambda t, w: t * w @ w, t)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_derivatives_of_the_operators(name):
    def found(floats):
        size, w, length = floats
        constraint = MAKERS[name](size)
        return constraint.proximal(w, length), constraint.penalty(w)

    w = np.array([0.9, -0.7, 0.1, 0.45, -0.25])
    assert_derivatives_match(found, (0.4, w, 0.7), order=2, num_directions=1)


@pytest.mark.parametrize(
    ("name", "search", "order"),
    [
        ("l1 ball", False, 1),
        pytest.param("soft threshold", True, 1, marks=pytest.mark.slow),
        pytest.param("l1 ball", False, 2, marks=pytest.mark.slow),
        pytest.param("soft threshold", False, 2, marks=pytest.mark.slow),
        pytest.param("l1 ball", True, 2, marks=pytest.mark.slow),
    ],
)
def test_derivatives_through_the_loop(name, search, order):
    def found(floats):
        size, b, rate, decay = floats
        if search:
            steps = dict(learning_rate=Backtrack(None, shrink=decay))
        else:
            steps = dict(learning_rate=rate, momentum=Momentum(decay))
        settings = dict(epochs=7, tolerance=None, **steps)
        result = run(MAKERS[name](size), b, **settings)
        return result.loss + result.w @ jnp.arange(5.0)

    assert_derivatives_match(found, (0.4, B, 0.1, 0.3), order=order, num_directions=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["soft threshold", *(pytest.param(name, marks=pytest.mark.slow) for name in ("simplex", "projection"))]
)
def test_implicit_derivatives_are_those_of_the_converged_loop(name):
    def found(adjoint, size, b):
        result = run(MAKERS[name](size), b, adjoint=adjoint)
        return result.loss + result.w @ jnp.arange(5.0)

    gradients = [jax.grad(partial(found, adjoint), (0, 1)) for adjoint in (Implicit(), Checkpointed())]
    for one, other in zip(*jax.jit(lambda *at: [gradient(*at) for gradient in gradients])(0.4, B), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_implicit_has_derivatives_in_both_modes(order):
    found = lambda floats: run(L2Ball(floats[0]), floats[1], adjoint=Implicit(), tolerance=1e-12).w @ jnp.arange(5.0)
    assert_derivatives_match(found, (0.4, B), order=order, num_directions=1, rtol=1e-5, mode_rtol=1e-6)


def test_a_part_of_the_weights_and_bounds_for_each():
    f = lambda w: jnp.sum((w["a"] - 2.0) ** 2) + jnp.sum((w["b"] + np.array([1.0, 3.0])) ** 2)
    start = {"a": np.zeros(3), "b": np.zeros(2)}
    go = lambda constraint: minimize(f, start, Params(200, learning_rate=0.1, constraint=constraint, silent=True)).w
    part = go(Simplex(where=lambda w: w["a"]))
    np.testing.assert_allclose(part["a"], 1 / 3)
    np.testing.assert_allclose(part["b"], [-1, -3], atol=1e-6)
    bounds = go(Box({"a": np.array([0.0, 1.0, -np.inf]), "b": -2.0}, {"a": np.array([0.5, 3.0, np.inf]), "b": 0.0}))
    np.testing.assert_allclose(bounds["a"], [0.5, 2, 2], atol=1e-6)
    np.testing.assert_allclose(bounds["b"], [-1, -2], atol=1e-6)
    soft = go(SoftThreshold({"a": np.array(8.0), "b": np.array(1.0)}))
    np.testing.assert_array_equal(soft["a"], 0)
    np.testing.assert_allclose(soft["b"], [-0.5, -2.5], atol=1e-6)


def test_rates_of_their_own_for_entries_find_the_minimum_in_a_box():
    result = run(SETS["box"][0], learning_rate=RMSProp(0.01), epochs=5000, tolerance=1e-3)
    np.testing.assert_allclose(result.w, scipy_minimum(**SETS["box"][1]), atol=1e-2)


def test_all_weights_of_a_run_are_in_the_set_the_first_ones_too():
    result = minimize(
        Partial(misfit, B),
        np.full(5, 3.0),
        Params(20, learning_rate=0.1, constraint=Box(0.1, 0.7), keep_w_history=True, silent=True),
    )
    history = np.asarray(result.w_history)
    assert np.all((history >= 0.1) & (history <= 0.7))
    np.testing.assert_array_equal(history[0], 0.7)


def test_a_run_goes_on_bit_for_bit():
    settings = dict(learning_rate=Decay(0.1, 0.1), momentum=Momentum(0.5), tolerance=None)
    first = run(Simplex(), epochs=5, **settings)
    second = minimize(
        Partial(misfit, B),
        np.full(5, 0.3),
        Params(6, GD(), constraint=Simplex(), return_best=False, silent=True, **settings),
        state=first.state,
    )
    np.testing.assert_allclose(second.w, run(Simplex(), epochs=11, **settings).w, rtol=1e-14)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(constraint="box"), r"`constraint` must be a constraint such as Box\(0., 1.\), got 'box'"),
        (dict(constraint=Box(), method=CG()), r"`method` must be GD\(\) with the constraint Box, got CG"),
        (dict(constraint=Simplex(), learning_rate=RMSProp()), "`learning_rate` must not be RMSProp with Simplex"),
        (
            dict(constraint=SoftThreshold(), learning_rate=RMSProp()),
            r"a schedule or Backtrack\(\) with SoftThreshold",
        ),
        (
            dict(constraint=SoftThreshold(), learning_rate=HypergradientDescent()),
            r"a schedule or Backtrack\(\) with SoftThreshold",
        ),
        (dict(constraint=Box(), learning_rate=StrongWolfe()), "`learning_rate` must not be StrongWolfe with Box"),
        (dict(constraint=Box(), momentum=Nesterov()), r"NoMomentum\(\) or Momentum\(0.9\) with Box, got Nesterov"),
    ],
)
def test_what_does_not_go_together_raises(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Params(silent=True, **settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box(1.0, 0.0), "`lower` must be at most `upper`, got 1.0 and 0.0"),
        (lambda: Box(np.nan, 1.0), "`lower` must be a number, or infinite for no bound, got nan"),
        (lambda: Simplex(0.0), "`total` must be above 0"),
        (lambda: L1Ball(-1.0), "`radius` must be above 0"),
        (lambda: L2Ball(-1.0), "`radius` must be above 0"),
        (lambda: SoftThreshold(-1.0), "`coefficient` must be at least 0"),
        (lambda: Projection(1.0), "`function` must be a function from weights to weights"),
        (lambda: Proximal(jnp.sign, 1.0), "`cost` must be a function from weights to a number"),
        (lambda: run(Box(np.zeros(4))), r"`lower` must broadcast to the weights .* got shape \(4,\)"),
        (lambda: run(Box(0.0, {"a": 1.0})), "`upper` must be one number or a prefix of the weights' structure"),
        (lambda: run(SoftThreshold(np.ones(4))), r"`coefficient` must broadcast to the weights .* got shape \(4,\)"),
        (
            lambda: run(Simplex(), learning_rate=np.full(5, 0.1)),
            "`learning_rate` must be one number for all weights with the constraint Simplex",
        ),
        (lambda: run(Projection(lambda w: w[:2])), "`function` of the constraint must give weights like those"),
    ],
)
def test_bad_arguments_raise(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_a_ball_is_found_from_where_squares_overflow():
    far = lambda scale, radius: L2Ball(radius).proximal(scale * jnp.array([3.0, 4.0], jnp.float32), jnp.ones(()))
    found, slope = jax.jit(jax.value_and_grad(lambda scale, radius: far(scale, radius)[1], (0, 1)))(
        np.float32(1e30), np.float32(0.5)
    )
    np.testing.assert_allclose(found, 0.4, rtol=1e-6)
    np.testing.assert_allclose(slope, (0, 0.8), rtol=1e-6, atol=1e-35)
