"""What each learning rate does, against loops written out in NumPy and against the conditions that searches promise."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    GD,
    AdaGrad,
    Adam,
    Backtrack,
    Constant,
    Dataset,
    Decay,
    ExpDecay,
    HypergradientDescent,
    InterpolatedSchedule,
    Minibatch,
    Momentum,
    NoReg,
    NormClip,
    Params,
    Quadratic,
    RMSProp,
    Status,
    StepSchedule,
    StrongWolfe,
    WindowSchedule,
    minimize,
    positive,
    train,
)

from .problems import rosenbrock, valley

START = np.array([-0.4, 0.8])
quiet = partial(Params, silent=True, keep_w_history=True)
gradient = jax.jit(jax.grad(valley))


def decay(t, g, memory):
    return 0.05 / (1 + 0.3 * t), memory


def exp_decay(t, g, memory):
    return 0.05 * np.exp(-0.3 * t), memory


def ada_grad(t, g, memory):
    memory = memory + g**2
    return 0.1 / np.sqrt(memory + 1e-8), memory


def hypergradient(t, g, memory):
    rate, last = (0.01, 0 * g) if t == 0 else memory
    rate = rate + 1e-3 * g @ last  # the last direction is minus the last gradient
    return rate, (rate, g)


BY_HAND = {
    "decay": (Decay(0.05, 0.3), decay),
    "exp decay": (ExpDecay(0.05, 0.3), exp_decay),
    "ada grad": (AdaGrad(0.1), ada_grad),
    "hypergradient": (HypergradientDescent(0.01, 1e-3), hypergradient),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_makes_the_steps_of_a_loop_written_by_hand(name):
    rate, by_hand = BY_HAND[name]
    w, memory, points = np.asarray(START), 0, []
    for t in range(6):
        points.append(w)
        g = np.asarray(gradient(w))
        length, memory = by_hand(t, g, memory)
        w = w - length * g
    result = minimize(valley, START, quiet(6, learning_rate=rate))
    np.testing.assert_allclose(result.w_history, np.stack(points), rtol=1e-12)


def test_adam_makes_the_steps_of_optax():
    adam = optax.adam(0.1, 0.8, 0.95)

    @jax.jit
    def step(w, state):
        update, state = adam.update(jax.grad(valley)(w), state)
        return w + update, state

    w, state, points = START, adam.init(START), []
    for _ in range(6):
        points.append(w)
        with jax.numpy_dtype_promotion("standard"):
            w, state = step(w, state)
    result = minimize(valley, START, quiet(6, learning_rate=Adam(0.1, 0.8, 0.95)))
    np.testing.assert_allclose(result.w_history, np.stack(points), rtol=1e-12)


@pytest.mark.parametrize(
    ("knots", "steps"), [(3, 7), *(pytest.param(*at, marks=pytest.mark.slow) for at in ((4, 4), (2, 9)))]
)
def test_few_numbers_steer_many_steps(knots, steps):
    rates = np.linspace(0.05, 0.01, knots) ** 2 * 10
    by_hand = {
        WindowSchedule: [
            float(rates[int(np.searchsorted(window_ends(knots, steps), t, "right"))]) for t in range(steps)
        ],
        InterpolatedSchedule: np.interp(np.arange(steps), np.linspace(0, steps - 1, knots), rates),
    }
    for kind, each in by_hand.items():
        result = minimize(valley, START, quiet(learning_rate=kind(positive(rates), steps)))
        expected = minimize(valley, START, quiet(learning_rate=StepSchedule(each)))
        assert result.steps == steps
        np.testing.assert_allclose(result.w_history, expected.w_history, rtol=1e-12)


def test_rates_of_a_schedule_may_be_a_list():
    listed = minimize(valley, START, quiet(learning_rate=StepSchedule([0.05, 0.03, 0.02])))
    array = minimize(valley, START, quiet(learning_rate=StepSchedule(np.array([0.05, 0.03, 0.02]))))
    np.testing.assert_array_equal(listed.w, array.w)


def window_ends(windows, steps):
    """Where windows end whose lengths differ by one at most, the longer ones first."""
    return np.cumsum([len(part) for part in np.array_split(np.arange(steps), windows)])


@pytest.mark.slow
def test_derivatives_of_few_numbers_for_many_steps():
    for kind in (WindowSchedule, InterpolatedSchedule):
        run = lambda rates, kind=kind: minimize(valley, START, quiet(learning_rate=kind(rates, 7))).w
        assert_derivatives_match(run, jnp.array([0.05, 0.03, 0.02]), num_directions=1)


def test_decays_count_epochs():
    x = jnp.arange(8.0)
    data = Dataset(x, 2 * x)
    rate = lambda epochs: quiet(
        epochs, learning_rate=Decay(0.01, 1.0), batch=Minibatch(2), loss=Quadratic(), regularization=NoReg()
    )
    result = train(jax.tree_util.Partial(lambda w, x: w * x, jnp.array(0.0)), data, rate(2))
    w, xs = 0.0, np.arange(8.0).reshape(4, 2)
    for step in range(8):
        assert np.isclose(result.w_history.args[0][step], w, rtol=1e-12)
        batch = xs[step % 4]
        w -= 0.01 / (1 + step // 4) * np.mean(2 * (w * batch - 2 * batch) * batch)


def test_the_rate_of_hypergradient_descent_grows_where_steps_are_too_short():
    slow = minimize(valley, START, quiet(60, learning_rate=1e-3))
    result = minimize(valley, START, quiet(60, learning_rate=HypergradientDescent(1e-3, 1e-3)))
    assert result.loss < 0.1 * slow.loss
    assert result.state.memory.learning_rate.rate > 1e-2


def lengths(result, w):
    """The lengths of the steps along minus the gradient."""
    points = np.concatenate([np.asarray(result.w_history), np.asarray(w)[None]])
    steps = np.diff(points, axis=0)
    gradients = np.stack([gradient(w) for w in points[:-1]])
    return np.linalg.norm(steps, axis=1) / np.linalg.norm(gradients, axis=1), points, gradients


def test_backtracking_takes_the_first_length_that_decreases_enough():
    rate, c, shrink = 0.9, 0.3, 0.6
    result = minimize(valley, START, quiet(8, learning_rate=Backtrack(rate, c, shrink)))
    found, points, gradients = lengths(result, result.w)
    for length, w, g in zip(found, points, gradients, strict=False):
        enough = lambda a, w=w, g=g: valley(w - a * g) <= valley(w) - c * a * g @ g
        cuts = round(np.log(length / rate) / np.log(shrink))
        np.testing.assert_allclose(length, rate * shrink**cuts, rtol=1e-9)
        assert [bool(enough(rate * shrink**k)) for k in range(cuts + 1)] == [False] * cuts + [True]


@pytest.mark.parametrize("c2", [0.05, 0.9])
@pytest.mark.parametrize("first", [1e-4, 1.0, 300.0])
def test_strong_wolfe_keeps_its_conditions(first, c2):
    result = minimize(valley, START, quiet(8, learning_rate=StrongWolfe(first, 1e-4, c2)))
    found, points, gradients = lengths(result, result.w)
    for length, w, g in zip(found, points, gradients, strict=False):
        after = w - length * g
        assert length > 0
        assert valley(after) <= valley(w) - 1e-4 * length * g @ g
        assert abs(gradient(after) @ g) <= c2 * g @ g


def test_searches_end_where_nothing_is_to_be_gained():
    for rate in (Backtrack(), StrongWolfe()):
        result = minimize(valley, np.array([1.0, 1.0]), quiet(3, learning_rate=rate))
        np.testing.assert_array_equal(result.w, [1.0, 1.0])
        assert result.loss == 0


def test_searches_come_back_from_where_values_are_not_finite():
    # The logarithm is NaN beyond a step of 0.1, and the first trial is at 10.
    f = lambda w: w - jnp.log(w - 0.9)
    for rate in (Backtrack(10.0), StrongWolfe(10.0)):
        result = minimize(f, 1.0, quiet(60, learning_rate=rate, tolerance=1e-6))
        assert result.status == Status.CONVERGED
        np.testing.assert_allclose(result.w, 1.9, rtol=1e-5)


def test_a_search_that_finds_nothing_ends():
    # Uphill in every direction from a kink, so no length decreases the value.
    f = lambda w: jnp.abs(w) + w
    for rate in (Backtrack(max_trials=5), StrongWolfe(max_trials=5)):
        result = minimize(f, 1e-12, quiet(4, learning_rate=rate))
        assert np.isfinite(result.loss)
        assert result.loss <= 2e-12


def test_the_slope_of_a_search_is_the_objectives_and_not_the_clipped_one():
    # With c near 1 a step along a clipped slope would be accepted that the true slope refuses.
    rate = Backtrack(1.0, 0.9)
    clipped = minimize(valley, START, quiet(2, learning_rate=rate, gradient_clipping=NormClip(0.01)))
    after = np.asarray(clipped.w_history)[1]
    step = after - START
    assert valley(after) <= valley(START) + 0.9 * step @ np.asarray(gradient(START))


def test_a_tolerance_is_about_the_gradient_and_not_the_clipped_one():
    params = quiet(3, learning_rate=1e-3, gradient_clipping=NormClip(1e-3), tolerance=1e-2)
    assert minimize(valley, START, params).status == Status.MAX_STEPS


def test_each_layer_has_its_own_rate_and_momentum():
    f = lambda w: jnp.sum(w["a"] ** 2) + jnp.sum(w["b"] ** 4)
    w0 = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([0.5])}
    alone = lambda name, rate, decay: minimize(
        lambda w: f({**{k: jnp.zeros_like(v) for k, v in w0.items()}, **w}),
        {name: w0[name]},
        quiet(5, learning_rate=rate, momentum=Momentum(decay), return_best=False),
    ).w[name]
    rates, decays = {"a": 0.1, "b": positive(0.3)}, {"a": 0.0, "b": 0.7}
    params = quiet(5, learning_rate=Adam(rates), momentum=Momentum(decays), return_best=False)
    both = minimize(f, w0, params)
    for name, rate, decay in (("a", 0.1, 0.0), ("b", 0.3, 0.7)):
        np.testing.assert_allclose(both.w[name], alone(name, Adam(rate), decay), rtol=1e-12)


@pytest.mark.parametrize(
    "bad", [{"learning_rate": Constant({"b": 0.1})}, {"learning_rate": 0.1, "momentum": Momentum({"b": 0.1})}]
)
def test_a_tree_of_factors_must_fit_the_weights(bad):
    with pytest.raises(ValueError, match="must be one number or a prefix of the weights' structure"):
        minimize(lambda w: jnp.sum(w["a"]), {"a": jnp.ones(2)}, quiet(3, **bad))


def test_factors_must_broadcast_to_the_weights():
    with pytest.raises(ValueError, match=r"`rate` must broadcast to the weights .* got shape \(3,\)"):
        minimize(lambda w: jnp.sum(w["a"]), {"a": jnp.ones(2)}, quiet(3, learning_rate=Adam({"a": jnp.ones(3)})))


@pytest.mark.parametrize("rate", [Backtrack(), pytest.param(StrongWolfe(), marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_sweep_of_searches_is_each_search(rate):
    starts = jnp.array([[-0.4, 0.8], [2.0, 0.3], [0.9, 0.9]])
    run = lambda w: minimize(rosenbrock, w, quiet(5, learning_rate=rate)).w
    np.testing.assert_allclose(jax.vmap(run)(starts), jnp.stack([run(w) for w in starts]), rtol=1e-9)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: Decay(-1.0), "`rate` must be at least 0"),
        (lambda: ExpDecay(1.0, -0.1), "`decay` must be at least 0"),
        (lambda: ExpDecay(1.0, {"a": 0.1, "b": 0.1}), "`decay` must be one number"),
        (lambda: Backtrack(0.0), "`rate` must be above 0"),
        (lambda: Backtrack(1.0, 1.0), "`c` must be above 0 and below 1"),
        (lambda: Backtrack(1.0, 0.5, 1.0), "`shrink` must be above 0 and below 1"),
        (lambda: Backtrack(max_trials=0), "`max_trials` must be at least 1"),
        (lambda: StrongWolfe(1.0, 0.0), "`c1` must be above 0"),
        (lambda: StrongWolfe(1.0, 0.5, 0.4), "`c2` must be above `c1`"),
        (lambda: StrongWolfe(jnp.ones(2)), "`rate` must be one number"),
        (lambda: Adam(0.1, 1.0), "`beta1` must be at least 0 and below 1"),
        (lambda: Adam(0.1, 0.9, [0.1, 0.2]), "`beta2` must be one number"),
        (lambda: RMSProp(0.1, [0.1, 0.2]), "`decay` must be one number"),
        (lambda: AdaGrad(-0.1), "`rate` must be at least 0"),
        (lambda: WindowSchedule(jnp.ones(3), 2), "`num_steps` must be at least 3"),
        (lambda: InterpolatedSchedule(jnp.ones(1), 5), "at least two rates"),
        (lambda: WindowSchedule(0.1, 5), "must have a leading axis"),
        (lambda: HypergradientDescent(0.1, -1.0), "`hyper_rate` must be at least 0"),
    ],
)
def test_bad_settings(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()


def test_gradient_descent_with_a_number_is_constant():
    assert Params(method=GD(), learning_rate=0.1).learning_rate == Constant(0.1)
