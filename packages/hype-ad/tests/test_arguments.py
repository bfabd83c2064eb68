"""What a user may write for an argument: empty arrays, mixed precision, integers of any kind, and what is refused."""

import inspect

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV

V = DV([1.0, 2.0, 3.0])
M = DM([[1.0, 2.0], [3.0, 4.0]])
ALONG_AXIS = [ad.l1norm, ad.l2norm, ad.logsumexp, ad.variance, ad.standardize, ad.normalize, ad.unit_vector]
by_name = pytest.mark.parametrize("f", ALONG_AXIS, ids=lambda f: f.__name__)


@by_name
@pytest.mark.parametrize("axis", [0.0, "0", (0, 1), True])
def test_an_axis_is_an_integer(f, axis):
    with pytest.raises(TypeError, match="`axis` must be an integer"):
        f(M, axis=axis)


@by_name
def test_any_integer_names_an_axis(f):
    for axis in (np.int64(0), jnp.array(0)):
        np.testing.assert_array_equal(f(M, axis=axis), f(M, axis=0))


@pytest.mark.parametrize("f", [ad.standardize, ad.normalize, ad.unit_vector, ad.softmax], ids=lambda f: f.__name__)
def test_nothing_rescaled_is_nothing(f):
    assert jax.eval_shape(f, DV([])).shape == (0,)
    assert jax.eval_shape(lambda m: f(m, axis=0), DM(np.zeros((0, 2)))).shape == (0, 2)
    assert jax.eval_shape(jax.grad(lambda x: jnp.sum(f(x))), np.zeros(0)).shape == (0,)


def test_extremes_of_nothing_have_no_index():
    for f in (ad.max_index, ad.min_index):
        with pytest.raises(ValueError, match="empty sequence"):
            f([])


@pytest.mark.parametrize("index", [True, (0, 1), jnp.array([0, 1]), jnp.array([True, False, True])])
def test_an_element_has_one_index(index):
    with pytest.raises(ValueError, match="`index` must name one element"):
        ad.add_item(V, index, 1.0)


def test_an_index_may_be_traced():
    result = jax.jit(lambda i: ad.add_item(V, i, 1.0))(2)
    np.testing.assert_array_equal(result, [1.0, 2.0, 4.0])
    assert isinstance(result, DV)


@pytest.mark.parametrize(
    "f", [lambda x: ad.full(2, x), lambda x: ad.standard_basis(2, 0, x), lambda x: ad.add_item(V, 0, x)]
)
def test_a_value_is_a_number(f):
    with pytest.raises(ValueError, match="`value` must be a number"):
        f([1.0, 2.0])


def test_a_solve_in_mixed_precision_is_in_the_better_one():
    single, solves = DM(np.asarray(M).astype(np.float32)), (ad.solve, ad.solve_symmetric)
    with jax.numpy_dtype_promotion("standard"):
        both = jax.jit(lambda *matrices: [[solve(m, [1.0, 2.0]) for m in matrices] for solve in solves])
        for mixed, double in both(single, M):
            assert mixed.dtype == jnp.float64
            np.testing.assert_allclose(mixed, double, rtol=1e-14)


def test_messages_name_the_function():
    for call in (lambda: ad.exp(V, V), lambda: ad.exp(y=V)):  # pyright: ignore[reportCallIssue]
        with pytest.raises(TypeError, match=r"exp\(\)"):
            call()


@pytest.mark.parametrize(
    "name", ["exp", "softsign", "atan2", "l2norm", "unit_vector", "to_row", "prepend", "append_col"]
)
def test_documentation(name):
    f = getattr(ad, name)
    _, *sections = (inspect.getdoc(f) or "").split("\n\nArgs:\n")
    (text,) = sections
    arguments, returns, errors = text.split("\n\n")
    assert {line.split(":")[0].strip() for line in arguments.splitlines()} == set(inspect.signature(f).parameters)
    assert returns.startswith("Returns:\n")
    assert errors.startswith("Raises:\n")
