import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV, D
from hype_ad.testing import tree_allclose

from .operators import DIV, HESSIAN, JACOBIAN, X, field, on_tensors, scalar

SAMPLES = 4000


@pytest.fixture
def key():
    return jax.random.key(0, impl="unsafe_rbg")  # compiles in a tenth of the time of the default


def jitted(estimate):
    compiled = jax.jit(lambda x, key: estimate(x, key=key))
    return lambda x, *, key: compiled(x, key)


def together(*estimates):
    """All in one program."""
    return jitted(lambda x, key: [estimate(x, key=key) for estimate in estimates])


def deviation_of_a_probe(matrix):
    """Standard deviation of the estimate of a trace from one probe: what is on the diagonal adds nothing."""
    symmetric = (matrix + matrix.T) / 2
    return np.sqrt(2 * np.sum((symmetric - np.diag(np.diag(symmetric))) ** 2))


def test_estimates_are_unbiased_with_the_variance_of_theory(key):
    estimates = together(
        ad.hutchinson_laplacian(scalar, num_samples=SAMPLES),
        ad.hutchinson_div(field, num_samples=SAMPLES),
        ad.hutchinson_hessian_diag(scalar, num_samples=SAMPLES),
    )
    laplacian, divergence, diagonal = estimates(X, key=key)
    deviation = deviation_of_a_probe(HESSIAN) / SAMPLES**0.5
    # an estimate, not the thing itself
    assert 1e-6 * deviation < abs(laplacian - np.trace(HESSIAN)) < 4 * deviation
    assert abs(divergence - DIV) < 4 * deviation_of_a_probe(JACOBIAN) / SAMPLES**0.5
    assert np.allclose(diagonal, np.diag(HESSIAN), atol=4 * deviation)


def test_one_probe_is_exact_for_a_diagonal_matrix(key):
    f = lambda x: jnp.sum(x**3)
    estimates = together(
        ad.hutchinson_laplacian(f),
        ad.hutchinson_hessian_diag(f),
        ad.hutchinson_hessian_diag(f, mode="forward"),
        ad.hutchinson_div(lambda x: x**3),
    )
    x = np.asarray(X)
    assert tree_allclose(estimates(X, key=key), [6 * np.sum(x), 6 * x, 6 * x, 3 * np.sum(x**2)])


@pytest.mark.parametrize("operator", [ad.hutchinson_laplacian, ad.hutchinson_div, ad.hutchinson_hessian_diag])
def test_same_key_same_estimate_from_one_evaluation(operator, key):
    calls = []
    f = field if operator is ad.hutchinson_div else scalar

    def counted(x):
        calls.append(x)
        return f(x)

    estimate = operator(counted, num_samples=50)
    run = jitted(estimate)
    first, again, other = (run(X, key=k) for k in (key, key, jax.random.key(1, impl="unsafe_rbg")))
    assert len(calls) == 1
    assert tree_allclose(first, again, rtol=0, atol=0)
    assert not tree_allclose(first, other)
    single = jax.eval_shape(lambda x: estimate(x, key=key), jax.ShapeDtypeStruct(X.shape, jnp.float32))
    assert single.dtype == jnp.float32
    of_tensors = jax.eval_shape(lambda x: operator(on_tensors(f))(x, key=key), DV(X))
    assert isinstance(of_tensors, DV if operator is ad.hutchinson_hessian_diag else D)


def test_leaves_of_a_pytree_have_their_own_signs(key):
    # equal signs would give 2 x y times a constant sign
    f = lambda p: p["x"] * p["y"]
    estimate = jitted(ad.hutchinson_laplacian(f))
    estimates = [estimate({"x": 1.0, "y": 1.0}, key=k) for k in jax.random.split(key, 10)]
    assert set(map(float, estimates)) == {-2.0, 2.0}


def test_estimates_can_be_differentiated(key):
    estimate = lambda x: ad.hutchinson_laplacian(lambda x: jnp.sum(x**4))(x, key=key)
    assert tree_allclose(jax.jit(ad.grad(estimate))(X), 24 * np.asarray(X))
