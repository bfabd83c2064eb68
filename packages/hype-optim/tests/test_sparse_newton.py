"""Newton's method and implicit derivatives with a sparse Hessian are those with the whole one."""

from functools import partial

import hype_ad as ad
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from hype_ad import hessian_sparsity
from hype_ad.testing import assert_derivatives_match
from hype_optim import Constant, Implicit, Newton, NonNegative, Params, Status, minimize
from hype_optim._transform.sparse_solve import factorized, solve_sparse

N = 70
quiet = partial(Params, silent=True, learning_rate=Constant(1.0))
START = {"a": np.linspace(-0.3, 0.4, N - 1), "b": np.array(0.2)}


def chain(w, c=1.0):
    """Convex, each weight tied to the next but one."""
    x = jnp.append(w["a"], w["b"])
    return jnp.sum(jnp.cosh(x - c)) + c * jnp.sum((x[2:] - x[:-2] ** 2 / 4) ** 2)


SPARSITY = hessian_sparsity(chain)(START)


@pytest.mark.slow
def test_a_step_is_that_of_the_whole_hessian():
    @jax.jit
    def both(w):
        run = lambda method: minimize(chain, w, quiet(2, method=method)).w
        return run(Newton(SPARSITY)), run(Newton())

    sparse, whole = both(START)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12), sparse, whole)


@pytest.mark.parametrize("arrow", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_factor_is_that_of_a_band(arrow):
    random = np.random.default_rng(0)
    near = np.abs(np.subtract.outer(np.arange(N), np.arange(N))) < (2 if arrow else 6)
    matrix = np.where(near, random.normal(size=(N, N)), 0.0)
    matrix = matrix + matrix.T + 20 * np.eye(N)
    if arrow:
        matrix[3] = matrix[:, 3] = 0.1 * np.arange(N) + 60 * (np.arange(N) == 3)
    shuffled = random.permutation(N)
    matrix = jnp.asarray(matrix[shuffled][:, shuffled])
    right, sparsity = jnp.asarray(random.normal(size=N)), ad.Sparsity(matrix)

    @jax.jit
    def solved(matrix, right):
        product = lambda v: matrix @ v
        solution = solve_sparse(product, right, factorized(product, right, sparsity, shifted=False))
        return solution, factorized(lambda v: -product(v), right, sparsity, shifted=True)

    solution, opposite = solved(matrix, right)
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, right), rtol=1e-9)
    assert opposite.exists()
    moved = opposite.shift * np.eye(N) - matrix
    assert np.linalg.eigvalsh(moved)[0] > 0
    np.testing.assert_allclose(moved @ opposite.solve(right), right, rtol=1e-7)


@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_solutions_have_all_derivatives(order):
    base = np.diag(np.linspace(2.0, 3.0, 5)) + np.diag(np.ones(4), 1) / 2 + np.diag(np.ones(4), -1) / 2
    sparsity = ad.Sparsity(base)

    def solution(c):
        product = lambda v: jnp.sin(c) * (base @ v)
        right = c * jnp.arange(5.0)
        return solve_sparse(product, right, factorized(product, right, sparsity, shifted=False))

    assert_derivatives_match(solution, jnp.array(0.8), order=order)


@pytest.mark.slow
def test_where_it_is_not_positive_definite_a_multiple_of_the_identity_is_added():
    double_well = lambda w: jnp.sum((w**2 - 1) ** 2) + jnp.sum((w[1:] - w[:-1]) ** 2) / 10
    w0 = 0.1 * jnp.cos(jnp.arange(40.0))
    params = Params(60, method=Newton(hessian_sparsity(double_well)(w0)), silent=True, tolerance=1e-9)
    result = minimize(double_well, w0, params)
    assert result.status == Status.CONVERGED
    assert jnp.linalg.eigvalsh(jax.hessian(double_well)(result.w))[0] > 0


@pytest.mark.slow
def test_derivatives_through_steps_and_at_the_minimum():
    def outcome(c, params):
        w = minimize(lambda w: chain(w, c), START, params).w
        return jnp.sum(jnp.sin(w["a"])) * w["b"]

    steps = quiet(2, method=Newton(SPARSITY))
    assert_derivatives_match(partial(outcome, params=steps), jnp.array(0.8), order=2)
    implicit = quiet(12, method=Newton(SPARSITY), adjoint=Implicit(sparsity=SPARSITY), return_best=False)
    assert_derivatives_match(partial(outcome, params=implicit), jnp.array(0.8), order=2)


LACKING = SPARSITY.to_array()
LACKING[3, 5] = LACKING[5, 3] = False


@pytest.mark.slow
def test_missing_entries_give_no_step():
    params = quiet(1, method=Newton(LACKING), return_best=False)
    assert jnp.isnan(minimize(chain, START, params).w["b"])


@pytest.mark.slow
def test_a_run_without_a_direction_says_so():
    cone = lambda w: jnp.sum(jnp.sqrt(jnp.abs(w - 1)) * (w - 1)) + w[0] * w[1]  # of infinite curvature at 1
    for settings, method, w0 in [
        ({}, Newton(np.eye(2)), jnp.array([2.0, 3.0])),
        ({"learning_rate": Constant(0.5)}, Newton(), jnp.ones(2)),
    ]:
        result = minimize(cone, w0, Params(2, method=method, silent=True, **settings))
        assert result.status == Status.NO_DIRECTION
        assert jnp.all(result.w == w0)
        with pytest.raises(RuntimeError, match="the `sparsity` of `Newton` lacks entries"):
            result.check()


@pytest.mark.slow
def test_missing_entries_give_no_derivative():
    implicit = quiet(1, adjoint=Implicit(sparsity=LACKING, tolerance=1e9))
    with pytest.warns(UserWarning, match="`Implicit` gives a derivative of NaN"):
        assert jnp.isnan(jax.grad(lambda c: minimize(lambda w: chain(w, c), START, implicit).w["b"])(0.8))


def test_errors():
    with pytest.raises(
        ValueError, match=r"`sparsity` must be of as many rows and columns as weights, 70, got \(2, 2\)"
    ):
        minimize(chain, START, quiet(1, method=Newton(np.eye(2))))
    with pytest.raises(
        ValueError, match=r"`sparsity` must be of as many rows and columns as weights, 70, got \(2, 2\)"
    ):
        minimize(chain, START, quiet(1, adjoint=Implicit(sparsity=np.eye(2))))
    with pytest.raises(ValueError, match="`sparsity` and `linear_solver` are two ways to solve"):
        Implicit(lx.LU(), sparsity=SPARSITY)
    held = quiet(1, constraint=NonNegative(), adjoint=Implicit(sparsity=SPARSITY))
    with pytest.raises(ValueError, match="`sparsity` must be left out under a constraint"):
        minimize(chain, START, held)
    with pytest.raises(TypeError, match="`sparsity` must be a Sparsity or a matrix"):
        Newton(3)
