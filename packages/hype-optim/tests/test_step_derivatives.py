"""Derivatives through every method and every rate: what differences of float64 say, and finite where nothing moves."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    CD,
    CG,
    GD,
    LBFGS,
    AdaGrad,
    Adam,
    Backtrack,
    DaiYuanCG,
    Decay,
    ExpDecay,
    HypergradientDescent,
    Momentum,
    Nesterov,
    Newton,
    NewtonCG,
    NonlinearCG,
    Optax,
    Params,
    StrongWolfe,
    minimize,
    positive,
    unit_interval,
)

from .problems import valley

START = jnp.array([-0.4, 0.8])
quiet = partial(Params, 3, silent=True, return_best=False)

STEPS = {
    "cg": quiet(method=CG()),
    "cd": quiet(method=CD(), learning_rate=0.03),
    "nonlinear cg": quiet(method=NonlinearCG(), learning_rate=0.03, momentum=Nesterov(0.5)),
    "dai-yuan": quiet(method=DaiYuanCG(), learning_rate=0.03),
    "newton cg": quiet(method=NewtonCG()),
    "newton": quiet(method=Newton()),
    "lbfgs": quiet(method=LBFGS(2), learning_rate=0.03, momentum=Momentum(0.5)),
    "decay": quiet(learning_rate=Decay(0.04, 0.3)),
    "exp decay": quiet(learning_rate=ExpDecay(positive(0.04), 0.3)),
    "backtrack": quiet(method=GD(), learning_rate=Backtrack(0.7, 0.1, unit_interval(0.4))),
    "strong wolfe": quiet(method=GD(), learning_rate=StrongWolfe(0.7, c2=0.2)),
    "ada grad": quiet(learning_rate=AdaGrad(0.1)),
    "adam": quiet(learning_rate=Adam(0.1, 0.8, 0.95), momentum=Momentum(0.3)),
    "hypergradient": quiet(learning_rate=HypergradientDescent(0.01, 1e-3)),
    "optax": quiet(
        method=Optax(optax.adamw, {"learning_rate": positive(0.1), "b1": unit_interval(0.8), "eps_root": 1e-10})
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_minimize_in_all_its_floats(name):
    f = lambda scale, w: scale * valley(w)
    run = lambda inputs: minimize(jax.tree_util.Partial(f, inputs[2]), *inputs[:2]).w
    with jax.numpy_dtype_promotion("standard"):  # Optax raises rates to integer powers
        assert_derivatives_match(run, (START, STEPS[name], 1.3), num_directions=1)


@pytest.mark.parametrize("name", ["newton cg", "lbfgs", "strong wolfe", "adam"])
def test_second_derivatives_of_minimize(name):
    run = lambda inputs: minimize(valley, inputs[0], inputs[1]).w
    assert_derivatives_match(run, (START, STEPS[name]), order=2, modes=("reverse",), num_directions=1, rtol=1e-5)


@pytest.mark.parametrize("rate", [Backtrack(10.0), StrongWolfe(10.0)])
def test_derivatives_of_searches_that_came_back_from_where_values_are_not_finite(rate):
    f = lambda scale, w: w - scale * jnp.log(w - 0.9)  # NaN at the first trial
    run = lambda inputs: minimize(jax.tree_util.Partial(f, inputs[1]), inputs[0], quiet(learning_rate=rate)).w
    assert_derivatives_match(run, (1.0, 1.0), num_directions=1)


def test_derivatives_of_newton_past_a_saddle():
    # The Hessian is not positive definite at the first points, and the first gradient is along the stable direction.
    f = lambda scale, w: w[0] ** 2 - scale * w[1] ** 2 + w[1] ** 4 / 2 + 0.1 * w[0] * w[1]
    run = lambda inputs: minimize(jax.tree_util.Partial(f, inputs[1]), inputs[0], quiet(method=Newton())).w
    assert_derivatives_match(run, (jnp.array([1.0, 0.05]), 1.0), num_directions=1)


def test_derivatives_of_newton_where_eigenvalues_coincide():
    f = lambda scale, w: -scale * jnp.sum(w**2) + jnp.sum(w**4)
    params = quiet(method=Newton(), learning_rate=0.5)
    run = lambda inputs: minimize(jax.tree_util.Partial(f, inputs[1]), inputs[0], params).w
    assert_derivatives_match(run, (jnp.array([0.1, 0.1, 0.1]), 1.0), order=2, modes=("reverse",), num_directions=1)


@pytest.mark.parametrize("name", ["cg", "dai-yuan", "newton cg", "newton", "lbfgs", "strong wolfe", "ada grad", "adam"])
def test_derivatives_are_finite_where_the_gradient_is_zero(name):
    end = lambda w, params: jnp.sum(minimize(lambda w: jnp.sum(w**2), w, params).w)

    @jax.jit
    def derivatives(w, params):
        first = jax.grad(end, argnums=(0, 1))(w, params)
        return first, jax.jacfwd(lambda w: jax.grad(end, argnums=(0, 1))(w, params))(w)

    found = derivatives(jnp.zeros(2), STEPS[name])
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))


def test_methods_take_each_others_rates():
    run = lambda rate: minimize(valley, START, quiet(method=LBFGS(2), learning_rate=rate)).w
    assert_derivatives_match(run, HypergradientDescent(0.02, 1e-4), num_directions=1)
