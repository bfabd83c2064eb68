"""Arguments that must be integers: those of Python, NumPy and JAX are, booleans and traced values are none anywhere."""

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import numerical
from hype_ad.testing import tree_allclose

from .operators import X, curve, scalar

V, M, KEY = np.arange(1.0, 7.0), np.arange(12.0).reshape(2, 6), jax.random.key(0, impl="unsafe_rbg")


def scan(**settings):
    return program(lambda: ad.checkpointed_scan(lambda carry, _: (0.5 * carry, carry), 1.0, **settings))


def hutchinson(operator, f=scalar):
    return lambda n: program(lambda: operator(f, num_samples=n)(X, key=KEY))


def fixed_point(n):
    return program(lambda: ad.fixed_point(lambda a, b: 0.5 * a + b, 0.0, 1.0, max_steps=n).value)


def program(f):
    """The text of what is computed: as telling as the results of loops, and nothing is compiled."""
    return jax.jit(f).lower().as_text()


# The argument, and a call that takes 2 for it.
CALLS = {
    "diffn": ("n", lambda n: ad.diffn(n, curve)(0.3)),
    "value_and_diffn": ("n", lambda n: ad.value_and_diffn(n, curve)(0.3)),
    "numerical.diffn": ("n", lambda n: numerical.diffn(n, np.sin)(0.3)),
    "numerical.value_and_diffn": ("n", lambda n: numerical.value_and_diffn(n, np.sin)(0.3)),
    "grad": ("argnums", lambda n: ad.grad(lambda a, b, c: a * b * c**2, argnums=n)(1.0, 2.0, 3.0)),
    "grad of several": ("argnums", lambda n: ad.grad(lambda a, b, c: a * b * c**2, argnums=(0, n))(1.0, 2.0, 3.0)),
    "jacobian": ("argnums", lambda n: ad.jacobian(lambda a, b, c: a * b * c**2, argnums=n)(1.0, 2.0, 3.0)),
    "hessian": ("argnums", lambda n: ad.hessian(lambda a, b, c: a * b * c**2, argnums=n)(1.0, 2.0, 3.0)),
    "hutchinson_laplacian": ("num_samples", hutchinson(ad.hutchinson_laplacian)),
    "hutchinson_hessian_diag": ("num_samples", hutchinson(ad.hutchinson_hessian_diag)),
    "hutchinson_div": ("num_samples", hutchinson(ad.hutchinson_div, lambda x: x**2)),
    "checkpointed_scan, levels": ("levels", lambda n: scan(length=20, levels=n)),
    "checkpointed_scan, length": ("length", lambda n: scan(length=n)),
    "fixed_point": ("max_steps", fixed_point),
    "zeros": ("shape", lambda n: ad.zeros(n)),
    "ones": ("shape", lambda n: ad.ones((n, 3))),
    "full": ("shape", lambda n: ad.full((3, n), 1.5)),
    "init": ("shape", lambda n: ad.init(n, lambda i: i)),
    "identity": ("n", lambda n: ad.identity(n)),
    "standard_basis": ("n", lambda n: ad.standard_basis(n, 0)),
    "init_rows": ("rows", lambda n: ad.init_rows(n, lambda i: V)),
    "init_cols": ("cols", lambda n: ad.init_cols(n, lambda i: V)),
    "repeat_rows": ("rows", lambda n: ad.repeat_rows(V, n)),
    "repeat_cols": ("cols", lambda n: ad.repeat_cols(V, n)),
    "split": ("lengths", lambda n: ad.split(V, [4, n])),
    "split_equal": ("parts", lambda n: ad.split_equal(V, n)),
    "to_matrix": ("rows", lambda n: ad.to_matrix(V, n)),
    "image_grid": ("image_rows", lambda n: ad.image_grid(M, n)),
    "add_subvector": ("start", lambda n: ad.add_subvector(V, n, V[:2])),
    "add_submatrix, row": ("row", lambda n: ad.add_submatrix(M.T, n, 0, M[:, :2])),
    "add_submatrix, col": ("col", lambda n: ad.add_submatrix(M, 0, n, M[:, :2])),
}
every_call = pytest.mark.parametrize(("name", "call"), CALLS.values(), ids=list(CALLS))


@every_call
def test_every_kind_of_integer_is_one(name, call):
    expected = call(2)
    for two in (np.int64(2), np.uint8(2), np.asarray(2), jnp.asarray(2)):
        assert tree_allclose(call(two), expected, rtol=0, atol=0)


@every_call
def test_what_is_no_integer(name, call):
    message = f"^`{name}` must be an integer known before compiling, got "
    with pytest.raises(TypeError, match=message + "True"):
        call(True)
    if name != "image_rows":  # an image is made of known values, and that is found first
        with pytest.raises(TypeError, match=message):
            jax.jit(call)(2)
    for wrong in (2.0, np.True_, "2"):
        with pytest.raises(TypeError):  # annotations are checked before us here
            call(wrong)


@pytest.mark.parametrize("name", [name for name in CALLS if "argnums" not in CALLS[name]])
def test_negative_numbers(name):
    argument, call = CALLS[name]
    with pytest.raises(ValueError, match=f"^`{argument}` must be at least (0|1), got -1"):
        call(-1)
