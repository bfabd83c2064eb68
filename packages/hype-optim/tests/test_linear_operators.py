"""Operators of Lineax are the matrices that they are named after, and its solvers take them."""

from functools import partial

import hype_ad as ad
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from hype_ad import DV
from hype_ad.testing import assert_derivatives_match
from hype_optim import gauss_newton_operator, hessian_operator, jacobian_operator

X = np.array([0.7, -1.3, 0.4])


def field(x):
    return jnp.stack([x[0] * x[1] ** 2, jnp.sin(x[2]), x[0] * x[2], x[1]])


def convex(x):
    return jnp.sum(jnp.cosh(x)) + (x @ np.array([1.0, 2.0, -1.0])) ** 2


def test_they_are_the_matrices():
    @jax.jit
    def compute(x):
        jacobian, of_loss = ad.jacobian(field)(x), ad.hessian(jax.nn.logsumexp)(field(x))
        matrices = [jacobian, ad.hessian(convex)(x), jacobian.T @ jacobian, jacobian.T @ of_loss @ jacobian]
        squares, loss = gauss_newton_operator(field, x), gauss_newton_operator(field, x, jax.nn.logsumexp)
        operators = [jacobian_operator(field, x), hessian_operator(convex, x), squares, loss]
        return [(o.as_matrix(), o.T.as_matrix()) for o in operators], [(matrix, matrix.T) for matrix in matrices]

    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-14), *compute(X))


def test_they_have_the_right_tags():
    assert not lx.is_symmetric(jacobian_operator(lambda x: x**2, X))
    assert lx.is_symmetric(hessian_operator(convex, X))
    assert not lx.is_positive_semidefinite(hessian_operator(convex, X))
    assert lx.is_positive_semidefinite(hessian_operator(convex, X, positive=True))
    assert lx.is_positive_semidefinite(gauss_newton_operator(field, X))


@pytest.mark.slow
def test_solutions_are_differentiable():
    def step(c):
        operator = hessian_operator(lambda x: c * convex(x), X, positive=True)
        return lx.linear_solve(operator, ad.grad(convex)(X) * c**3, lx.CG(1e-12, 1e-12)).value

    assert_derivatives_match(step, jnp.array(0.8), order=2)


def test_tensors():
    operator = hessian_operator(lambda x: x @ x * x[0], DV(X))
    assert isinstance(operator.mv(DV(X)), DV)


def test_errors():
    with pytest.raises(TypeError, match="`x` must be a real float"):
        jacobian_operator(field, jnp.arange(3))
    with pytest.raises(ValueError, match=r"`f\(x\)` must be one number"):
        hessian_operator(field, X)
    with pytest.raises(ValueError, match=r"`loss\(f\(x\)\)` must be one number"):
        gauss_newton_operator(field, X, jnp.sin)
