"""`LBFGS` and `Newton` on the standard problems of unconstrained minimization, against SciPy's methods."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hype_optim import LBFGS, CrossEntropyOnLinear, Dataset, Newton, NoReg, Params, Status, minimize, train

from .standard import PROBLEMS, powell_badly_scaled, reached, sum_of_squares

TOLERANCE = 1e-5


def solve(name, method):
    """The result on a problem, and the number of evaluations."""
    residuals, start, _ = PROBLEMS[name]
    f, calls = sum_of_squares(residuals), []

    def counting(w):
        jax.debug.callback(lambda: calls.append(1))
        return f(w)

    result = minimize(counting, jnp.array(start), Params(2000, method, tolerance=TOLERANCE, silent=True))
    jax.effects_barrier()
    return result, len(calls) - 1  # the last gives the result its loss


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("method", [LBFGS(), Newton()], ids=["LBFGS", "Newton"])
def test_every_standard_problem_is_solved_and_said_to_be(name, method):
    residuals, _, minima = PROBLEMS[name]
    result, _ = solve(name, method)
    assert reached(result.loss, minima)
    assert result.status == Status.CONVERGED
    assert jnp.linalg.norm(jax.grad(sum_of_squares(residuals))(result.w)) <= TOLERANCE


@pytest.mark.slow
def test_lbfgs_makes_about_as_many_evaluations_as_scipys():
    ours = theirs = 0
    for name, (residuals, start, _) in PROBLEMS.items():
        f = sum_of_squares(residuals)
        options = {"ftol": 0, "gtol": TOLERANCE, "maxfun": 10**5}
        found = scipy.optimize.minimize(
            jax.jit(f), np.array(start), jac=jax.jit(jax.grad(f)), method="L-BFGS-B", options=options
        )
        ours, theirs = ours + solve(name, LBFGS())[1], theirs + found.nfev
    assert ours <= 1.3 * theirs


def test_newton_follows_a_valley_between_weights_of_different_units():
    params = Params(200, Newton(), tolerance=TOLERANCE, silent=True)
    result = minimize(sum_of_squares(powell_badly_scaled), jnp.array([0.0, 1.0]), params)
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.w, [1.098159e-5, 9.106146], rtol=1e-5)


@pytest.mark.slow
def test_newton_on_redundant_classes_has_a_finite_derivative():
    # Without a penalty the logits of a softmax are redundant, so that several eigenvalues are 0.
    x = jax.random.normal(jax.random.key(0), (60, 40, 4))
    labels = jnp.argmax(x[:, :, :3] + jax.random.normal(jax.random.key(1), (60, 40, 3)), axis=-1)
    model = jax.tree_util.Partial(lambda w, x: w @ x, jnp.zeros((3, 4)))
    params = Params(12, Newton(), loss=CrossEntropyOnLinear(), regularization=NoReg(), silent=True)

    def loss(x, y):
        return train(model, Dataset(x, y), params).loss

    assert np.all(np.isfinite(jax.jit(jax.vmap(jax.grad(loss)))(x, labels)))
