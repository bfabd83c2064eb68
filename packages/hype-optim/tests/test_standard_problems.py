"""Methods on the standard problems of unconstrained minimization, against SciPy's methods."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hype_optim import (
    CG,
    LBFGS,
    AbstractMethod,
    CrossEntropyOnLinear,
    Dataset,
    Newton,
    NewtonCG,
    NoReg,
    Params,
    Status,
    minimize,
    train,
)

from .standard import PROBLEMS, powell_badly_scaled, reached, sum_of_squares

TOLERANCE = 1e-5


def solve(name, method, tolerance=TOLERANCE):
    """The result on a problem, and the number of evaluations."""
    residuals, start, _ = PROBLEMS[name]
    f, calls = sum_of_squares(residuals), []

    def counting(w):
        jax.debug.callback(lambda: calls.append(1))
        return f(w)

    result = minimize(counting, jnp.array(start), Params(2000, method, tolerance=tolerance, silent=True))
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
@pytest.mark.parametrize(
    ("method", "theirs", "options"),
    [(LBFGS(), "L-BFGS-B", {"gtol": 1e-5, "ftol": 0, "maxfun": 10**5}), (CG(), "CG", {"gtol": 1e-6})],
    ids=["LBFGS", "CG"],
)
def test_it_makes_about_as_many_evaluations_as_scipys(method, theirs, options):
    ours = scipys = 0
    for name, (residuals, start, minima) in PROBLEMS.items():
        f = sum_of_squares(residuals)
        found = scipy.optimize.minimize(
            jax.jit(f), np.array(start), jac=jax.jit(jax.grad(f)), method=theirs, options=options
        )
        if reached(found.fun, minima):
            result, evaluations = solve(name, method, options["gtol"])
            assert reached(result.loss, minima)
            ours, scipys = ours + evaluations, scipys + found.nfev
    assert ours <= 1.3 * scipys


class Counted(AbstractMethod):
    """A method that calls a function whenever it multiplies by the Hessian."""

    uses_hessian: ClassVar[bool] = True

    method: AbstractMethod
    count: Callable[[], None] = eqx.field(static=True)

    def default_learning_rate(self):
        return self.method.default_learning_rate()

    def init(self, w):
        return self.method.init(w)

    def is_step(self, memory):
        return self.method.is_step(memory)

    def direction(self, iterate, memory):
        def product(v):
            jax.debug.callback(self.count)
            return iterate.hessian_product(v)

        return self.method.direction(iterate._replace(hessian_product=product), memory)


def units_up_to_a_million(start):
    """Units for the weights of a problem."""
    return 10.0 ** (np.arange(len(start)) % 7 - 3)


def in_units(residuals, w, units):
    """The sum of the squares of residuals at weights that have units."""
    return jnp.sum(residuals(units * w) ** 2)


def hessian_product(f, w, v, units):
    return jax.jvp(lambda w: jax.grad(f)(w, units), (w,), (v,))[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "theirs"), [(Newton(), "trust-exact"), (NewtonCG(), "trust-krylov")], ids=["Newton", "NewtonCG"]
)
def test_newtons_methods_solve_what_scipys_trust_regions_solve_in_any_units(method, theirs):
    exact = theirs == "trust-exact"
    products: list[int] = []
    params = Params(2000, Counted(method, partial(products.append, 1)), tolerance=1e-6, silent=True)
    ratios = []
    for residuals, start, minima in PROBLEMS.values():
        f = partial(in_units, residuals)
        value, gradient = jax.jit(f), jax.jit(jax.grad(f))
        hessian = {"hess": jax.jit(jax.hessian(f))} if exact else {"hessp": jax.jit(partial(hessian_product, f))}
        g = partial(lambda f, units, w: f(w, units), f)
        for units in (np.ones(len(start)), units_up_to_a_million(start)):
            products.clear()
            result = minimize(jax.tree_util.Partial(g, units), start / units, params)
            jax.effects_barrier()
            with np.errstate(all="ignore"):
                found = scipy.optimize.minimize(
                    value, start / units, units, theirs, gradient, options={"gtol": 1e-6, "maxiter": 2000}, **hessian
                )
            assert result.status == Status.CONVERGED
            # In large units a gradient is short also above a minimum.
            assert reached(result.loss, minima) or result.loss <= 3 * found.fun
            if reached(found.fun, minima):
                ratios.append(int(result.steps) / found.nit if exact else len(products) / found.nhev)
    assert np.mean(ratios) < 0.8
    assert np.max(ratios) < 1.75


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "name", "change_units", "most"),
    [(Newton(), "Biggs", True, 200), (NewtonCG(), "Wood", False, 50)],
    ids=["Newton", "NewtonCG"],
)
def test_newtons_methods_make_few_steps_where_curvature_is_negative(method, name, change_units, most):
    # SciPy's trust-exact makes 851 on the first, trust-krylov 85 on the second.
    residuals, start, minima = PROBLEMS[name]
    units = units_up_to_a_million(start) if change_units else np.ones(len(start))
    params = Params(most, method, tolerance=1e-6, silent=True)
    result = minimize(lambda w: in_units(residuals, w, units), start / units, params)
    assert result.status == Status.CONVERGED
    assert reached(result.loss, minima)


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
