import functools

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hype_ad import DV, D, numerical
from hype_ad.testing import tree_allclose

from .operators import CASES, JACOBIAN, V, X, array, field, on_tensors, scalar, tensors

pytestmark = pytest.mark.smoke

WITHOUT_TWIN = ("gnvp", "spars")  # of `hvp` and `jacobian_tv`, or of the whole matrix
PLAIN = [case for case in CASES if "," not in case.name and case.name not in ("jvp", "vjp")]
PLAIN = [case for case in PLAIN if not any(part in case.name for part in WITHOUT_TWIN)]


def digits(case):
    """What is left of them, by the highest derivative that is taken."""
    if "diffn" in case.name:
        return {0: 1e-15, 1: 1e-9, 2: 1e-8, 3: 1e-6, 6: 1e-2}[int(case.name[-1])]
    second = ("2", "hessian", "hvp", "laplacian")
    return 1e-8 if any(name in case.name for name in second) else 1e-9


def by_differences(case):
    name, *n = case.name.split()
    return (lambda f: getattr(numerical, name)(int(n[0]), f)) if n else getattr(numerical, name)


@functools.cache
def compiled(function):
    return jax.jit(on_tensors(function))


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_closed_forms_on_tensors(case):
    rtol = digits(case)
    result = by_differences(case)(compiled(case.function))(*tensors(case.arguments))
    assert tree_allclose(result, tensors(case.expected), rtol=rtol, atol=rtol)


def test_every_operator_has_its_twin():
    modules = {name: getattr(getattr(ad, name), "__module__", "") for name in ad.__all__}
    names = {name for name, module in modules.items() if module.startswith("hype_ad._diff")}
    estimates = {"hutchinson_laplacian", "hutchinson_div", "hutchinson_hessian_diag", "Estimate"}
    estimates |= {name for name in names if name.startswith(("stochastic_", "random_"))}
    assert len(estimates) == 10
    structured = {name for name in names if any(part in name.lower() for part in WITHOUT_TWIN)}
    assert len(structured) == 13
    assert len(names) == 53 + 13
    assert names - set(vars(numerical)) == estimates | structured


class TestFunctionsThatJaxCannotTrace:
    def test_scipy(self):
        bessel = lambda x: scipy.special.jv(0.5, x)
        derivative = numerical.diff(bessel)(2.0)
        assert isinstance(derivative, float)
        assert np.isclose(derivative, scipy.special.jvp(0.5, 2.0), rtol=1e-9)
        assert np.isclose(numerical.diff2(bessel)(2.0), scipy.special.jvp(0.5, 2.0, 2), rtol=1e-8)
        assert np.isclose(numerical.diffn(3, bessel)(2.0), scipy.special.jvp(0.5, 2.0, 3), rtol=1e-6)

    def test_functions_get_and_give_numpy_arrays(self):
        kinds = []

        def f(x):
            kinds.append(type(x))
            return np.prod(np.sort(x))

        x = np.array([3.0, 1.0, 2.0])
        gradient = numerical.grad(f)(x)
        assert set(kinds) == {np.ndarray}
        assert type(gradient) is np.ndarray
        assert np.allclose(gradient, [2.0, 6.0, 3.0], rtol=1e-10)
        hessian = numerical.hessian(f)(x)
        assert type(hessian) is np.ndarray
        assert np.allclose(hessian, [[0.0, 2.0, 1.0], [2.0, 0.0, 3.0], [1.0, 3.0, 0.0]], atol=1e-9)
        assert isinstance(numerical.laplacian(f)(x), float)

    def test_python_control_flow_on_a_tensor(self):
        f = lambda x: D(float(x @ x)) if float(x[0]) > 0 else D(0.0)
        assert tree_allclose(numerical.grad(f)(DV([1.0, 2.0])), DV([2.0, 4.0]), rtol=1e-9)


