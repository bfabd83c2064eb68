"""Derivatives of runs of every method, rate and momentum: those of differences, and finite where nothing moves."""

from dataclasses import replace
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
    LBFGS,
    AdaGrad,
    Adam,
    Backtrack,
    Checkpointed,
    Constant,
    DaiYuanCG,
    Decay,
    ExpDecay,
    HypergradientDescent,
    Momentum,
    Nesterov,
    Newton,
    NewtonCG,
    NonlinearCG,
    NormClip,
    Optax,
    Params,
    RMSProp,
    Schedule,
    StepSchedule,
    StrongWolfe,
    Unrolled,
    minimize,
    positive,
    unit_interval,
)

from .problems import valley

START = np.array([-0.4, 0.8])
quiet = partial(Params, 3, silent=True, return_best=False)
best = partial(Params, 6, silent=True)

# Each choice once: a run's derivative along a leaf is compared whatever else the run does.
RUNS = {
    "cg": quiet(method=CG(), learning_rate=StrongWolfe(0.7, c2=0.2)),
    "cd": quiet(method=CD(), learning_rate=ExpDecay(positive(0.04), 0.3)),
    "nonlinear cg": best(
        method=NonlinearCG(), learning_rate=Schedule(np.linspace(0.03, 0.01, 4)), momentum=Nesterov(0.5)
    ),
    "dai-yuan": quiet(method=DaiYuanCG(), learning_rate=Backtrack(0.7, 0.1, unit_interval(0.4))),
    "newton cg": quiet(method=NewtonCG(), learning_rate=Decay(0.3, 0.3)),
    "newton": quiet(method=Newton(), learning_rate=Constant(0.6)),
    "lbfgs": quiet(method=LBFGS(2), learning_rate=HypergradientDescent(0.02, 1e-4), momentum=Momentum(0.5)),
    "steps": best(
        learning_rate=StepSchedule(np.linspace(0.05, 0.01, 7)), momentum=Nesterov(0.7), adjoint=Checkpointed(3)
    ),
    "ada grad": best(
        learning_rate=AdaGrad(0.1), momentum=Momentum(unit_interval(0.5)), adjoint=Unrolled(), derivative="forward"
    ),
    "rms prop": best(
        learning_rate=RMSProp(positive(0.05), unit_interval(0.8)),
        momentum=Nesterov(0.7),
        gradient_clipping=NormClip(0.8),
    ),
    "adam": quiet(learning_rate=Adam(0.1, 0.8, 0.95), momentum=Momentum(0.3)),
    "optax": quiet(
        method=Optax(optax.adamw, {"learning_rate": positive(0.1), "b1": unit_interval(0.8), "eps_root": 1e-10})
    ),
}


def outcome(result):
    """All of a result that has a derivative."""
    return result.w, result.loss, result.loss_history


# Derivatives of Newton's own steps follow; those of one conjugate gradient and of one rate of its kind stand for all.
RARE = {"newton", "nonlinear cg", "cg", "cd", "dai-yuan", "ada grad"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in RARE else ()) for name in RUNS])
def test_minimize_in_all_its_floats(name):
    f = lambda scale, w: scale * valley(w)
    run = lambda inputs: outcome(minimize(jax.tree_util.Partial(f, inputs[2]), *inputs[:2]))
    with jax.numpy_dtype_promotion("standard"):  # Optax raises rates to integer powers
        assert_derivatives_match(run, (START, RUNS[name], 1.3), num_directions=1)


@pytest.mark.parametrize(
    ("name", "modes"),
    [
        ("rms prop", ("reverse",)),
        *(
            pytest.param(name, ("reverse",), marks=pytest.mark.slow)
            for name in ("newton", "lbfgs", "adam", "newton cg", "cg")
        ),
        # Another succession of modes is taken through the loop of a constraint, too.
        pytest.param("rms prop", ("reverse", "forward"), marks=pytest.mark.slow),
    ],
)
def test_second_derivatives_of_minimize(name, modes):
    run = lambda inputs: minimize(valley, *inputs).w
    assert_derivatives_match(
        run, (START, replace(RUNS[name], epochs=3)), order=2, modes=modes, num_directions=1, rtol=1e-5
    )


@pytest.mark.parametrize("rate", [Backtrack(10.0), pytest.param(StrongWolfe(10.0), marks=pytest.mark.slow)])
def test_derivatives_of_searches_that_came_back_from_where_values_are_not_finite(rate):
    f = lambda scale, w: w - scale * jnp.log(w - 0.9)  # NaN at the first trial
    run = lambda inputs: minimize(jax.tree_util.Partial(f, inputs[1]), inputs[0], quiet(learning_rate=rate)).w
    assert_derivatives_match(run, (1.0, 1.0), num_directions=1)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "unit"), [(Newton(), 20), pytest.param(NewtonCG(), 1, marks=pytest.mark.slow)])
def test_derivatives_past_a_saddle(method, unit):
    # The Hessian is not positive definite at the first points, and the first gradient is along the stable direction.
    def f(scale, w):
        x, y = w[0], unit * w[1]
        return x**2 - scale * y**2 + y**4 / 2 + 0.1 * x * y

    run = lambda inputs: minimize(jax.tree_util.Partial(f, inputs[1]), inputs[0], quiet(method=method)).w
    assert_derivatives_match(run, (jnp.array([1.0, 0.05 / unit]), 1.0), num_directions=1)


@pytest.mark.slow
def test_derivatives_of_newton_where_eigenvalues_coincide():
    f = lambda scale, w: -scale * jnp.sum(w**2) + jnp.sum(w**4)
    params = quiet(method=Newton(), learning_rate=0.5)
    run = lambda inputs: minimize(jax.tree_util.Partial(f, inputs[1]), inputs[0], params).w
    assert_derivatives_match(run, (jnp.array([0.1, 0.1, 0.1]), 1.0), order=2, modes=("reverse",), num_directions=1)


@pytest.mark.parametrize(
    "name",
    [
        *("newton", "rms prop"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("cg", "dai-yuan", "lbfgs", "newton cg", "adam", "ada grad")
        ),
    ],
)
def test_derivatives_are_finite_where_the_gradient_is_zero(name):
    end = lambda w, params: jnp.sum(minimize(lambda w: jnp.sum(w**2), w, params).w)

    @jax.jit
    def derivatives(w, params):
        # The first derivatives, and sums of the second ones, which are finite only if each is.
        return jax.jvp(lambda w: jax.grad(end, argnums=(0, 1))(w, params), (w,), (jnp.ones(2),))

    found = derivatives(jnp.zeros(2), RUNS[name])
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
