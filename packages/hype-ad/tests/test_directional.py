"""`diffnv` and estimates from random directions, held to closed forms and to nested derivatives."""

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV, D, numerical
from hype_ad.testing import assert_derivatives_match, tree_allclose

X = np.array([0.7, -0.4, 0.3])
U, V, W = np.array([[0.2, 0.5, -1.1], [1.0, -0.3, 0.4], [0.0, 0.6, 0.1]])
WAVE = np.array([0.5, -1.0, 0.8])
KEY = jax.random.key(0, impl="unsafe_rbg")


def wave(x):
    """exp(k . x): along v every order multiplies by k . v."""
    return jnp.exp(WAVE @ x)


def polynomial(x):
    return x[0] ** 3 * x[1] ** 2 * x[2] + x[0] * x[1] * x[2]


def test_every_order_along_every_direction_multiplies_a_wave_by_a_number():
    orders = [0, 1, 2, 3, 5]
    mixed = [(1, 1), (2, 2), (3, 1), (1, 1, 1), (2, 1, 1), (0, 0), (1, 1, 1, 1)]

    @jax.jit
    def derivatives(x):
        along = [ad.diffnv(n, wave)(x, U) for n in orders]
        return along, [ad.value_and_diffnv(n, wave)(x, *(U, V, W, U + V)[: len(n)]) for n in mixed]

    along, several = derivatives(X)
    value = np.exp(WAVE @ X)
    assert tree_allclose(along, [value * (WAVE @ U) ** n for n in orders], rtol=1e-12)
    factors = [WAVE @ v for v in (U, V, W, U + V)]
    expected = [value * np.prod([k**n for k, n in zip(factors, ns, strict=False)]) for ns in mixed]
    assert tree_allclose(several, [(value, e) for e in expected], rtol=1e-10)


def test_partial_derivatives_of_a_polynomial():
    e = np.eye(3)
    fields = lambda x: {"p": polynomial(x), "square": x**2}

    @jax.jit
    def partials(x):
        highest = ad.diffnv((3, 2, 1), polynomial)(x, *e), ad.diffnv((4, 1), polynomial)(x, e[0], e[1])
        return highest, ad.diffnv((1, 1), fields)(x, e[0], e[2])

    (constant, none), mixed = partials(X)
    assert np.isclose(constant, 12)
    assert np.isclose(none, 0, atol=1e-12)
    assert np.isclose(mixed["p"], 3 * X[0] ** 2 * X[1] ** 2 + X[1])
    assert np.allclose(mixed["square"], 0, atol=1e-12)


def test_points_and_results_have_their_types():
    of_tensors = lambda p: D(jnp.sum(p["v"].array ** 3)) * p["s"] ** 2
    point, direction = {"v": DV([1.0, 2.0]), "s": 3.0}, {"v": [1.0, 0.0], "s": 1.0}
    direction["v"] = DV(direction["v"])
    value, third = jax.jit(ad.value_and_diffnv(3, of_tensors))(point, direction)
    # the derivative of (1 + t)^3 + 8 times (3 + t)^2
    assert tree_allclose((value, third), (D(81.0), D(6 * 9 + 3 * 6 * 6 + 3 * 3 * 2.0)))
    assert isinstance(third, D)
    exact = jax.jit(ad.diffnv((2, 1), polynomial))(X, U, V)
    assert tree_allclose(numerical.diffnv((2, 1), polynomial)(X, U, V), exact, rtol=1e-6)
    assert numerical.value_and_diffnv((0, 0), polynomial)(X, U, V)[1] == polynomial(X)


def test_derivatives_of_directional_derivatives():
    def f(point):
        x, v, k = point
        return ad.diffnv((2, 1), lambda x: jnp.sin(k @ x) * x[0])(x, v, U) + ad.diffnv(3, lambda x: jnp.exp(k @ x))(
            x, v
        )

    assert_derivatives_match(f, (X, V, WAVE))


def test_nothing_is_nan_at_zero():
    f = lambda x: jnp.sum(x**4) + jnp.prod(x)
    fourth, third = jax.jit(lambda x: (ad.diffnv(4, f)(x, U), ad.diffnv((1, 1, 1), f)(x, *np.eye(3))))(np.zeros(3))
    assert tree_allclose((fourth, third), (24 * np.sum(U**4), np.array(1.0)))


def test_errors_of_directions_and_orders():
    for n, v, error, message in [
        (2, (U, V), ValueError, "one direction for each order in `n`, 1, got 2"),
        ((1, 1), (U,), ValueError, "one direction for each order in `n`, 2, got 1"),
        (2, (np.ones(2),), ValueError, r"`v` must have the shapes of `x`"),
    ]:
        for library in (ad, numerical):
            with pytest.raises(error, match=message):
                library.diffnv(n, polynomial)(X, *v)
    for n, error, message in [
        (-1, ValueError, "`n` must be at least 0, got -1"),
        ((1, 0.5), TypeError, "`n` must be an integer, got 0.5|parameter 'n'|Called with parameters: {'n'"),
        ((), ValueError, "`n` must have an order for each direction"),
    ]:
        with pytest.raises(error, match=message):
            ad.diffnv(n, polynomial)
    with pytest.raises(TypeError, match="`x` must be a real float"):
        ad.diffnv(2, polynomial)(np.arange(3), U)
    with pytest.raises(TypeError, match=r"`f\(x\)` must be a real float"):
        jax.eval_shape(ad.diffnv(2, lambda x: 3), X, U)


