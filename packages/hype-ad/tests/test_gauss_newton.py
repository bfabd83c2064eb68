"""Gauss-Newton products are those with the Hessian of a loss of a linearized model."""

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import DV
from hype_ad.testing import assert_derivatives_match

from .operators import array

X = {"w": array([[0.3, -0.7], [0.2, 0.9], [-1.1, 0.4]]), "b": array([0.1, -0.2, 0.3])}
V = {"w": array([[1.0, 0.2], [-0.3, 0.5], [0.7, -0.4]]), "b": array([0.5, 1.0, -1.0])}


def logits(x):
    return jnp.tanh(x["w"] @ np.array([0.8, -0.5]) + x["b"]) * 2


def cross_entropy(z):
    return jax.nn.logsumexp(z) - z[1]


def test_it_is_the_hessian_of_the_loss_of_the_linearized_model():
    @jax.jit
    def both(x, v):
        z, push = jax.linearize(logits, x)
        linearized = lambda y: cross_entropy(z + push(jax.tree.map(jnp.subtract, y, x)))
        return ad.value_and_grad_gnvp(logits, cross_entropy)(x, v), ad.value_and_grad_hvp(linearized)(x, v)

    jax.tree.map(np.testing.assert_allclose, *both(X, V))


def test_it_is_the_product_with_the_fisher_information():
    @jax.jit
    def both(b, v):
        of_bias = lambda b: logits({**X, "b": b})
        jacobian, probabilities = jax.jacobian(of_bias)(b), jax.nn.softmax(of_bias(b))
        scores = (jnp.eye(3) - probabilities[None]) @ jacobian
        return ad.gnvp(of_bias, cross_entropy)(b, v), scores.T @ (probabilities * (scores @ v))

    np.testing.assert_allclose(*both(X["b"], V["b"]), rtol=1e-12)


def test_it_is_differentiable():
    def loss(p):
        product = ad.gnvp(lambda x: p["c"] * logits(x), cross_entropy)(p["x"], V)
        return jnp.sum(jnp.sin(product["w"])) + product["b"] @ product["b"]

    assert_derivatives_match(loss, {"x": X, "c": 0.7})


def test_errors():
    with pytest.raises(ValueError, match=r"`loss\(f\(x\)\)` must be one number"):
        jax.eval_shape(ad.gnvp(logits, jnp.sin), X, V)
    with pytest.raises(ValueError, match="`v` must have the shapes of `x`"):
        jax.eval_shape(ad.gnvp(lambda x: x * 2), DV([1.0, 2.0]), DV([1.0]))
    with pytest.raises(TypeError, match=r"`f\(x\)` must be a real float"):
        jax.eval_shape(ad.gnvp(lambda x: jnp.arange(3)), X, V)
    with pytest.raises(TypeError, match=r"`loss` must be a function of f\(x\), got 3|parameter 'loss'"):
        ad.gnvp(logits, 3)
