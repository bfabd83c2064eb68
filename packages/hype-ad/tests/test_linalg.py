"""Linear algebra: NumPy's values, derivatives to second order in both modes, and singular matrices."""

import itertools

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DM, DV, D
from hype_ad.testing import assert_derivatives_match
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(3)
A = RNG.normal(size=(4, 4)) + 2 * np.eye(4)
B = RNG.normal(size=4)
S = A + A.T
P = A @ A.T + np.eye(4)
R = RNG.normal(size=(5, 3))


def test_values_and_kinds():
    a, b, c = DM(A), DV(B), DM(A[:, :2])
    cases = (
        (lambda: ad.solve(a, b), np.linalg.solve(A, B), DV),
        (lambda: ad.solve(a, c), np.linalg.solve(A, A[:, :2]), DM),
        (lambda: ad.solve(A, b), np.linalg.solve(A, B), DV),
        (lambda: ad.solve(a, B), np.linalg.solve(A, B), DV),
        (lambda: ad.solve(A, B), np.linalg.solve(A, B), jax.Array),
        (lambda: ad.solve_symmetric(DM(S), b), np.linalg.solve(S, B), DV),
        (lambda: ad.inverse(a), np.linalg.inv(A), DM),
        (lambda: ad.det(a), np.linalg.det(A), D),
        (lambda: ad.det(A), np.linalg.det(A), jax.Array),
        (lambda: ad.slogdet(a)[0], np.linalg.slogdet(A)[0], D),
        (lambda: ad.slogdet(a)[1], np.linalg.slogdet(A)[1], D),
        (lambda: ad.cholesky(DM(P)), np.linalg.cholesky(P), DM),
        (lambda: ad.outer(b, DV(R[0])), np.outer(B, R[0]), DM),
        (lambda: ad.outer(B, R[0]), np.outer(B, R[0]), jax.Array),
        (lambda: ad.trace(DM(R)), np.trace(R), D),
        (lambda: ad.diagonal(DM(R)), np.diagonal(R), DV),
        (lambda: ad.diagonal_matrix(b), np.diag(B), DM),
    )
    results = jax.jit(lambda: [call() for call, _, _ in cases])()
    for result, (_, expected, kind) in zip(results, cases, strict=True):
        assert isinstance(result, kind)
        np.testing.assert_allclose(result, expected, rtol=1e-11)


def test_factorizations():
    every = jax.jit(lambda r, s: (ad.qr(r), ad.eigh(s), ad.svd(r), ad.svd(r.T)))(DM(R), DM(S))
    assert [[type(factor) for factor in factors] for factors in every] == [[DM, DM], [DV, DM], *[[DM, DV, DM]] * 2]
    (q, r), (values, vectors), *decompositions = [[np.asarray(factor) for factor in factors] for factors in every]
    np.testing.assert_allclose(q @ r, R, atol=1e-14)
    np.testing.assert_allclose(q.T @ q, np.eye(3), atol=1e-14)
    np.testing.assert_array_equal(r, np.triu(r))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(S), rtol=1e-12)
    np.testing.assert_allclose(S @ vectors, vectors * values, atol=1e-13)
    for matrix, (u, s, v) in zip((R, R.T), decompositions, strict=True):
        np.testing.assert_allclose((u * s) @ v.T, matrix, atol=1e-13)
        np.testing.assert_allclose(s, np.linalg.svd(matrix)[1], rtol=1e-13)


def test_derivatives_of_solves():
    assert_derivatives_match(lambda x: ad.solve(*x), (DM(A), DV(B)), order=2)


def test_derivatives_of_factorizations():
    def f(a):
        return ad.slogdet(a)[1], ad.cholesky(a @ a.T), ad.qr(a), ad.eigh(a)[0], ad.svd(a)[1]

    assert_derivatives_match(f, DM(A))


def test_gradient_of_solve_by_the_matrix():
    x, weights = np.linalg.solve(A, B), np.arange(1.0, 5.0)
    gradient = lambda solve: jax.grad(lambda a: (solve(a, DV(B)) @ weights).array)
    both = jax.jit(lambda a, s: (gradient(ad.solve)(a), gradient(ad.solve_symmetric)(s)))
    general, symmetric = both(DM(A), DM(S))
    np.testing.assert_allclose(general, -np.outer(np.linalg.solve(A.T, weights), x), rtol=1e-11)
    plain = -np.outer(np.linalg.solve(S, weights), np.linalg.solve(S, B))
    np.testing.assert_allclose(symmetric, (plain + plain.T) / 2, rtol=1e-11, atol=1e-14)


def cofactors(a):
    """The gradient of the determinant from its definition: signed minors."""
    rows = range(len(a))
    minors = [[np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in rows] for i in rows]
    return np.array([[(-1) ** (i + j) * minors[i][j] for j in rows] for i in rows])


