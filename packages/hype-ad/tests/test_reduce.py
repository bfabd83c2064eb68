"""Reductions and scalings: NumPy's values, derivatives by differences, and what holds at zero, at ties and far out."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D
from hype_ad.testing import assert_derivatives_match
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

inf, nan = np.inf, np.nan
V = np.array([0.5, -1.2, 2.0, 0.1])
M = np.array([[0.3, -1.0, 2.0], [1.5, 0.2, -0.7]])


class Problem(NamedTuple):
    f: Callable
    reference: Callable


def standardize(x, axis):
    return (x - np.mean(x, axis, keepdims=True)) / np.std(x, axis, ddof=1, keepdims=True)


def normalize(x, axis):
    low, high = np.min(x, axis, keepdims=True), np.max(x, axis, keepdims=True)
    return (x - low) / (high - low)


REDUCTIONS = [
    Problem(ad.l1norm, lambda x, axis: np.sum(abs(x), axis)),
    Problem(ad.l2norm, lambda x, axis: np.sqrt(np.sum(x**2, axis))),
    Problem(ad.l2norm_sq, lambda x, axis: np.sum(x**2, axis)),
    Problem(ad.variance, lambda x, axis: np.var(x, axis, ddof=1)),
    Problem(ad.standard_deviation, lambda x, axis: np.std(x, axis, ddof=1)),
    Problem(ad.logsumexp, special.logsumexp),
]
SCALINGS = [
    Problem(ad.standardize, standardize),
    Problem(ad.normalize, normalize),
    Problem(ad.unit_vector, lambda x, axis: x / np.sqrt(np.sum(x**2, axis, keepdims=True))),
]
PROBLEMS = REDUCTIONS + SCALINGS


def name(problem):
    return problem.f.__name__


@pytest.mark.parametrize("problem", PROBLEMS, ids=name)
def test_values_and_kinds(problem):
    cases = [(DV, V, axis) for axis in (None, 0, -1)] + [(DM, M, axis) for axis in (None, 0, 1)]
    every = lambda: ([problem.f(kind(x), axis=axis) for kind, x, axis in cases], problem.f(V), problem.f(x=V, axis=0))
    results, plain, named = jax.jit(every)()
    for result, (_, x, axis) in zip(results, cases, strict=True):
        expected = problem.reference(x, axis)
        assert isinstance(result, (D, DV, DM)[np.ndim(expected)])
        np.testing.assert_allclose(result, expected, rtol=1e-14)
    assert isinstance(plain, jax.Array)
    np.testing.assert_array_equal(named, results[1])
    with pytest.raises(TypeError):
        problem.f(V, 0)
    assert jax.eval_shape(problem.f, DV(V).astype(jnp.float32)).dtype == jnp.float32


def test_derivatives():
    # All at once, for most of the time goes into compiling; those that are left out have closed forms below.
    functions = (ad.l2norm, ad.standard_deviation, ad.standardize, ad.normalize, ad.unit_vector)
    assert_derivatives_match(lambda x: [f(x) for f in functions], DV(V), order=2)


def test_derivatives_in_closed_form():
    gradients = jax.jit(lambda v: [jax.grad(f)(v) for f in (ad.l1norm, ad.l2norm_sq, ad.variance)])(V)
    for gradient, expected in zip(gradients, (np.sign(V), 2 * V, 2 * (V - V.mean()) / 3), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-14)


@pytest.mark.parametrize("problem", PROBLEMS, ids=name)
def test_axis_out_of_range_raises(problem):
    with pytest.raises(ValueError, match=r"^`axis` must be None or an axis of `x`, got 1 for shape \(4,\)"):
        problem.f(V, axis=1)


@functools.cache
def value_first_and_second(f):
    """f, and the gradient of its sum in both modes, and its Hessian."""
    total = lambda x: jnp.sum(f(x))
    modes = (f, jax.grad(total), jax.jacfwd(total), jax.hessian(total))
    return jax.jit(lambda x: [mode(x) for mode in modes])


@pytest.mark.parametrize(
    ("f", "value"),
    [
        (ad.l1norm, 0.0),
        (ad.l2norm, 0.0),
        (ad.l2norm_sq, 0.0),
        (ad.standard_deviation, 0.0),
        (ad.variance, 0.0),
        (ad.standardize, 0.0),
        (ad.normalize, 0.0),
        (ad.unit_vector, 0.0),
        (ad.logsumexp, np.log(3)),
    ],
    ids=lambda f: getattr(f, "__name__", ""),
)
def test_finite_at_zero(f, value):
    x = np.zeros(3)
    found, reverse, forward, *second = value_first_and_second(f)(x)
    np.testing.assert_allclose(found, value, rtol=1e-15)
    np.testing.assert_allclose([reverse, forward], np.full((2, 3), 1 / 3 if f is ad.logsumexp else 0.0), rtol=1e-15)
    # A norm has no second derivative at its corner, and 0 would be a wrong one of its square.
    assert np.all(np.isfinite(second)) == (f not in (ad.l2norm, ad.standard_deviation))


@pytest.mark.parametrize("norm", [ad.l2norm, lambda x: ad.l2norm(x - jnp.mean(x))])
def test_square_of_a_norm_has_its_own_hessian_or_none(norm):
    square = lambda x: norm(x) ** 2
    modes = ad.hessian(square), jax.jacrev(jax.grad(square)), jax.jacfwd(jax.jacfwd(square)), ad.hessian(ad.l2norm_sq)
    *none, own = jax.jit(lambda x: [mode(x) for mode in modes])(np.zeros(2))
    assert np.all(np.isnan(none))
    np.testing.assert_allclose(own, 2 * np.eye(2))


@pytest.mark.parametrize("f", [ad.standardize, ad.normalize], ids=lambda f: f.__name__)
@pytest.mark.parametrize("constant", [0.1, 1 / 3, 1e20])
def test_equal_elements_scale_to_zero(f, constant):
    # The mean of equal numbers is rounded: their deviations are not 0 exactly, and are not to be blown up.
    np.testing.assert_array_equal(f(np.full(7, constant)), np.zeros(7))
    for result in value_first_and_second(f)(np.full(3, constant)):
        np.testing.assert_array_equal(result, np.zeros(result.shape))
    np.testing.assert_array_equal(f(np.full(1, constant)), [0.0])


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_norms_neither_overflow_nor_underflow(scale):
    x = np.array([3.0, -4.0, 0.0]) * scale
    norm, reverse, forward, *second = value_first_and_second(ad.l2norm)(x)
    np.testing.assert_allclose(norm, 5 * scale, rtol=1e-14)
    np.testing.assert_allclose(ad.unit_vector(x), [0.6, -0.8, 0.0], rtol=1e-14)
    np.testing.assert_allclose(ad.standard_deviation(x), np.std([3.0, -4.0, 0.0], ddof=1) * scale, rtol=1e-14)
    np.testing.assert_allclose([reverse, forward], [[0.6, -0.8, 0.0]] * 2, rtol=1e-14)
    unit = np.array([0.6, -0.8, 0.0])
    np.testing.assert_allclose(second, [(np.eye(3) - np.outer(unit, unit)) / (5 * scale)], rtol=1e-13, atol=1e-300)


def test_norms_at_the_end_of_the_floats():
    for x, orders in ((np.full(3, 1e-310), 1), (np.full(3, 1e308), 2)):  # 1 / 1e-310 overflows
        for derivative in value_first_and_second(ad.l2norm)(x)[1 : 2 + orders]:
            assert np.all(np.isfinite(derivative))
    np.testing.assert_allclose(ad.l2norm(np.full(3, 1e308)), 3**0.5 * 1e308, rtol=1e-14)
    np.testing.assert_allclose(ad.unit_vector(np.full(3, 1e308)), np.full(3, 3**-0.5), rtol=1e-14)
    assert ad.l2norm(np.array([3e30, 4e30], np.float32)) == pytest.approx(5e30)


def test_norms_of_what_is_not_finite():
    assert ad.l2norm(np.array([inf, 1.0])) == inf
    assert np.isnan(ad.l2norm(np.array([nan, 1.0])))
    assert np.isnan(ad.l2norm(np.array([nan, 0.0])))
    assert ad.l1norm(np.array([-inf, 1.0])) == inf


@pytest.mark.parametrize(
    ("x", "value", "gradient"),
    [
        ([1e4, 0.0], 1e4, [1.0, 0.0]),
        ([1e300, 1e300], 1e300, [0.5, 0.5]),
        ([-1e4, -1e4], -1e4 + np.log(2), [0.5, 0.5]),
        ([-inf, 0.0], 0.0, [0.0, 1.0]),
        ([-inf, -inf], -inf, [nan, nan]),
        ([inf, 0.0], inf, [nan, 0.0]),
    ],
)
def test_logsumexp_far_out(x, value, gradient):
    found, slope = logsumexp_and_gradient(np.array(x))
    np.testing.assert_allclose(found, value, rtol=1e-15)
    np.testing.assert_allclose(slope, gradient, rtol=1e-12)
    np.testing.assert_allclose(ad.logsumexp(D(3.0)), 3.0)


logsumexp_and_gradient = jax.jit(jax.value_and_grad(ad.logsumexp))


@pytest.mark.parametrize(
    ("method", "x", "share"),
    [
        ("max", [2.0, 1.0, 2.0], [0.5, 0.0, 0.5]),
        ("min", [2.0, 1.0, 1.0], [0.0, 0.5, 0.5]),
        ("max", [2.0, inf, 2.0], [0.0, 1.0, 0.0]),
        ("min", [-inf, 1.0, -inf], [0.5, 0.0, 0.5]),
    ],
)
def test_extremes_share_the_derivative_at_ties(method, x, share):
    _, reverse, forward, *second = value_first_and_second(largest if method == "max" else smallest)(np.array(x))
    np.testing.assert_array_equal([reverse, forward], [share] * 2)
    np.testing.assert_array_equal(second, np.zeros((1, 3, 3)))


def largest(x):
    return DV(x).max().array


def smallest(x):
    return DV(x).min().array


def test_indices_of_extremes():
    v, w, m = DV([1.0, 3.0, 3.0]), np.array([1.0, 0.0, 0.0]), DM(M)
    every = lambda: (ad.max_index(v), ad.min_index(w), ad.max_index(m), ad.min_index(M), m[ad.max_index(m)])
    of_v, of_w, highest, lowest, element = jax.jit(every)()
    assert (int(of_v), int(of_w), float(element)) == (1, 1, 2.0)
    assert [int(i) for i in highest] == [0, 2]
    assert [int(i) for i in lowest] == [0, 1]


@pytest.mark.parametrize("f", [ad.variance, ad.standard_deviation], ids=lambda f: f.__name__)
def test_spread_of_one_number_raises(f):
    with pytest.raises(ValueError, match=r"^`x` must have at least two elements along axis None, got 1: the divisor"):
        f(DV([1.0]))
    with pytest.raises(ValueError, match=r"^`x` must have at least two elements along axis 0, got 1"):
        f(DM([[1.0, 2.0]]), axis=0)


def test_softmax():
    for x in (DV(V), DM(M)):
        assert type(jax.eval_shape(ad.softmax, x)) is type(x)
    np.testing.assert_allclose(ad.softmax(M), special.softmax(M, 1), rtol=1e-14)
    np.testing.assert_allclose(ad.softmax(M, axis=0), special.softmax(M, 0), rtol=1e-14)
    np.testing.assert_allclose(ad.softmax(np.array([1e4, 0.0, -inf])), [1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"^`axis` must be an axis of `x`, got -1 for shape \(\)"):
        ad.softmax(1.0)


def test_softmax_is_the_gradient_of_logsumexp():
    p = special.softmax(V)
    derivatives = (jax.grad(ad.logsumexp), jax.hessian(ad.logsumexp), jax.jacrev(ad.softmax))
    gradient, hessian, jacobian = jax.jit(lambda v: [derivative(v) for derivative in derivatives])(V)
    np.testing.assert_allclose(gradient, p, rtol=1e-14)
    for second in (hessian, jacobian):
        np.testing.assert_allclose(second, np.diag(p) - np.outer(p, p), rtol=1e-13, atol=1e-16)


vectors = hnp.arrays(np.float64, 5, elements=st.floats(-100, 100, allow_subnormal=False))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(vectors, vectors, st.floats(-50, 50))
def test_laws(x, y, c):
    norms, product, scaled, exponentials, softmaxes, variance, normalized = laws(DV(x), DV(y), c)
    of_a, of_b, of_sum, square = map(float, norms)
    assert of_sum <= (of_a + of_b) * (1 + 1e-14)
    assert abs(float(product)) <= of_a * of_b * (1 + 1e-14) + 1e-300
    np.testing.assert_allclose(scaled, abs(c) * of_a, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(of_a**2, square, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(exponentials[0], exponentials[1] + c, rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(*softmaxes, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(variance, np.var(x, ddof=1), rtol=1e-12, atol=1e-300)
    assert 0 <= np.min(np.asarray(normalized)) <= np.max(np.asarray(normalized)) <= 1


@jax.jit
def laws(a, b, c):
    return (
        (ad.l2norm(a), ad.l2norm(b), ad.l2norm(a + b), ad.l2norm_sq(a)),
        a @ b,
        ad.l2norm(c * a),
        (ad.logsumexp(a + c), ad.logsumexp(a)),
        (ad.softmax(a + c), ad.softmax(a)),
        ad.variance(a),
        ad.normalize(a).array,
    )


@pytest.mark.parametrize("index", [None, 17])
def test_extremes_are_nan_where_an_entry_is(index):
    """Also of so many entries that XLA's own reductions pass over NaN on CPUs."""
    entries = np.zeros(20_000)
    entries[slice(None) if index is None else index] = np.nan
    x = DV(entries), DM(entries.reshape(2, -1)), DV(entries.astype(np.float32))
    extremes, of_rows, scaled = every_extreme(*x)
    assert np.all(np.isnan(extremes))
    np.testing.assert_array_equal(np.isnan(of_rows), [True, index is None])
    assert np.all(np.isnan(scaled))


@jax.jit
def every_extreme(x, rows, single):
    extremes = [extreme.array.astype(jnp.float64) for t in (x, rows, single) for extreme in (t.max(), t.min())]
    return extremes, rows.max(1).array, [ad.normalize(x).array, ad.standardize(x).array]