def test_pytrees():
    point = {"a": array([0.5, -1.0]), "b": (array([[1.0, 2.0]]), 0.7)}
    f = jax.jit(lambda p: {"x": jnp.sin(p["a"]) * p["b"][1], "y": jnp.sum(p["b"][0]) * p["b"][1] ** 2})
    g = jax.jit(lambda p: f(p)["y"] + jnp.prod(p["a"]))
    direction = {"a": array([1.5, 0.0]), "b": (array([[2.0, 3.0]]), 1.7)}
    exact = jax.jit(lambda p: (ad.jacobian(f)(p), ad.jacobian_t(f)(p)["a"], ad.hessian(g)(p), ad.hvp(g)(p, direction)))
    jacobian, transposed, hessian, product = exact(point)
    assert tree_allclose(numerical.jacobian(f)(point), jacobian, rtol=1e-9)
    assert tree_allclose(numerical.jacobian_t(f)(point)["a"], transposed, rtol=1e-9)
    for ours, theirs in [(numerical.hessian(g)(point), hessian), (numerical.hvp(g)(point, direction), product)]:
        assert tree_allclose(jax.tree.map(np.asarray, ours), theirs, rtol=1e-7, atol=1e-8)


def test_jvp_and_vjp_of_several_arguments():
    f = jax.jit(lambda x, y: field(x) * y)
    value, tangent = numerical.jvp(f, (X, 2.0), (V, 1.0))
    exact = jax.jit(lambda x, y, v: (ad.jvp(f, (x, y), (v, 1.0)), ad.vjp(f, x, y)[1](v)))
    pushed, pulled = exact(X, 2.0, V)
    assert tree_allclose((value, tangent), pushed, rtol=1e-9)
    value, pull = numerical.vjp(f, X, array(2.0))
    assert tree_allclose(pull(V), pulled, rtol=1e-9)
    assert tree_allclose(pull(V)[0], 2 * JACOBIAN.T @ np.asarray(V), rtol=1e-9)


def test_single_precision():
    x = jnp.asarray(np.asarray(X).astype(np.float32), jnp.float32)
    gradient = numerical.grad(jax.jit(scalar))(x)
    assert gradient.dtype == jnp.float32
    assert tree_allclose(gradient, jax.jit(ad.grad(scalar))(x), rtol=1e-3, atol=1e-4)


def test_no_derivative_outside_of_the_domain():
    with np.errstate(invalid="ignore"):
        assert np.isnan(numerical.diff(np.log)(-1.0))


def test_of_no_direction():
    assert tree_allclose(numerical.hvp(jax.jit(scalar))(X, jnp.zeros(3)), np.zeros(3))


def test_traced_points_are_refused():
    message = "^`x` must be known numbers, got a traced array.* inside use the operator of the same name in `hype_ad`"
    with pytest.raises(TypeError, match=message):
        jax.jit(numerical.grad(scalar))(X)


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_bad_points_and_values_are_refused_as_in_hype_ad(case):
    with pytest.raises(TypeError, match=r"^`x` must be a real float, got int"):
        by_differences(case)(case.function)(np.arange(3), *case.arguments[1:])
    with pytest.raises(TypeError, match=r"^`f\(x\)` must be a real float, got int"):
        by_differences(case)(lambda x: 3)(*case.arguments)
    if case.function is scalar:
        with pytest.raises(ValueError, match=r"^`f\(x\)` must be one number, of shape \(\), got shape \(3,\)"):
            by_differences(case)(field)(*case.arguments)
    if len(case.arguments) == 2:
        with pytest.raises(ValueError, match=r"must have the shapes of `(x|f\(x\))`, got \(2,\) in place of \(3,\)"):
            by_differences(case)(case.function)(X, V[:2])


def test_shapes_of_fields_and_orders_are_checked_as_in_hype_ad():
    with pytest.raises(ValueError, match=r"^`f\(x\)` must have the shapes of `x`"):
        numerical.div(lambda x: x[:2])(X)
    with pytest.raises(ValueError, match=r"^`x` must be a vector of 3 numbers"):
        numerical.curl(lambda x: x)(X[:2])
    with pytest.raises(ValueError, match=r"^`n` must be at least 0, got -1"):
        numerical.diffn(-1, np.sin)
    with pytest.raises(ValueError, match=r"^`x` must be one number"):
        numerical.diff(np.sin)(X)


@pytest.mark.parametrize("name", ["curl_div", "value_and_curl_div"])
def test_parts_share_their_evaluations(name):
    """Curl and divergence come from one Jacobian."""

    def evaluations(name):
        calls = []
        getattr(numerical, name)(lambda x: (calls.append(x), field(x))[1])(X)
        return len(calls)

    assert evaluations(name) == evaluations("jacobian")