COVARIANCE = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, -0.3], [0.0, 0.0, 0.4]])


@pytest.mark.slow
def test_estimates_are_within_their_errors_and_unbiased():
    samples = 1500
    correlated = lambda key, x: ad.random_normals(key, x) @ COVARIANCE
    hessian = jax.hessian(polynomial)(X)
    biharmonic = ad.laplacian(ad.laplacian(polynomial))

    @jax.jit
    def estimates(x, key):
        laplacians = [
            ad.stochastic_laplacian(polynomial, directions, num_samples=samples)(x, key=key)
            for directions in (ad.random_signs, ad.random_axes, ad.random_normals)
        ]
        diffusion = ad.stochastic_diffn(2, polynomial, correlated, num_samples=samples)(x, key=key)
        fourth = ad.stochastic_biharmonic(polynomial, num_samples=samples)(x, key=key)
        return [*laplacians, diffusion, fourth], biharmonic(x)

    found, exact = estimates(X, KEY)
    assert np.isclose(exact, 2 * 6 * 2 * X[0] * X[2])
    traces = [*[jnp.trace(hessian)] * 3, jnp.trace(COVARIANCE.T @ COVARIANCE @ hessian), exact]
    for (value, error), expected in zip(found, traces, strict=True):
        assert 1e-3 * error < abs(value - expected) < 4 * error  # an estimate, not the thing itself
    # the spread of random signs is known: what is not on the diagonal
    rest = hessian - jnp.diag(jnp.diag(hessian))
    assert np.isclose(found[0].standard_error, jnp.sqrt(2 * jnp.sum(rest**2) / samples), rtol=0.1)


@pytest.mark.slow
def test_estimates_of_tensors_and_of_fields():
    value, error = ad.stochastic_laplacian(lambda x: D(jnp.sum(x.array**3)), num_samples=3)(DV(X), key=KEY)
    assert tree_allclose((value, error), (D(6 * jnp.sum(X)), D(0.0)), atol=1e-12)  # exact: no mixed derivatives
    alike = ad.stochastic_laplacian(lambda x: x @ x, ad.random_axes)({"x": X}["x"], key=KEY)
    assert tree_allclose(tuple(alike), (jnp.array(6.0), jnp.array(0.0)), atol=1e-12)
    field = ad.stochastic_diffn(2, lambda x: {"a": x**2}, ad.random_signs)(X, key=KEY)
    assert tree_allclose(field.value, {"a": jnp.full(3, 2.0)})


def test_estimates_can_be_differentiated():
    def f(point):
        x, k = point
        estimate = ad.stochastic_laplacian(lambda x: jnp.sin(k @ x) * x[1], num_samples=2)(x, key=KEY)
        return estimate.value + ad.stochastic_biharmonic(lambda x: jnp.exp(k @ x))(x, key=KEY).value

    assert_derivatives_match(f, (X, WAVE))


def test_errors_of_estimates():
    with pytest.raises(ValueError, match="`num_samples` must be at least 2, got 1"):
        ad.stochastic_laplacian(polynomial, num_samples=1)
    with pytest.raises(ValueError, match="`num_samples` must be at least 2, got 1"):
        ad.stochastic_biharmonic(polynomial, num_samples=1)
    with pytest.raises(ValueError, match="`n` must be at least 1, got 0"):
        ad.stochastic_diffn(0, polynomial, ad.random_signs)
    with pytest.raises(
        TypeError, match=r"`directions` must be a function of a key and `x`, got 3|parameter 'directions'"
    ):
        ad.stochastic_diffn(2, polynomial, 3)
    for operator in (ad.stochastic_laplacian, ad.stochastic_biharmonic):
        with pytest.raises(TypeError, match=r"`num_samples` must be an integer|parameter 'num_samples'"):
            operator(polynomial, num_samples=2.5)
        with pytest.raises(TypeError, match=r"`key` must be a key|parameter 'key'"):
            operator(polynomial)(X, key=0)
        with pytest.raises((TypeError, ValueError), match=r"`key`|parameter 'key'"):
            operator(polynomial)(X, key=jax.random.split(KEY))
        with pytest.raises(TypeError, match="`x` must be a real float"):
            operator(polynomial)(np.arange(3), key=KEY)
        with pytest.raises(ValueError, match=r"`f\(x\)` must be one number"):
            jax.eval_shape(lambda x, operator=operator: operator(lambda x: x)(x, key=KEY), X)
    with pytest.raises(ValueError, match=r"`directions\(key, x\)` must have the shapes of `x`"):
        jax.eval_shape(lambda x: ad.stochastic_laplacian(polynomial, lambda key, x: x[:2])(x, key=KEY), X)
