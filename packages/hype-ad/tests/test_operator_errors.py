"""What the operators refuse, and that they say what came and what to do."""

import inspect

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV
from hype_ad.internal.checks import check_key
from hype_ad.internal.mode import check_mode

from .operators import CASES, V, X, field, scalar

INTEGERS = jnp.asarray(np.array([1, 2, 3]), int)
BOOLEANS = jnp.asarray(np.array([True, False, True]), bool)
PLAIN = {case.name: case for case in CASES if "," not in case.name}


@pytest.mark.parametrize("case", PLAIN.values(), ids=list(PLAIN))
class TestEveryOperator:
    @pytest.mark.parametrize("x", [3, 2.0 + 1.0j, None, INTEGERS], ids=repr)
    def test_points_that_are_no_floats(self, case, x):
        point = r"^`(x|primals\[0\])`"
        with pytest.raises(TypeError, match=point + " must (be a real float|have floats in it), got "):
            case.operator(case.function)(x, *case.arguments[1:])

    @pytest.mark.parametrize("value", [3, BOOLEANS, None])
    def test_values_that_are_no_floats(self, case, value):
        if case.name == "jvp":  # as in JAX, which gives what f gives
            return
        with pytest.raises(TypeError, match=r"^`f\(x\)` must (be a real float|have floats in it), got "):
            case.operator(lambda x: value)(*case.arguments)


TO_ONE_NUMBER = [case for case in PLAIN.values() if case.function is scalar]
ALONG = [case for case in PLAIN.values() if len(case.arguments) == 2 and case.name not in ("vjp", "jvp")]


@pytest.mark.parametrize("case", TO_ONE_NUMBER, ids=lambda case: case.name)
def test_values_that_are_not_one_number(case):
    with pytest.raises(ValueError, match=r"^`f\(x\)` must be one number, of shape \(\), got shape \(3,\)\."):
        jax.eval_shape(case.operator(field), *case.arguments)
    with pytest.raises(ValueError, match=r"^`f\(x\)` must be one number, got 2 arrays in PyTreeDef"):
        jax.eval_shape(case.operator(lambda x: (x[0], x[1])), *case.arguments)


@pytest.mark.parametrize("case", ALONG, ids=lambda case: case.name)
def test_directions_of_another_shape(case):
    reference = r"f\(x\)" if "_tv" in case.name else "x"
    with pytest.raises(ValueError, match=rf"^`.` must have the shapes of `{reference}`, got \(2,\) in place of \(3,\)"):
        jax.eval_shape(case.operator(case.function), X, np.zeros(2))
    with pytest.raises(ValueError, match=rf"^`.` must have the structure of `{reference}`, .*, got "):
        jax.eval_shape(case.operator(case.function), X, {"v": V})


@pytest.mark.parametrize("name", ["diff", "value_and_diff", "diff2", "value_and_diff2", "value_and_diff_diff2"])
def test_curves_start_from_one_number(name):
    with pytest.raises(ValueError, match=r"^`x` must be one number, of shape \(\), got shape \(3,\)"):
        getattr(ad, name)(jnp.sin)(DV(X))


@pytest.mark.parametrize("operator", [ad.diffn, ad.value_and_diffn])
def test_orders(operator):
    with pytest.raises(ValueError, match=r"^`n` must be at least 0, got -1"):
        operator(-1, jnp.sin)
    with pytest.raises(TypeError):
        operator(1.5, jnp.sin)
    with pytest.raises(TypeError, match=r"^`n` must be an integer known before compiling, got True"):
        operator(True, jnp.sin)
    with pytest.raises(ValueError, match=r"^`x` must be one number"):
        operator(3, jnp.sin)(X)


@pytest.mark.parametrize("name", ["curl", "value_and_curl", "curl_div", "value_and_curl_div"])
def test_curl_is_for_space(name):
    with pytest.raises(ValueError, match=r"^`x` must be a vector of 3 numbers, got shape \(2,\)"):
        getattr(ad, name)(lambda x: x)(np.zeros(2))
    with pytest.raises(ValueError, match=r"^`f\(x\)` must be a vector of 3 numbers, got shape \(2,\)"):
        getattr(ad, name)(lambda x: x[:2])(X)
    with pytest.raises(ValueError, match=r"^`x` must be a vector of 3 numbers, got 2 arrays"):
        getattr(ad, name)(lambda x: x)((X, X))


@pytest.mark.parametrize("name", ["div", "value_and_div"])
def test_divergence_is_for_fields(name):
    with pytest.raises(ValueError, match=r"^`f\(x\)` must have the shapes of `x`, got \(2,\) in place of \(3,\)"):
        getattr(ad, name)(lambda x: x[:2])(X)
    with pytest.raises(ValueError, match=r"^`f\(x\)` must have the structure of `x`"):
        getattr(ad, name)(lambda x: (x, x))(X)


