from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hype_ad import DV, D
from hype_ad.testing import tree_allclose
from hype_optim import (
    Constant,
    L1Loss,
    L2Reg,
    Minibatch,
    Momentum,
    Nesterov,
    Newton,
    NormClip,
    Optimize,
    Params,
    RMSProp,
    Schedule,
    Status,
    StepSchedule,
    minimize,
    positive,
)

from .problems import valley

START = jnp.asarray(np.array([-0.4, 0.8]), float)
quiet = partial(Params, silent=True)
value_and_slope = jax.jit(jax.value_and_grad(valley))


def by_hand(step, w, steps):
    """Weights and values of a loop in plain Python."""
    w, memory, weights, values = np.asarray(w), None, [], []
    for i in range(steps):
        value, slope = value_and_slope(w)
        weights.append(w)
        values.append(value)
        w, memory = step(i, w, np.asarray(slope), memory)
    return w, np.stack(weights), np.stack(values)


def heavy_ball(i, w, g, v):
    v = -0.03 * g if v is None else 0.7 * v - 0.03 * g
    return w + v, v


def nesterov(i, w, g, v):
    v = -0.03 * g if v is None else 0.7 * v - 0.03 * g
    return w + 0.7 * v - 0.03 * g, v


def rms_prop(i, w, g, c):
    c = 0.2 * g**2 if c is None else 0.8 * c + 0.2 * g**2
    return w - 0.03 * g / np.sqrt(c + 1e-6), c


def clipped(i, w, g, _):
    return w - 0.1 * g * min(1.0, 0.8 / np.linalg.norm(g)), None


RATES = np.linspace(0.05, 0.01, 8)
LOOPS = {
    "constant": (quiet(8, learning_rate=Constant(0.03)), lambda i, w, g, _: (w - 0.03 * g, None)),
    "a bare number": (quiet(8, learning_rate=0.03), lambda i, w, g, _: (w - 0.03 * g, None)),
    "a range": (quiet(8, learning_rate=positive(0.03)), lambda i, w, g, _: (w - 0.03 * g, None)),
    "schedule": (quiet(3, learning_rate=Schedule(RATES)), lambda i, w, g, _: (w - RATES[i] * g, None)),
    "step schedule": (quiet(3, learning_rate=StepSchedule(RATES)), lambda i, w, g, _: (w - RATES[i] * g, None)),
    "momentum": (quiet(8, learning_rate=0.03, momentum=Momentum(0.7)), heavy_ball),
    "nesterov": (quiet(8, learning_rate=0.03, momentum=Nesterov(0.7)), nesterov),
    "rms prop": (quiet(8, learning_rate=RMSProp(0.03, 0.8)), rms_prop),
    "clipping": (quiet(8, learning_rate=0.1, gradient_clipping=NormClip(0.8)), clipped),
}


@pytest.mark.smoke
@pytest.mark.parametrize("name", LOOPS)
def test_makes_the_steps_of_a_loop_written_by_hand(name):
    params, step = LOOPS[name]
    params = replace(params, return_best=False, keep_w_history=True)
    result = minimize(valley, START, params)
    w, weights, values = by_hand(step, START, 8)
    np.testing.assert_allclose(result.w, w, rtol=1e-12)
    np.testing.assert_allclose(result.w_history, weights, rtol=1e-12)
    np.testing.assert_allclose(result.loss_history, values, rtol=1e-11)
    np.testing.assert_allclose(result.loss, valley(w), rtol=1e-11)
    assert result.status == Status.MAX_STEPS
    assert result.steps == 8


class Pair(eqx.Module):
    a: jax.Array
    count: int
    name: str = eqx.field(static=True)


POINTS = {
    "array": (START, lambda w: w),
    "numpy": (np.asarray(START), lambda w: w),
    "DV": (DV(START), lambda w: w.array),
    "dict": ({"x": START[0], "y": START[1]}, lambda w: jnp.stack([w["x"], w["y"]])),
    "python floats": ([-0.4, 0.8], jnp.stack),
    "scalars of hype_ad": ((D(-0.4), D(0.8)), lambda w: jnp.stack([w[0].array, w[1].array])),
    "module with an integer": (Pair(START, 7, "pair"), lambda w: w.a),
}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, "GD") for name in POINTS),
        *(pytest.param(name, "Newton", marks=pytest.mark.slow) for name in POINTS),
    ],
)
def test_a_pytree_is_a_point(name, method):
    w0, flat = POINTS[name]
    params = quiet(8, learning_rate=0.03) if method == "GD" else quiet(3, method=Newton())
    result = minimize(lambda w: valley(flat(w)), w0, params)
    as_array = minimize(valley, START, params)
    np.testing.assert_allclose(flat(result.w), as_array.w, rtol=1e-12)
    if not isinstance(w0, np.ndarray | list):
        assert jax.tree.structure(result.w) == jax.tree.structure(w0)


