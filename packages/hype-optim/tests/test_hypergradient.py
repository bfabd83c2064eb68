"""Every float that enters a run has the derivative that differences of float64 say it has."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    GD,
    Constant,
    CrossEntropyOnLinear,
    CrossEntropyOnSoftmax,
    Dataset,
    Full,
    L1Reg,
    L2Loss,
    L2Reg,
    Minibatch,
    Nesterov,
    NoMomentum,
    NormClip,
    Params,
    Quadratic,
    RMSProp,
    StepSchedule,
    minimize,
    positive,
    train,
)

from .problems import classes, network, regression

START = np.array([-0.4, 0.8])
quiet = partial(Params, silent=True)


def outcome(result):
    """All of a result that has a derivative."""
    return result.w, result.loss, result.loss_history


TRAININGS = {
    "full batch": (classes(), quiet(3, learning_rate=Constant(0.3), loss=CrossEntropyOnLinear(), batch=Full())),
    "minibatches with a remainder": (
        classes(11),
        quiet(2, learning_rate=Constant(0.3), momentum=Nesterov(0.8), loss=CrossEntropyOnLinear(), batch=Minibatch(4)),
    ),
    "part of an epoch": (
        regression(12),
        quiet(
            learning_rate=StepSchedule(positive(np.full(5, 0.05))),
            loss=L2Loss(),
            batch=Minibatch(4),
            regularization=L1Reg(0.02),
        ),
    ),
    "regression": (
        regression(12),
        quiet(
            2, learning_rate=RMSProp(0.02, 0.9), loss=Quadratic(), batch=Minibatch(4), gradient_clipping=NormClip(0.5)
        ),
    ),
}


# What is left out of the quick ones is in those of each step and each adjoint.
SLOW = {"full batch", "part of an epoch", "regression"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in TRAININGS]
)
def test_train_in_all_its_floats(name):
    data, params = TRAININGS[name]
    key = jax.random.key(5) if "remainder" in name else None
    # Labels are integers and have no derivative; float targets have.
    inputs = (network(), params, data.x, data.y if data.y.ndim == 2 else None)

    def run(inputs):
        model, params, x, y = inputs
        return outcome(train(model, Dataset(x, data.y if y is None else y), params, key=key))

    assert_derivatives_match(run, inputs, num_directions=1)


@pytest.mark.slow  # `test_implicit.py` and `test_reversible.py` have some of it
def test_the_validation_loss_in_all_floats_of_a_run():
    data, valid = classes(12), classes(17)
    params = quiet(3, learning_rate=Constant(0.3), loss=CrossEntropyOnLinear(), batch=Minibatch(4))

    def run(inputs):
        scale, params, x_valid = inputs
        result = train(network(scale), data, params, valid=Dataset(x_valid[11:], valid.y[11:]))
        return result.valid_loss, result.valid_history

    assert_derivatives_match(run, (0.5, params, valid.x), num_directions=1)


@pytest.mark.slow
def test_second_derivatives_of_train():
    data, params = classes(8), quiet(1, learning_rate=Constant(0.3), momentum=Nesterov(0.8), batch=Minibatch(4))
    params = replace(params, loss=CrossEntropyOnLinear())
    run = lambda inputs: train(inputs[0], Dataset(inputs[2], data.y), inputs[1]).loss
    assert_derivatives_match(run, (network(), params, data.x), order=2, modes=("reverse",), num_directions=1)


@pytest.mark.slow  # `test_compositions.py` takes one of more
def test_one_call_of_grad_gives_the_derivative_with_respect_to_every_hyperparameter():
    data = classes()
    params = quiet(3, learning_rate=Constant(0.3), momentum=Nesterov(0.8), loss=CrossEntropyOnLinear())
    gradient = jax.jit(jax.grad(lambda params: train(network(), data, params).loss))(params)
    assert isinstance(gradient, Params)
    for part in (gradient.learning_rate.rate, gradient.momentum.decay, gradient.regularization.coefficient):
        assert part.shape == ()
        assert np.isfinite(part)
        assert part != 0


@pytest.mark.slow  # `test_auto.py` and `test_reversible.py` have one each under both
def test_jit_and_vmap_do_not_change_a_hypergradient():
    data, model = classes(12), jax.tree_util.Partial(lambda w, x: jax.nn.softmax(w(x)), network())
    params = quiet(2, loss=CrossEntropyOnSoftmax(), batch=Minibatch(4), return_best=False)
    end = lambda rate: train(model, data, replace(params, learning_rate=Constant(rate))).loss
    rates = jnp.array([0.1, 0.3])
    one_by_one = jnp.stack([jax.grad(end)(rate) for rate in rates])
    at_once = jax.jit(jax.vmap(lambda rate: (jax.grad(end)(rate), jax.jacfwd(end)(rate))))(rates)
    np.testing.assert_allclose(at_once, (one_by_one, one_by_one), rtol=1e-10)


def test_a_minimize_within_a_minimize():
    # min over x of (x - 2)^2 + min over y of (y - x)^2 + y^2: y = x / 2, so x = 4/3 and the value is 4/3.
    inner = quiet(60, learning_rate=Constant(0.2))
    inner_loss = lambda x, y: (y - x) ** 2 + y**2
    best_y = lambda x: minimize(jax.tree_util.Partial(inner_loss, x), jnp.array(0.0), inner).loss
    result = minimize(lambda x: (x - 2) ** 2 + best_y(x), jnp.array(0.0), quiet(60, learning_rate=Constant(0.2)))
    np.testing.assert_allclose(result.w, 4 / 3, rtol=1e-8)
    np.testing.assert_allclose(result.loss, 4 / 3, rtol=1e-8)


@pytest.mark.slow  # in the outer rate alone `test_auto.py` has them, and those of second order follow
def test_derivatives_of_a_minimize_within_a_minimize():
    def nested(inputs):
        rate, outer_rate = inputs
        inner = lambda x: (
            minimize(
                jax.tree_util.Partial(lambda x, y: jnp.sum((y - x) ** 2) + jnp.sum(y**4), x),
                jnp.zeros(2),
                quiet(3, learning_rate=rate),
            ).loss
        )
        return minimize(inner, START, quiet(3, learning_rate=outer_rate)).w

    assert_derivatives_match(nested, (0.1, 0.2), num_directions=1)


@pytest.mark.slow
def test_the_hessian_of_an_outer_objective_through_an_inner_minimize():
    # One gradient step of rate r on a quadratic multiplies w by 1 - r a, so 3 steps give a closed form.
    a, w0 = jnp.array([1.0, 3.0]), jnp.array([1.0, -2.0])
    inner = lambda r: minimize(lambda w: 0.5 * jnp.sum(a * w**2), w0, Params(3, learning_rate=r, silent=True)).loss
    closed = lambda r: 0.5 * jnp.sum(a * (w0 * (1 - r * a) ** 3) ** 2)
    np.testing.assert_allclose(inner(0.1), closed(0.1), rtol=1e-13)
    ours, exact = (
        jax.jit(lambda r, f=f: (jax.hessian(f)(r), jax.jacrev(jax.jacfwd(f))(r)))(0.1) for f in (inner, closed)
    )
    np.testing.assert_allclose(ours, exact, rtol=1e-11)


@pytest.mark.parametrize(
    "regularization", [L1Reg(0.1), pytest.param(L2Reg(0.1), marks=pytest.mark.slow)], ids=lambda r: type(r).__name__
)
def test_derivatives_are_finite_where_residuals_and_weights_are_zero(regularization):
    data = Dataset(jnp.zeros((4, 3)), jnp.zeros((4, 2)))
    still = jax.tree.map(jnp.zeros_like, network())
    params = quiet(2, method=GD(), momentum=NoMomentum(), loss=L2Loss(), regularization=regularization)
    gradient = jax.jit(jax.grad(lambda model, params: train(model, data, params).loss, argnums=(0, 1)))(still, params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
