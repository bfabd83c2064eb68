"""NewtonCG with Gauss-Newton products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV, gnvp
from hype_ad.testing import assert_derivatives_match
from hype_optim import Constant, NewtonCG, Params, Status, minimize

T = np.linspace(0.0, 2.0, 9)
START = {"a": np.array(2.0), "k": np.array(-0.3)}


def residuals(w, shift=0.0):
    return w["a"] * jnp.exp(w["k"] * T) - 1.5 * jnp.exp(-1.1 * T) - shift


def half_of_squares(w, shift=0.0):
    return jnp.sum(residuals(w, shift) ** 2) / 2


@pytest.mark.slow
def test_a_step_solves_the_linearized_problem():
    method = NewtonCG(product=gnvp(residuals))
    params = Params(1, method=method, learning_rate=Constant(1.0), silent=True, return_best=False)
    result = minimize(half_of_squares, START, params)
    moved = jnp.stack([result.w[name] - START[name] for name in ("a", "k")])
    jacobian = jnp.stack(jax.tree.leaves(jax.jacobian(residuals)(START)), axis=1)
    slope = jacobian.T @ residuals(START)
    # the inner solve of a first step ends at half of the residual
    assert jnp.linalg.norm(jacobian.T @ jacobian @ moved + slope) < jnp.linalg.norm(slope) / 2


def test_it_converges_where_the_hessian_is_negative():
    params = Params(40, method=NewtonCG(product=gnvp(residuals)), silent=True, tolerance=1e-9)
    result = minimize(half_of_squares, START, params)
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.w["k"], -1.1, rtol=1e-6)


@pytest.mark.slow
def test_it_is_differentiable_in_what_its_product_closes_over():
    def outcome(shift):
        method = NewtonCG(4, product=gnvp(lambda w: residuals(w, shift)))
        params = Params(2, method=method, learning_rate=Constant(0.5), silent=True)
        return minimize(lambda w: half_of_squares(w, shift), START, params).w["k"]

    assert_derivatives_match(outcome, jnp.array(0.1))


def test_weights_may_be_tensors():
    product = gnvp(lambda w: w.array - 1.0)
    params = Params(1, method=NewtonCG(product=product), learning_rate=Constant(1.0), silent=True)
    result = minimize(lambda w: jnp.sum((w.array - 1.0) ** 2) / 2, DV([3.0, 0.5]), params)
    np.testing.assert_allclose(result.w.array, 1.0)


def test_errors():
    with pytest.raises(TypeError, match="`product` must be a function such as"):
        NewtonCG(product=3)
    with pytest.raises(ValueError, match="`product` must give what has the shape of the weights"):
        minimize(half_of_squares, START, Params(1, method=NewtonCG(product=lambda w, v: v["a"]), silent=True))