def test_float32_stays_float32_whatever_the_dtype_of_the_hyperparameters():
    params = quiet(5, learning_rate=RMSProp(jnp.float64(0.03), 0.8), momentum=Nesterov(jnp.float64(0.7)))
    result = minimize(valley, START.astype(jnp.float32), params)
    assert {result.w.dtype, result.loss.dtype, result.loss_history.dtype} == {jnp.dtype("float32")}


def test_newton_ends_on_a_quadratic_after_one_step():
    a, b = jnp.array([[3.0, 1.0], [1.0, 2.0]]), jnp.array([1.0, -1.0])
    result = minimize(lambda w: 0.5 * w @ a @ w - b @ w, START, quiet(1, method=Newton()))
    np.testing.assert_allclose(result.w, np.linalg.solve(a, b), rtol=1e-12)


def test_the_best_point_is_kept_and_the_loss_is_its_loss():
    # The rate is too large at the end: the run first falls and then climbs.
    rates = jnp.array([0.1] * 5 + [1.2] * 3)
    params = partial(quiet, learning_rate=StepSchedule(rates), keep_w_history=True)
    f = lambda w: jnp.sum(w**2)
    best, last = (minimize(f, START, params(return_best=choice)) for choice in (True, False))
    np.testing.assert_allclose(best.w, best.w_history[5])
    np.testing.assert_allclose(best.loss, f(best.w))
    np.testing.assert_allclose(last.w, best.w_history[7] * (1 - 2 * 1.2), rtol=1e-12)
    np.testing.assert_allclose(last.loss, f(last.w))
    assert best.loss < last.loss


def test_the_best_point_of_a_negative_loss():
    result = minimize(lambda w: jnp.sum(w**2) - 7, START, quiet(50, learning_rate=0.1))
    np.testing.assert_allclose(result.loss, -7, atol=1e-6)


def test_unpacks_as_the_original_did():
    params = quiet(4, learning_rate=0.03, keep_w_history=True)
    w, loss, w_history, loss_history = Optimize.Minimize(valley, START, params)
    np.testing.assert_allclose(w_history[0], START)
    np.testing.assert_allclose(loss_history[0], valley(START))
    np.testing.assert_allclose(loss, valley(w))


def test_a_run_that_diverges_says_so_and_keeps_its_best_finite_point():
    result = minimize(lambda w: jnp.sum(w**4), START, quiet(20, learning_rate=9.0))
    assert result.status == Status.DIVERGED
    assert result.steps < 20
    assert np.all(np.isfinite(result.w))
    np.testing.assert_allclose(result.loss, np.nanmin(result.loss_history))
    assert np.all(np.isnan(result.loss_history[int(result.steps) + 1 :]))
    with pytest.raises(RuntimeError, match="diverged after"):
        result.check()


def test_a_run_whose_last_step_diverges_says_so():
    f = lambda w: jnp.where(w > 0.5, jnp.inf, -w)
    for best in (True, False):
        result = minimize(f, 0.0, quiet(2, learning_rate=0.3, return_best=best))
        assert result.status == Status.DIVERGED
    np.testing.assert_allclose(minimize(f, 0.0, quiet(2, learning_rate=0.3)).w, 0.3)


def test_a_run_ends_when_the_gradient_is_shorter_than_the_tolerance():
    f = lambda w: 0.5 * jnp.sum(w**2)
    params = quiet(100, learning_rate=0.5, tolerance=1e-3, return_best=False)
    result = minimize(f, jnp.array([1.0, 0.0]), params)
    assert result.status == Status.CONVERGED
    assert result.steps == 10  # 2^-10 is the first power of a half below a thousandth
    np.testing.assert_allclose(result.w, [2.0**-10, 0])
    assert result.check() is result
    assert jax.jit(lambda: minimize(f, jnp.array([1.0, 0.0]), params).steps)() == 10


