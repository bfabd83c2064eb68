"""Searches start at any scale, say where they end, evaluate nothing twice, and runs end when they are done."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
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
    Dataset,
    Minibatch,
    Newton,
    NewtonCG,
    NonlinearCG,
    NoReg,
    Params,
    Quadratic,
    RMSProp,
    Status,
    StrongWolfe,
    minimize,
    train,
)

from .problems import beale, rosenbrock, valley

quiet = partial(Params, silent=True)
slow = pytest.mark.slow
T = np.linspace(0, 4, 40)
DECAY = 3 * np.exp(0.9 * T) + 2


def squared_errors(scale, w):
    """Scaled squared errors of a fit of a exp(b t) + c; the gradient of their sum at (1, 1.4, 0) is 1.2e6 long."""
    return scale * jnp.sum((w[0] * jnp.exp(w[1] * T) + w[2] - DECAY) ** 2)


@pytest.mark.parametrize(
    "method",
    [LBFGS(), CG(), CD(), NonlinearCG(), DaiYuanCG()],
    ids=lambda method: type(method).__name__,
)
@slow  # `test_no_bit_depends_on_the_unit_of_the_objective` holds more of fewer steps
def test_the_unit_of_the_objective_does_not_matter(method):
    for scale in (1.0, 1 / 40, 1e12, 1e-12):
        result = minimize(jax.tree_util.Partial(squared_errors, scale), jnp.array([1.0, 1.4, 0.0]), quiet(400, method))
        np.testing.assert_allclose(result.w, [3, 0.9, 2], rtol=1e-6)
        assert result.status == Status.NO_DECREASE


def counted(f):
    """`f`, and a list that grows by one at each of its evaluations."""
    calls = []

    def counting(w):
        jax.debug.callback(lambda: calls.append(1))
        return f(w)

    return counting, calls


@pytest.mark.parametrize(
    "method",
    [LBFGS(), *(pytest.param(method, marks=slow) for method in (CG(), Newton()))],
    ids=lambda method: type(method).__name__,
)
def test_a_run_that_can_get_no_lower_ends_and_says_so(method):
    # Uphill in every direction from a kink, though the gradient there is not short.
    f, calls = counted(lambda w: jnp.sum(jnp.abs(w)) + 1)
    result = minimize(f, jnp.array([1e-20]), quiet(40_000, method))
    jax.effects_barrier()
    assert (result.status, result.steps) == (Status.NO_DECREASE, 0)
    assert len(calls) < 120
    np.testing.assert_array_equal(result.w, [1e-20])
    assert np.all(np.isnan(result.loss_history[1:]))
    with pytest.raises(RuntimeError, match="could not leave its first weights"):
        result.check()


@pytest.mark.parametrize("method", [LBFGS(), NewtonCG()], ids=lambda method: type(method).__name__)
def test_nothing_is_tried_from_where_a_run_has_converged(method):
    f, calls = counted(lambda w: jnp.cosh(w[0]) + w[1] ** 2)
    result = minimize(f, np.array([1e-7, 0.0]), quiet(5, method, tolerance=1e-6))
    jax.effects_barrier()
    assert result.status == Status.CONVERGED
    assert len(calls) == 2  # at the start, and for the loss of the result


@pytest.mark.slow
def test_a_step_begins_with_what_the_search_has_evaluated():
    f, calls = counted(rosenbrock)
    result = minimize(f, jnp.array([-1.2, 1.0]), quiet(5_000, LBFGS(), tolerance=1e-6, keep_w_history=True))
    jax.effects_barrier()
    made = int(result.steps)
    assert result.status == Status.CONVERGED
    assert len(calls) <= 50  # SciPy's L-BFGS-B: 45
    history = jax.vmap(rosenbrock)(result.w_history[: made + 1])
    np.testing.assert_allclose(result.loss_history[: made + 1], history, rtol=1e-6, atol=1e-25)
    assert np.all(np.isnan(result.loss_history[made + 1 :]))
    np.testing.assert_array_equal(result.w_history[made], result.w_history[-1])


@slow
@pytest.mark.parametrize("rate", [StrongWolfe(), Backtrack()])
def test_steps_on_minibatches_begin_with_their_own_batch(rate):
    x = jnp.arange(1.0, 7.0)
    params = quiet(4, LBFGS(), rate, loss=Quadratic(), regularization=NoReg(), batch=Minibatch(2), keep_w_history=True)
    result = train(jax.tree_util.Partial(lambda w, x: w * x, jnp.array(0.0)), Dataset(x, x**2), params)
    batches = np.asarray(x).reshape(3, 2)
    w = np.asarray(result.w_history.args[0])
    expected = [np.mean((w[i] * batches[i % 3] - batches[i % 3] ** 2) ** 2) for i in range(12)]
    np.testing.assert_allclose(result.loss_history, expected, rtol=1e-12)
    assert result.status == Status.MAX_STEPS


def test_a_point_at_which_a_run_converged_has_a_gradient_within_the_tolerance():
    f = lambda w: jnp.sum((w - 1) ** 4 + (w - 1) ** 2) + 1e6  # rounds away all but the first half of the digits
    for rate in (0.1, StrongWolfe()):
        result = minimize(f, jnp.array([1.8, 0.3]), quiet(400, GD(), rate, tolerance=1e-9))
        assert result.status == Status.CONVERGED
        assert jnp.linalg.norm(jax.grad(f)(result.w)) <= 1e-9


@pytest.mark.parametrize(
    ("dtype", "slope", "tolerance", "converged"),
    [
        (jnp.float32, 1e-25, 1e-26, False),
        (jnp.float32, 1e-27, 1e-26, True),
        (jnp.float32, 1e30, 1e31, True),
        (jnp.float16, 4.7e-3, 1e-3, False),
        (jnp.float16, 400.0, 1e3, True),
    ],
)
def test_the_length_of_a_gradient_whose_squares_are_out_of_range(dtype, slope, tolerance, converged):
    f = jax.tree_util.Partial(lambda slope, w: slope * jnp.sum(w), jnp.array(slope, dtype))
    result = minimize(f, jnp.zeros(2, dtype), quiet(2, GD(), 0.0, tolerance=tolerance))
    assert result.status == (Status.CONVERGED if converged else Status.MAX_STEPS)


@pytest.mark.parametrize(
    ("method", "rate"),
    [
        pytest.param(LBFGS(3), StrongWolfe(), marks=slow),
        (GD(), Backtrack()),
        *(pytest.param(method, StrongWolfe(), marks=slow) for method in (CG(), CD(), NonlinearCG(), DaiYuanCG())),
        *(pytest.param(method, Backtrack(), marks=slow) for method in (Newton(), NewtonCG())),
    ],
    ids=lambda part: type(part).__name__,
)
def test_no_bit_depends_on_the_unit_of_the_objective(method, rate):
    params = quiet(8, method, rate, tolerance=None)
    start = jnp.array([-1.2, 1.0], jnp.float32)

    @jax.jit
    def end(scale):
        objective = jax.tree_util.Partial(lambda scale, w: scale * rosenbrock(w), scale)
        return jax.value_and_grad(lambda w: jnp.sum(minimize(objective, w, params).w))(start)

    total, slope = end(jnp.float32(1))
    assert abs(total - jnp.sum(start)) > 0.01
    for power in (-80, 80):
        scaled_total, scaled_slope = end(jnp.float32(2.0**power))
        assert scaled_total == total
        np.testing.assert_allclose(scaled_slope, slope, rtol=1e-3)


@pytest.mark.parametrize("rate", [AdaGrad(0.1), RMSProp(0.1), Adam(0.1)], ids=lambda rate: type(rate).__name__)
def test_squares_that_overflow_end_a_run_and_do_not_freeze_it(rate):
    f = lambda w: jnp.float32(1e25) * jnp.sum(w * w)
    result = minimize(f, jnp.ones(2, jnp.float32), quiet(5, GD(), rate))
    assert result.status == Status.DIVERGED


def test_searches_ask_for_no_forward_mode_of_the_objective():
    @jax.custom_vjp
    def square(w):
        return w * w

    square.defvjp(lambda w: (w * w, w), lambda w, ct: (2 * w * ct,))
    result = minimize(lambda w: jnp.sum(square(w - 2)), jnp.zeros(2), quiet(20, LBFGS(), tolerance=1e-8))
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.w, 2)


def run_that_ends(inputs):
    """A run of 4 steps of at most 12, from a start and with a scale."""
    w0, scale, params = inputs
    return minimize(jax.tree_util.Partial(lambda scale, w: scale * valley(w) + w[0], scale), w0, params)


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        quiet(12, GD(), Backtrack(), tolerance=1.0),
        pytest.param(quiet(12, LBFGS(2), tolerance=0.3), marks=slow),
        pytest.param(quiet(12, CG(), tolerance=0.3, return_best=False), marks=slow),
        pytest.param(quiet(12, learning_rate=0.1, tolerance=1.0), marks=slow),
    ],
    ids=["search", "LBFGS", "CG", "constant"],
)
def test_a_run_that_ends_early_has_the_derivative_of_its_steps(params):
    inputs = (jnp.array([-0.4, 0.8]), 1.3, params)
    assert 2 <= run_that_ends(inputs).steps < 12
    outcome = lambda inputs: (lambda result: (result.w, result.loss))(run_that_ends(inputs))
    assert_derivatives_match(outcome, inputs, num_directions=1)


@pytest.mark.slow
def test_a_batch_of_runs_ends_with_its_last():
    f, calls = counted(beale)
    starts = jnp.array([[1.0, 1.5], [1.0, 1.0], [3.0, 0.5]])
    params = quiet(5_000, LBFGS(), tolerance=1e-6, learning_rate=StrongWolfe(c2=0.9))
    batch = jax.vmap(lambda w: minimize(f, w, params))(starts)
    jax.effects_barrier()
    assert len(calls) < 3 * 60
    for i, w in enumerate(starts):
        alone = minimize(beale, w, params)
        assert (batch.steps[i], alone.status) == (alone.steps, Status.CONVERGED)
        np.testing.assert_allclose(batch.w[i], alone.w, rtol=1e-9)
        np.testing.assert_array_equal(np.isnan(batch.loss_history[i]), np.isnan(alone.loss_history))


@pytest.mark.parametrize(
    "method", [LBFGS(), pytest.param(CG(), marks=pytest.mark.slow)], ids=lambda method: type(method).__name__
)
@pytest.mark.bitwise
def test_a_run_with_searches_goes_on_where_it_stopped(method):
    whole = minimize(beale, jnp.array([1.0, 1.5]), quiet(8, method))
    first = minimize(beale, jnp.array([1.0, 1.5]), quiet(4, method))
    second = minimize(beale, jnp.zeros(2), quiet(4, method), state=first.state)
    np.testing.assert_array_equal(second.w, whole.w)
    np.testing.assert_array_equal(np.append(first.loss_history, second.loss_history), whole.loss_history)


@pytest.mark.parametrize("rate", [StrongWolfe(), Backtrack()], ids=lambda rate: type(rate).__name__)
def test_a_converged_run_goes_on_to_a_lower_tolerance(rate):
    f, start = lambda w: jnp.cosh(w[0]) + 8 * w[1] ** 2, np.array([2.0, 1.0])
    loosely, tightly = (quiet(60, GD(), learning_rate=rate, tolerance=tolerance) for tolerance in (0.5, 0.02))
    whole, first = minimize(f, start, tightly), minimize(f, start, loosely)
    assert first.status == whole.status == Status.CONVERGED
    made = int(first.steps)
    assert 0 < made < int(whole.steps)
    second = minimize(f, start, tightly, state=first.state)
    np.testing.assert_allclose(second.loss_history[: 60 - made], whole.loss_history[made:], rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_lbfgs_goes_on_where_the_numbers_of_a_pair_are_out_of_range(dtype):
    # The product of a step and a change is infinite, though the objective is not; then the scale of a pair is zero.
    start, unit = (2.4e19, 1e20) if dtype == np.float32 else (300.0, 3e3)
    valley = lambda w: jnp.sum(w * jnp.array([0.5, 0.1], dtype) * w)
    result = minimize(valley, np.array([start, start / 3], dtype), quiet(20, LBFGS(), learning_rate=1.0))
    assert result.loss == 0
    steep = lambda w: jnp.sum((w * jnp.array([unit, 3 * unit], dtype) - 1) ** 2)
    result = minimize(steep, np.zeros(2, dtype), quiet(30, LBFGS()))
    assert result.loss < 1e-5