def second_cofactors(a, i, j, k, m):
    """Derivative of the determinant by a[i, j] and a[k, m]: the minor that leaves out two rows and two columns."""
    if i == k or j == m:
        return 0.0
    sign = (-1) ** (i + j + k + m) * (1 if (i < k) == (j < m) else -1)
    return sign * np.linalg.det(np.delete(np.delete(a, [i, k], 0), [j, m], 1))


def of_rank(n, rank):
    return RNG.normal(size=(n, rank)) @ RNG.normal(size=(rank, n))


RANKS = [(1, 1), (1, 0), (2, 1), (2, 0), (4, 4), (4, 3), (4, 2), (4, 1), (4, 0)]


@jax.jit
def derivatives_of_det(a):
    return ad.det(a), jax.grad(ad.det)(a), jax.jacfwd(ad.det)(a), jax.hessian(ad.det)(a)


@pytest.mark.parametrize(("n", "rank"), RANKS)
def test_determinant_of_any_rank(n, rank):
    a = of_rank(n, rank)
    value, reverse, forward, hessian = derivatives_of_det(a)
    np.testing.assert_allclose(value, np.linalg.det(a), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(reverse, cofactors(a), atol=1e-10)
    np.testing.assert_allclose(forward, cofactors(a), atol=1e-10)
    second = [second_cofactors(a, *index) for index in itertools.product(range(n), repeat=4)]
    np.testing.assert_allclose(hessian.reshape(-1), second, atol=1e-10)


@pytest.mark.slow
def test_determinant_to_third_order_at_a_singular_matrix():
    # Along a line of matrices it is a polynomial, whose coefficients are its derivatives.
    orders = [lambda s, a, v: ad.det(a + s * v)]
    for _ in range(3):
        orders.append(jax.grad(orders[-1]))
    compiled = jax.jit(lambda *x: [f(0.0, *x) for f in orders])
    direction, t = RNG.normal(size=(5, 5)), np.linspace(-1, 1, 6)
    for rank in range(5):
        a = of_rank(5, rank)
        coefficients = np.polynomial.polynomial.polyfit(t, [np.linalg.det(a + s * direction) for s in t], 5)
        np.testing.assert_allclose(compiled(a, direction), coefficients[:4] * [1, 1, 2, 6], atol=1e-9)


def test_determinant_of_nothing_is_one():
    assert float(ad.det(ad.zeros((0, 0)))) == 1.0


SINGULAR = [[[1.0, 2.0], [2.0, 4.0]], [[0.1, 0.2], [0.3, 0.6]], [[0.0, 0.0], [0.0, 0.0]], of_rank(4, 3), of_rank(4, 1)]


@pytest.mark.parametrize("a", SINGULAR)
def test_a_singular_solve_is_nan_and_so_are_its_derivatives(a):
    a, b = np.array(a), np.ones(len(a))
    for result in solves_and_derivatives(a, b):
        assert np.all(np.isnan(result))


@jax.jit
def solves_and_derivatives(a, b):
    solves = [ad.inverse(a), ad.solve_symmetric(a @ a.T, b), ad.solve(a, b)]
    by_both = jax.grad(lambda *x: jnp.sum(ad.solve(*x)), (0, 1))(a, b)
    return *solves, *by_both, jax.jvp(ad.solve, (a, b), (jnp.ones_like(a), b))[1]


def test_factorizations_where_they_do_not_exist():
    assert np.all(np.isnan(np.asarray(ad.cholesky(-np.eye(2)))[np.tril_indices(2)]))
    sign, logarithm = ad.slogdet(np.ones((2, 2)))
    assert (float(sign), float(logarithm)) == (0.0, -np.inf)


def test_derivatives_at_equal_eigenvalues():
    # Single eigenvalues have a corner there, functions that treat them alike have not; vectors have no derivative.
    sums = lambda a: ad.eigh(a)[0].sum(), lambda a: ad.svd(a)[1].sum(), lambda a: ad.eigh(a)[1][0, 1]
    *traces, vector = jax.jit(lambda a: [jax.grad(f)(a) for f in sums])(np.eye(3))
    np.testing.assert_allclose(traces, [np.eye(3)] * 2, atol=1e-15)
    assert np.any(np.isnan(vector))


solve = jax.jit(ad.solve)


def orthogonal(n):
    return np.linalg.qr(RNG.normal(size=(n, n)))[0]


@pytest.mark.parametrize("smallest", [0.0, 1e-12], ids=["singular", "sound"])
def test_singular_after_rounding(smallest):
    for _ in range(50):
        spectrum = np.r_[np.logspace(0, -8, 5), smallest]
        units = np.diag(10 ** RNG.uniform(-50, 50, 6)), np.diag(10 ** RNG.uniform(-50, 50, 6))
        for a in (
            (orthogonal(6) * spectrum) @ orthogonal(6),
            units[0] @ of_rank(6, 5 if smallest == 0 else 6) @ units[1],
        ):
            assert np.all(np.isnan(solve(a, np.ones(6)))) == (smallest == 0)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_a_sound_system_in_odd_units_is_solved(scale):
    units = np.diag([scale, 1.0, 1e-8, 1e6])
    x = np.arange(1.0, 5.0)
    np.testing.assert_allclose(solve(units @ A, units @ (A @ x)), x, rtol=1e-9)
    hilbert = 1 / (1 + np.add.outer(range(6), range(6)))
    np.testing.assert_allclose(solve(hilbert, hilbert @ np.ones(6)), np.ones(6), rtol=1e-6)


def test_empty_systems():
    solution, inverse = jax.jit(lambda a, b: (ad.solve(a, b), ad.inverse(a)))(np.zeros((0, 0)), np.zeros(0))
    assert solution.shape == (0,)
    assert inverse.shape == (0, 0)


def test_float32_stays():
    a, b = DM(A).astype(jnp.float32), DV(B).astype(jnp.float32)
    every = lambda a, b: (ad.solve(a, b), ad.solve_symmetric(a, b), ad.det(a), ad.inverse(a), ad.outer(b, b))
    for result in jax.eval_shape(every, a, b):
        assert result.dtype == jnp.float32
    assert jax.eval_shape(jax.hessian(ad.det), a.array).dtype == jnp.float32


def test_under_vmap():
    stack = np.stack([A, P, np.ones((4, 4))])
    solved, determinants = map(np.asarray, jax.jit(jax.vmap(lambda a: (ad.solve(a, B), ad.det(a))))(stack))
    np.testing.assert_allclose(solved[:2], np.linalg.solve(stack[:2], np.stack([B, B])[..., None])[..., 0], rtol=1e-11)
    assert np.all(np.isnan(solved[2]))
    np.testing.assert_allclose(determinants, np.linalg.det(stack), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ad.solve(R, B), r"^`a` must be a square matrix, got shape \(5, 3\)"),
        (lambda: ad.solve(A, R), r"^`b` must be a vector or a matrix with the 4 rows of `a`, got shape \(5, 3\)"),
        (
            lambda: ad.solve_symmetric(A, 1.0),
            r"^`b` must be a vector or a matrix with the 4 rows of `a`, got",
        ),
        (lambda: ad.solve_symmetric(R, B), r"^`a` must be a square matrix, got shape \(5, 3\)"),
        (lambda: ad.inverse(R), r"^`a` must be a square matrix, got shape \(5, 3\)"),
        (lambda: ad.det(R), r"^`a` must be a square matrix, got shape \(5, 3\)"),
        (lambda: ad.det(B), r"^`a` must be a matrix, got rank 1, shape \(4,\)"),
        (lambda: ad.slogdet(R), r"^`a` must be a square matrix, got shape \(5, 3\)"),
        (lambda: ad.cholesky(R), r"^`a` must be a square matrix, got shape \(5, 3\)"),
        (lambda: ad.eigh(R), r"^`a` must be a square matrix, got shape \(5, 3\)"),
        (lambda: ad.qr(B), r"^`a` must be a matrix, got rank 1, shape \(4,\)"),
        (lambda: ad.svd(B), r"^`a` must be a matrix, got rank 1, shape \(4,\)"),
        (lambda: ad.trace(B), r"^`a` must be a matrix, got rank 1, shape \(4,\)"),
        (lambda: ad.diagonal_matrix(A), r"^`v` must be a vector, got rank 2, shape \(4, 4\)"),
        (lambda: ad.outer(A, B), r"^`a` must be a vector, got rank 2, shape \(4, 4\)"),
    ],
)
def test_wrong_shapes_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_laws(one, other):
    a, b = (DM(np.random.default_rng(seed).normal(size=(4, 4)) + 4 * np.eye(4)) for seed in (one, other))
    x = DV(np.random.default_rng(one + 1).normal(size=4))
    laws = both_sides(a, b, x)
    np.testing.assert_allclose(*laws["determinant of a product"], rtol=1e-11)
    np.testing.assert_allclose(*laws["determinant of a transpose"], rtol=1e-12)
    np.testing.assert_allclose(*laws["solve"], atol=1e-12)
    np.testing.assert_allclose(*laws["inverse of a product"], atol=1e-12)
    np.testing.assert_allclose(*laws["transpose of a product"], atol=1e-13)
    np.testing.assert_allclose(*laws["trace of a product"], rtol=1e-12)
    np.testing.assert_allclose(*laws["trace of an outer product"], rtol=1e-12, atol=1e-14)


@jax.jit
def both_sides(a, b, x):
    return {
        "determinant of a product": (ad.det(a @ b), ad.det(a) * ad.det(b)),
        "determinant of a transpose": (ad.det(a.T), ad.det(a)),
        "solve": (a @ ad.solve(a, x), x),
        "inverse of a product": (ad.inverse(a @ b), ad.inverse(b) @ ad.inverse(a)),
        "transpose of a product": ((a @ b).T, b.T @ a.T),
        "trace of a product": (ad.trace(a @ b), ad.trace(b @ a)),
        "trace of an outer product": (ad.trace(ad.outer(x, a[0])), x @ a[0]),
    }