@pytest.mark.parametrize(
    ("params", "again"),
    [
        (quiet(4, learning_rate=RMSProp(0.03), momentum=Nesterov(0.7)),) * 2,
        (quiet(learning_rate=StepSchedule(RATES)), quiet(learning_rate=StepSchedule(RATES))),
    ],
    ids=["epochs", "schedule"],
)
def test_a_run_goes_on_where_it_stopped(params, again):
    if isinstance(params.learning_rate, RMSProp):
        whole = minimize(valley, START, replace(params, epochs=8))
        first = minimize(valley, START, params)
    else:
        whole = minimize(valley, START, params)
        first = minimize(valley, START, quiet(learning_rate=StepSchedule(RATES[:3])))
    second = minimize(valley, np.zeros(2), again, state=first.state)
    assert tree_allclose((second.w, second.loss, second.state), (whole.w, whole.loss, whole.state), rtol=0.0, atol=0.0)
    np.testing.assert_array_equal(np.append(first.loss_history, second.loss_history), whole.loss_history)
    assert second.steps == 8


def test_agrees_with_optax():
    transformation = optax.sgd(0.03, momentum=0.7, nesterov=True)

    @jax.jit
    def step(w, state):
        updates, state = transformation.update(jax.grad(valley)(w), state)
        return optax.apply_updates(w, updates), state

    w, state = START, transformation.init(START)
    for _ in range(8):
        w, state = step(w, state)
    result = minimize(valley, START, quiet(8, learning_rate=0.03, momentum=Nesterov(0.7), return_best=False))
    np.testing.assert_allclose(result.w, w, rtol=1e-12)


def test_a_sweep_is_one_program():
    rates = np.array([0.01, 0.03, 0.05])
    end = lambda rate: minimize(valley, START, quiet(8, learning_rate=rate, momentum=Nesterov(0.7)))
    batch = jax.vmap(end)(rates)
    for i, rate in enumerate(rates):
        assert tree_allclose(
            jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], (batch.w, batch.loss)), (end(rate).w, end(rate).loss)
        )


def test_new_values_do_not_compile_again():
    traces = 0

    def f(scale, w):
        nonlocal traces
        traces += 1
        return scale * valley(w)

    def run(scale, w0, rate, decay):
        params = quiet(5, learning_rate=rate, momentum=Nesterov(decay))
        return minimize(jax.tree_util.Partial(f, np.array(scale)), w0, params)

    run(1.0, START, 0.03, 0.7)
    after_first = traces
    run(1.5, 2 * START, 0.01, 0.5)
    run(1.5, np.ones(2), jnp.float64(0.02), np.float64(0.1))
    assert traces == after_first


def test_the_objective_is_traced_as_often_for_many_steps_as_for_few():
    def traces(steps):
        count = 0

        def f(w):
            nonlocal count
            count += 1
            return valley(w)

        minimize(f, START, quiet(steps, learning_rate=0.01))
        return count

    assert traces(10_000) == traces(100)


def test_a_loop_with_a_while_loop_inside_has_forward_derivatives():
    def halvings(w):
        """The square of w, halved until it is below 1."""
        return jax.lax.while_loop(lambda x: x >= 1, lambda x: x / 2, w**2)

    params = quiet(3, method=Newton(), learning_rate=0.5, derivative="forward")
    np.testing.assert_allclose(minimize(halvings, 3.0, params).w, 3.0 / 8, rtol=1e-12)
    end = lambda rate: minimize(halvings, 3.0, quiet(1, learning_rate=rate, derivative="forward")).w
    slope = jax.jit(jax.jacfwd(end))(0.1)
    np.testing.assert_allclose(slope, -6 / 16, rtol=1e-12)


