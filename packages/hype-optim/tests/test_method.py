"""Where each method goes: known minima, linear conjugate gradients, and SciPy's answers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hype_optim import (
    CD,
    CG,
    GD,
    LBFGS,
    Backtrack,
    DaiYuanCG,
    Momentum,
    Newton,
    NewtonCG,
    NonlinearCG,
    Params,
    RMSProp,
    Status,
    StrongWolfe,
    minimize,
)

from .problems import THREE_STARTS, beale, one_of_three, valley

quiet = partial(Params, silent=True)
CONJUGATE = {"CG": CG(), "CD": CD(), "NonlinearCG": NonlinearCG(), "DaiYuanCG": DaiYuanCG()}
METHODS = {**CONJUGATE, "NewtonCG": NewtonCG(), "Newton": Newton(), "LBFGS": LBFGS()}


# That the others step as they should is seen in their derivatives.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "LBFGS" else pytest.mark.slow) for name in METHODS],
)
def test_reaches_the_minima_of_standard_problems(name):
    params = quiet(80, method=METHODS[name], tolerance=1e-8)
    for which, start in enumerate(THREE_STARTS):
        result = minimize(jax.tree_util.Partial(one_of_three, jnp.array(which)), start, params)
        assert result.status == Status.CONVERGED
        assert result.loss < 1e-12


def test_rmsprop_on_beale_reaches_what_the_original_printed():
    result = minimize(beale, THREE_STARTS[0], quiet(3000, learning_rate=RMSProp(0.01, 0.9)))
    assert result.loss < 9.05e-4


QUADRATIC = np.diag([1.0, 3.0, 9.0, 20.0]) + 0.5
START = np.array([1.0, -2.0, 0.5, 1.5])


def linear_conjugate_gradients(a, w, steps):
    points, r = [w], -a @ w
    p = r
    for _ in range(steps):
        length = r @ r / (p @ a @ p)
        w, after = w + length * p, r - length * a @ p
        r, p = after, after + (after @ after) / (r @ r) * p
        points.append(w)
    return np.stack(points)


@pytest.mark.parametrize("name", ["LBFGS", *(pytest.param(name, marks=pytest.mark.slow) for name in CONJUGATE)])
def test_with_exact_searches_a_quadratic_takes_as_many_steps_as_dimensions(name):
    # Nocedal & Wright 2006, sections 5.2 and 7.2: all of them then are the linear method.
    exact = StrongWolfe(c1=1e-9, c2=1e-8)
    params = quiet(4, method=METHODS[name], learning_rate=exact, keep_w_history=True)
    result = minimize(lambda w: 0.5 * w @ QUADRATIC @ w, START, params)
    expected = linear_conjugate_gradients(np.asarray(QUADRATIC), np.asarray(START), 4)
    np.testing.assert_allclose(result.w_history, expected[:4], atol=1e-7)
    np.testing.assert_allclose(result.w, 0, atol=1e-7)


@pytest.mark.parametrize("name", CONJUGATE)
def test_the_multiple_of_the_last_direction(name):
    new, old, p = np.array([1.0, 2.0, -1.0]), np.array([2.0, -1.0, 0.5]), np.array([-1.0, 0.5, -3.0])
    y = new - old
    expected = {
        "CG": max(0, new @ y / (p @ y)),
        "CD": new @ new / -(p @ old),
        "NonlinearCG": new @ new / (old @ old),
        "DaiYuanCG": new @ new / (p @ y),
    }
    tree = lambda v: {"a": jnp.asarray(v[:2]), "b": jnp.asarray(v[2])}
    np.testing.assert_allclose(CONJUGATE[name].beta(tree(new), tree(old), tree(p)), expected[name], rtol=1e-14)


@pytest.mark.parametrize(
    "name", ["CG", *(pytest.param(name, marks=pytest.mark.slow) for name in CONJUGATE if name != "CG")]
)
def test_it_starts_anew_where_successive_gradients_are_not_orthogonal(name):
    # After short steps they are nearly parallel, so that each step is one of gradient descent (Powell 1977).
    f = lambda w: 0.5 * w @ QUADRATIC @ w
    methods = CONJUGATE[name], GD()
    ours, expected = (
        minimize(f, START, quiet(6, method=method, learning_rate=0.01, keep_w_history=True)).w_history
        for method in methods
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["CG", *(pytest.param(name, marks=pytest.mark.slow) for name in CONJUGATE if name != "CG")]
)
def test_with_steps_much_too_long_for_conjugacy_it_still_goes_downhill(name):
    # Without restarts the directions of such a run are far from downhill, and it does not get there.
    result = minimize(valley, np.array([-0.4, 0.8]), quiet(300, method=METHODS[name], learning_rate=Backtrack(0.3)))
    assert result.loss < 1e-4
    assert np.all(np.diff(result.loss_history[: int(result.steps)]) <= 1e-14)


INDEFINITE = np.array([[2.0, 1.0, 0.0], [1.0, -3.0, 0.5], [0.0, 0.5, -0.1]])


def first_step(method, f, w):
    return np.asarray(minimize(f, w, quiet(2, method=method, learning_rate=1.0, keep_w_history=True)).w_history)[1] - w


@pytest.mark.parametrize(
    ("scales", "units"),
    [((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)), ((1.0, 16.0, 256.0), (16.0, 1.0, 1.0))],
    ids=["rows of like size", "rows of 16, 2048 and 6554"],
)
def test_newton_takes_the_absolute_value_of_an_indefinite_hessian(scales, units):
    w, units = np.array([1.0, 2.0, -1.0]), np.array(units)
    a = INDEFINITE * np.outer(scales, scales)
    h = np.outer(units, units) * a
    expected = -units * np.linalg.solve(scipy.linalg.sqrtm(h @ h).real, units * (a @ w))
    np.testing.assert_allclose(first_step(Newton(), lambda w: 0.5 * w @ a @ w, w), expected, rtol=1e-7)


def test_newton_solves_with_a_positive_definite_hessian():
    np.testing.assert_allclose(first_step(Newton(), lambda w: 0.5 * w @ QUADRATIC @ w, START), -START, rtol=1e-12)


@pytest.mark.parametrize("start", [(1.0, 0.0), pytest.param((1e-9, 1e-12), marks=pytest.mark.slow)])
def test_newton_leaves_a_saddle_whose_stable_direction_it_comes_along(start):
    f = lambda w: w[0] ** 2 - w[1] ** 2 + w[1] ** 4 / 2
    result = minimize(f, jnp.array(start), quiet(40, method=Newton()))
    np.testing.assert_allclose(result.loss, -0.5, rtol=1e-12)
    np.testing.assert_allclose(jnp.abs(result.w), [0, 1], atol=1e-7)


def test_newton_ends_on_a_valley_of_singular_hessians():
    result = minimize(lambda w: (w[0] + w[1] / 3 - 3) ** 2, jnp.array([1.0, 5.0]), quiet(3, method=Newton()))
    np.testing.assert_allclose(result.loss, 0, atol=1e-20)
    np.testing.assert_allclose(result.w[0] - 3 * result.w[1], -14, rtol=1e-7)  # it does not walk along the valley


def test_newton_cg_solves_as_far_as_its_rule_says():
    step = first_step(NewtonCG(), lambda w: 0.5 * w @ QUADRATIC @ w, START)
    g = np.asarray(QUADRATIC @ START)
    size = np.linalg.norm(g)
    assert np.linalg.norm(QUADRATIC @ step + g) <= min(0.5, np.sqrt(size)) * size
    assert np.linalg.norm(step + START) < np.linalg.norm(START)


def test_newton_cg_takes_the_absolute_value_of_a_negative_curvature():
    w = jnp.array([0.0, 1.0, 0.1])
    step = first_step(NewtonCG(), lambda w: 0.5 * w @ INDEFINITE @ w, w)
    g = np.asarray(INDEFINITE @ w)
    curvature = g @ INDEFINITE @ g
    assert curvature < 0
    np.testing.assert_allclose(step, -(g @ g) / -curvature * g, rtol=1e-13)


def test_newton_cg_goes_along_the_gradient_where_there_is_no_curvature():
    np.testing.assert_array_equal(first_step(NewtonCG(), lambda w: 2 * w[0] - w[1], jnp.zeros(2)), [-2, 1])


def two_loops(g, pairs):
    """Minus the direction by algorithm 7.4 of Nocedal & Wright (2006)."""
    q, weights = g, []
    for s, y in reversed(pairs):
        weights.append(s @ q / (s @ y))
        q = q - weights[-1] * y
    q = q * (pairs[-1][0] @ pairs[-1][1] / (pairs[-1][1] @ pairs[-1][1]) if pairs else 1)
    for (s, y), weight in zip(pairs, reversed(weights), strict=True):
        q = q + (weight - y @ q / (s @ y)) * s
    return q


def test_lbfgs_remembers_the_last_pairs_of_positive_curvature():
    # A wave, so that a step has a negative curvature.
    w0, rate, history = np.linspace(0.3, 2.9, 5), 0.9, 3
    settings = dict(method=LBFGS(history), learning_rate=rate, return_best=False, keep_w_history=True)
    found = np.asarray(minimize(lambda w: jnp.sum(jnp.sin(w)) + 0.05 * w @ w, w0, quiet(16, **settings)).w_history)
    gradient = lambda w: np.cos(w) + 0.1 * w
    w, pairs, rejected = w0, [], 0
    for expected in found:
        np.testing.assert_allclose(w, expected, rtol=1e-8)
        new = w - rate * two_loops(gradient(w), pairs[-history:])
        step, change = new - w, gradient(new) - gradient(w)
        if step @ change > 0:
            pairs.append((step, change))
        else:
            rejected += 1
        w = new
    assert rejected
    assert len(pairs) > 2 * history


@pytest.mark.slow
def test_newton_cg_makes_few_products_in_many_dimensions():
    # Ten clusters of eigenvalues need ten products, whatever the dimension.
    scales = jnp.repeat(jnp.arange(1.0, 11.0), 200)
    f = jax.tree_util.Partial(lambda scales, w: jnp.sum(jnp.sinh(scales * w) ** 2), scales)
    result = minimize(f, jnp.full(2000, 0.15), quiet(20, method=NewtonCG(10), tolerance=1e-8))
    assert result.status == Status.CONVERGED
    assert result.loss < 1e-15


@pytest.mark.parametrize(
    "name", ["LBFGS", *(pytest.param(name, marks=pytest.mark.slow) for name in ("CG", "NewtonCG"))]
)
def test_a_tree_is_as_good_as_a_vector(name):
    params = quiet(6, method=METHODS[name])
    tree = minimize(lambda w: valley(jnp.stack([w["x"], w["y"][0]])), {"x": -0.4, "y": jnp.array([0.8])}, params)
    vector = minimize(valley, jnp.array([-0.4, 0.8]), params)
    np.testing.assert_allclose(jnp.stack([tree.w["x"], tree.w["y"][0]]), vector.w, rtol=1e-9)


def test_float32_stays_float32():
    for method in (Newton(), LBFGS()):
        result = minimize(valley, jnp.array([-0.4, 0.8], jnp.float32), quiet(20, method=method))
        assert result.w.dtype == result.loss.dtype == jnp.float32
        assert result.loss < 1e-9


@pytest.mark.parametrize("name", METHODS)
def test_rates_that_rescale_entries_go_with_gradient_descent_only(name):
    with pytest.raises(ValueError, match="keeps the direction of"):
        Params(method=METHODS[name], learning_rate=RMSProp())


@pytest.mark.parametrize("rate", [Backtrack(), StrongWolfe()])
def test_momentum_does_not_go_with_a_line_search(rate):
    with pytest.raises(ValueError, match="`momentum` must be NoMomentum"):
        Params(method=GD(), learning_rate=rate, momentum=Momentum())


def test_bad_settings():
    for bad in (lambda: NewtonCG(0), lambda: LBFGS(0)):
        with pytest.raises(ValueError, match="must be at least 1"):
            bad()