@pytest.mark.parametrize(
    "name", ["grad", "value_and_grad", "hessian", "value_and_hessian", "jacobian", "value_and_jacobian"]
)
class TestArguments:
    def test_argnums_out_of_range(self, name):
        with pytest.raises(ValueError, match=r"^`argnums` must be positions from -1 to 0 in this call, got 2"):
            getattr(ad, name)(scalar, argnums=2)(X)
        with pytest.raises(ValueError, match=r"^`argnums` must be positions from -1 to 0 in this call, got -2"):
            getattr(ad, name)(scalar, argnums=(0, -2))(X)
        with pytest.raises(TypeError, match=r"^`argnums` must be an integer known before compiling, got True"):
            getattr(ad, name)(scalar, argnums=True)(X)

    def test_auxiliary_output_missing(self, name):
        with pytest.raises(TypeError, match=r"^`f` must give a pair \(output, auxiliary output\) with `has_aux`, got "):
            getattr(ad, name)(scalar, has_aux=True)(X)

    def test_which_argument_is_no_float(self, name):
        with pytest.raises(TypeError, match=r"^`args\[1\]\['k'\]` must be a real float, got int"):
            getattr(ad, name)(lambda x, y: x, argnums=1)(1.0, {"k": 2})


def test_jvp_and_vjp_say_which():
    with pytest.raises(ValueError, match=r"^`tangents` must be as many as `primals`, 1, got 2"):
        ad.jvp(field, (X,), (V, V))
    with pytest.raises(ValueError, match=r"^`tangents\[0\]` must have the shapes of `primals\[0\]`"):
        ad.jvp(field, (X,), (np.zeros(2),))
    with pytest.raises(TypeError, match=r"^`primals\[1\]` must be a real float"):
        ad.jvp(lambda x, y: x, (X, 1), (V, 1))
    with pytest.raises(TypeError, match=r"^`primals\[1\]` must be a real float"):
        ad.vjp(lambda x, y: x, X, 1)
    with pytest.raises(ValueError, match=r"^`u` must have the shapes of `f\(x\)`, got \(2,\) in place of \(3,\)"):
        jax.eval_shape(lambda x, u: ad.vjp(field, x)[1](u), X, np.zeros(2))


@pytest.mark.parametrize("name", ["hutchinson_laplacian", "hutchinson_div", "hutchinson_hessian_diag"])
def test_estimates(name, key):
    operator = getattr(ad, name)
    with pytest.raises(ValueError, match=r"^`num_samples` must be at least 1, got 0"):
        operator(scalar, num_samples=0)
    with pytest.raises(TypeError, match=r"^`num_samples` must be an integer known before compiling, got True"):
        operator(scalar, num_samples=True)
    with pytest.raises(TypeError, match=r"^`x` must be a real float, got int"):
        operator(scalar)(np.arange(3), key=key)
    with pytest.raises(ValueError, match=r"^`f\(x\)` must "):
        jax.eval_shape(lambda x: operator(lambda x: x[:2])(x, key=key), X)
    for wrong in (0, jax.random.split(key)):  # annotations are checked before us here
        with pytest.raises((TypeError, ValueError), match="key"):
            operator(scalar)(X, key=wrong)


def test_keys():
    with pytest.raises(TypeError, match=r"^`key` must be a key such as jax.random.key\(0\), got 0"):
        check_key("key", 0)
    with pytest.raises(ValueError, match=r"^`key` must be one key, got an array of shape \(2,\)"):
        check_key("key", jax.random.split(jax.random.key(0)))


def test_unknown_modes_are_refused_before_anything_is_computed():
    with pytest.raises(ValueError, match=r'^`mode` must be "reverse" or "forward", got .sideways.'):
        check_mode("mode", "sideways")
    sparse = ("sparse_jacobian", "sparse_hessian", "hessian_sparsity")
    for name in ("grad", "value_and_grad", "hessian", "grad_hessian", "hvp", "grad_hvp", "jacobian", *sparse):
        with pytest.raises((ValueError, TypeError), match="mode"):  # annotations are checked before us here
            getattr(ad, name)(scalar, mode="sideways")


def test_checks_of_the_value_cost_no_evaluation():
    calls = []

    def f(x):
        calls.append(x)
        return x

    for operator in (ad.grad, ad.hessian, ad.laplacian, ad.curl):
        with pytest.raises(ValueError, match="f"):
            operator(f)(np.ones(2) if operator is not ad.curl else (X,) * 2)
    assert len(calls) == 3


def test_signatures_are_those_of_jax():
    for name in ("grad", "value_and_grad", "hessian", "jacobian"):
        assert list(inspect.signature(getattr(ad, name)).parameters)[1:3] == ["argnums", "has_aux"]
        assert list(inspect.signature(getattr(jax, name)).parameters)[1:3] == ["argnums", "has_aux"]