BAD = {
    "vector objective": (lambda w: w, START, {}, TypeError, r"`f` must return a real scalar, got shape \(2,\)"),
    "integer objective": (lambda w: 3, START, {}, TypeError, "`f` must return a real scalar, got shape .* int"),
    "no objective": (lambda w: None, START, {}, TypeError, "`f` must return a real scalar, got None"),
    "no function": (3, START, {}, TypeError, "f"),
    "tolerances": (valley, START, {"tolerance": np.ones(2)}, ValueError, "`tolerance` of `params` must be one number"),
    "thresholds": (
        valley,
        START,
        {"improvement_threshold": np.full(2, 0.5)},
        ValueError,
        "`improvement_threshold` of `params` must be one number",
    ),
    "loss": (valley, START, {"loss": L1Loss()}, ValueError, "`loss` of `params` must be left out"),
    "penalty": (valley, START, {"regularization": L2Reg()}, ValueError, "`regularization` of `params` must be left"),
    "batch": (valley, START, {"batch": Minibatch(1)}, ValueError, "`batch` of `params` must be left out"),
    "integer weights": (valley, np.array([1, 2]), {}, TypeError, "`w0` must have at least one leaf of floats"),
    "no weights": (valley, {}, {}, TypeError, "`w0` must have at least one leaf of floats to optimize, got no leaves"),
    "complex weights": (valley, {"a": START.astype(complex)}, {}, TypeError, r"`w0\['a'\]` must be real"),
    "NaN": (valley, {"a": np.array([1.0, np.nan])}, {}, ValueError, r"`w0\['a'\]` must be finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    f, w0, settings, error, message = BAD[name]
    with pytest.raises(error, match=message):
        minimize(f, w0, quiet(2, **settings))


def test_copies_of_the_default_settings_for_data_are_no_settings_for_data():
    params = jax.tree.map(lambda leaf: leaf, quiet(2, learning_rate=0.03))
    expected = minimize(valley, START, quiet(3, learning_rate=0.03))
    np.testing.assert_array_equal(minimize(valley, START, replace(params, epochs=3)).w, expected.w)
    end = lambda params: minimize(valley, START, replace(params, epochs=3)).loss
    np.testing.assert_array_equal(jax.jit(end)(params), expected.loss)
    slope = jax.grad(end)(params).learning_rate.rate
    assert (
        slope
        == jax.grad(lambda params: minimize(valley, START, params).loss)(
            quiet(3, learning_rate=0.03)
        ).learning_rate.rate
    )
    changed = replace(params, regularization=L2Reg(0.3))
    with pytest.raises(ValueError, match="`regularization` of `params` must be left out"):
        minimize(valley, START, jax.tree.map(lambda leaf: leaf, changed))


def test_python_floats_put_into_a_configuration_are_hyperparameters():
    params = eqx.tree_at(lambda params: params.learning_rate.rate, quiet(3, learning_rate=0.5), 0.03)
    expected = minimize(valley, START, quiet(3, learning_rate=0.03))
    np.testing.assert_array_equal(minimize(valley, START, params).w, expected.w)
    traces = 0

    def f(w):
        nonlocal traces
        traces += 1
        return valley(w)

    minimize(f, START, params)
    once = traces
    minimize(f, START, eqx.tree_at(lambda params: params.learning_rate.rate, params, 0.02))
    assert traces == once


def test_the_error_of_a_while_loop_names_the_remedy():
    with pytest.raises(ValueError, match="while_loop") as caught:
        minimize(lambda w: jax.lax.while_loop(lambda x: x > 1, lambda x: x / 2, w), 3.0, quiet(2))
    assert 'derivative="forward"' in "".join(caught.value.__notes__)


def test_a_run_of_another_kind_cannot_go_on():
    state = minimize(valley, START, quiet(2, learning_rate=0.03)).state
    for w0, params in ((jnp.ones(3), quiet(2, learning_rate=0.03)), (START, quiet(2)), (DV(START), quiet(2))):
        with pytest.raises(ValueError, match="`state` must be that of a run with weights of the same shapes"):
            minimize(valley, w0, params, state=state)


def test_weights_of_several_dtypes():
    w0 = {"a": jnp.ones(2, jnp.float32), "b": jnp.ones(2)}
    f = lambda w: jnp.sum(w["a"] ** 2).astype(jnp.float64) + jnp.sum(w["b"] ** 2)
    with jax.numpy_dtype_promotion("standard"):
        for params in (quiet(5, learning_rate=0.1, momentum=Nesterov(0.5)), quiet(5), quiet(1, method=Newton())):
            result = minimize(f, w0, params)
            assert (result.w["a"].dtype, result.w["b"].dtype) == (jnp.float32, jnp.float64)
            np.testing.assert_allclose(result.w["a"], result.w["b"], atol=1e-6)


def test_a_run_that_starts_at_no_number_says_where_to_look():
    result = minimize(lambda w: jnp.log(w - 2.0), 1.0, quiet(3))
    assert result.status == Status.DIVERGED
    with pytest.raises(RuntimeError, match="not finite at the first step"):
        result.check()


def test_a_schedule_that_is_at_its_end_cannot_go_on():
    params = quiet(learning_rate=StepSchedule(RATES))
    result = minimize(valley, START, params)
    with pytest.raises(ValueError, match="`state` must be within its schedule of 8 steps, got one at step 8"):
        minimize(valley, START, params, state=result.state)
    with pytest.raises(ValueError, match="resume outside of `jit`"):
        jax.jit(lambda state: minimize(valley, START, params, state=state).w)(result.state)


@pytest.mark.parametrize(
    ("returned", "got"), [(lambda x: (x, {"aux": x}), "a tuple of 2"), (lambda x: None, "None"), (lambda x: {}, "{}")]
)
def test_an_objective_that_returns_more_or_nothing_is_told(returned, got):
    with pytest.raises(TypeError, match=f"`f` must return a real scalar, got {got}; it must return that"):
        minimize(lambda w: returned(jnp.sum(w**2)), jnp.ones(2), Params(1, silent=True))
