"""A run in integers goes back to where it began, bit for bit, and its derivatives are those of the other adjoints."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import central_difference
from hype_optim import (
    GD,
    LBFGS,
    Adam,
    Backtrack,
    Box,
    Checkpointed,
    Dataset,
    Early,
    ExpDecay,
    L1Reg,
    Minibatch,
    Momentum,
    Nesterov,
    NoReg,
    NormClip,
    Params,
    Quadratic,
    Reversible,
    Status,
    StepSchedule,
    check_hypergradient,
    forecast,
    minimize,
    train,
)
from hype_optim._transform import fixed_point

X = np.random.default_rng(0).normal(size=(8, 2))
Y = np.sin(X[:, 0]) + X[:, 1] ** 2
MODEL = jax.tree_util.Partial(lambda w, x: jnp.tanh(w["a"] @ x) @ w["b"], {"a": np.eye(2) - 0.3, "b": np.ones(2)})
# Multiples of the unit that momenta are rounded to, so that other adjoints can have them too.
DECAY = jax.tree_util.Partial(MODEL.func, {"a": np.array([[0.75], [0.5]]), "b": np.array(0.875)})
BOWL = lambda w: jnp.sum(np.array([0.5, 2.0]) * w**2) / 2
W0 = np.array([1.0, -2.0])
quiet = partial(Params, momentum=Momentum(0.9), silent=True, return_best=False, adjoint=Reversible())


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("steps", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_steps_are_undone_bit_for_bit(decay, steps):
    w = jax.random.normal(jax.random.key(1), (3,), jnp.float32)
    n, length = fixed_point.numerators(jnp.array(decay), w), fixed_point.steps_per_word(decay)
    added = lambda exact: 0.1 * jnp.sin(1e3 * fixed_point.decode(exact, w, 40)[0])
    count = max(1, steps // length)

    @jax.jit
    def there_and_back(w):
        start = fixed_point.encode(w, jnp.zeros_like(w), 40)

        def onward(exact, _):
            step = lambda exact, _: fixed_point.advance(exact, added(exact), n, 40, jnp.array(True))
            return fixed_point.set_aside(jax.lax.scan(step, exact, None, length)[0])

        def back(exact, words):
            def step(exact, _):
                exact = fixed_point.weights_before(exact, jnp.array(True), jnp.array(False))
                return fixed_point.velocity_before(exact, added(exact), n, 40, jnp.array(True)), None

            return jax.lax.scan(step, fixed_point.take_back(exact, words), None, length)

        end, words = jax.lax.scan(onward, start, None, count)
        again, _ = jax.lax.scan(back, end, words, reverse=True)
        return start, end, again, words

    start, end, again, words = there_and_back(w)
    assert not end.lost
    assert np.all(end.w != start.w)
    for one, other in zip(jax.tree.leaves(start), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)
    bits = 8 * words.dtype.itemsize / length
    assert np.log2(1 / decay) <= bits <= 1.05 * np.log2(1 / decay)


@pytest.mark.parametrize("batch", [Minibatch(4), Minibatch(8)], ids=["validated", "full"])
@pytest.mark.slow
def test_derivatives_are_those_of_other_adjoints_and_of_differences(batch):
    params = Params(
        25,
        GD(),
        ExpDecay(0.05, 0.01),
        momentum=Momentum(DECAY),
        loss=Quadratic(),
        regularization=L1Reg(0.01),
        gradient_clipping=NormClip(3.0),
        batch=batch,
        silent=True,
    )

    def end(inputs, adjoint):
        params, model, x, y = inputs
        valid = Dataset(x[:2], 1 - y[:2]) if batch == Minibatch(4) else None
        result = train(model, Dataset(x, y), replace(params, adjoint=adjoint), valid=valid)
        return result.loss + jnp.sum(result.loss_history[::7] ** 2)

    floats, rest = eqx.partition((params, MODEL, X, Y), eqx.is_inexact_array)
    random = np.random.default_rng(0)
    direction = jax.tree.map(lambda leaf: np.asarray(0.03 * random.normal(size=leaf.shape)), floats)
    value = lambda floats, adjoint: end(eqx.combine(floats, rest), adjoint)
    both = jax.jit(
        lambda x: [jax.value_and_grad(value)(x, a) for a in (Reversible(least_momentum=0.4), Checkpointed())]
    )
    (loss, gradient), (other_loss, other) = both(floats)
    np.testing.assert_allclose(loss, other_loss, rtol=1e-9)
    for mine, expected in zip(jax.tree.leaves(gradient), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-7, atol=1e-8)
    # The momentum moves in steps, so that there are no differences in it.
    direction = eqx.tree_at(lambda t: t[0].momentum, direction, replace_fn=lambda m: jax.tree.map(np.zeros_like, m))
    along = sum(map(np.vdot, jax.tree.leaves(gradient), jax.tree.leaves(direction)))
    run = jax.jit(lambda floats: value(floats, Reversible(least_momentum=0.4)))
    move = lambda t: np.asarray(run(jax.tree.map(lambda leaf, v: leaf + t * v, floats, direction)))
    difference, error = central_difference(move, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(along, difference, rtol=1e-5, atol=2 * error)


@pytest.mark.bitwise
@pytest.mark.parametrize("shape", [(40, 8, 2), pytest.param((168, 8, 12), marks=pytest.mark.slow)], ids=str)
def test_a_step_is_rounded_the_same_in_both_directions(shape):
    """Small products are compiled into what is around them, with other roundings for other surroundings."""
    rows, width, out = shape
    random = np.random.default_rng(0)
    x, w = random.normal(size=(rows, width)), 0.1 * random.normal(size=(width, out))
    data = Dataset(x, np.tanh(x[:, :2]))

    def end(rate, adjoint):
        model = jax.tree_util.Partial(lambda w, x: jnp.tanh(x @ w)[:2], w)
        return train(model, data, quiet(20, learning_rate=rate, momentum=Momentum(0.5), adjoint=adjoint)).loss

    both = jax.jit(lambda rate: [jax.grad(end)(rate, adjoint) for adjoint in (Reversible(), Checkpointed())])
    mine, other = both(0.1)
    np.testing.assert_allclose(mine, other, rtol=1e-6)


@pytest.mark.parametrize("steps", [100, *(pytest.param(steps, marks=pytest.mark.slow) for steps in (7, 1_000, 10_000))])
def test_a_run_of_any_length_is_run_back(steps):
    rates = jnp.full(steps, 0.01, jnp.float32)
    w0 = W0.astype(jnp.float32)

    def end(rates, adjoint):
        momentum = Momentum(jnp.array(0.875, jnp.float32))
        params = quiet(learning_rate=StepSchedule(rates), momentum=momentum, adjoint=adjoint)
        return minimize(lambda w: jnp.sum(jnp.cos(w) + w**4), w0, params).w[0]

    gradients = jax.jit(
        lambda rates: [jax.grad(end)(rates, a) for a in (Reversible(least_momentum=0.8), Checkpointed())]
    )
    mine, expected = gradients(rates)
    np.testing.assert_allclose(mine, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_runs_in_a_batch_and_reports():
    end = lambda rate: minimize(BOWL, W0, quiet(50, learning_rate=rate)).loss
    gradients = jax.jit(lambda rates: (jax.vmap(jax.grad(end))(rates), jax.grad(end)(rates[1])))
    batch, alone = gradients(jnp.array([0.05, 0.1]))
    np.testing.assert_allclose(batch[1], alone, rtol=1e-9)
    seen = []
    log = lambda step, w, loss: seen.append((step, loss))
    minimize(BOWL, W0, replace(quiet(50, learning_rate=0.1), logging_function=log))
    assert len(seen) > 1


def test_the_run_is_near_the_one_in_floats():
    run = lambda adjoint: minimize(BOWL, W0, quiet(200, learning_rate=0.1, momentum=Momentum(0.875), adjoint=adjoint))
    mine, other = run(Reversible(30)), run(Checkpointed())
    assert np.all(np.abs(mine.w - other.w) <= 2 * 200 * 2.0**-30 / (1 - 0.875))
    assert np.any(mine.w != other.w)
    assert (mine.status, mine.steps) == (other.status, other.steps)


@pytest.mark.slow
def test_a_bit_that_is_wrong_is_found(monkeypatch):
    take_back = fixed_point.take_back
    flip = lambda words: jax.tree.map(lambda w: w.at[0].set(w[0] ^ jnp.uint32(1)), words)
    monkeypatch.setattr(fixed_point, "take_back", lambda exact, words: take_back(exact, flip(words)))
    params = quiet(40, learning_rate=0.1, regularization=NoReg())
    with pytest.warns(UserWarning, match="did not arrive at the weights that the run began with"):
        row, *_ = check_hypergradient(lambda params: minimize(BOWL, W0, params).loss, params).rows
    assert (row.verdict, row.forward) == ("not finite", None)
    assert row.note.endswith("the device must compute each step twice with the same result.")


@pytest.mark.slow
def test_the_check_of_a_hypergradient_does_without_forward_mode():
    (row,) = check_hypergradient(lambda rate: minimize(BOWL, W0, quiet(30, learning_rate=rate)).loss, 0.1).rows
    assert (row.verdict, row.forward) == ("ok", None)


@jax.jit
def run_and_slope(w0, rate):
    def run(w0):
        result = minimize(BOWL, w0, quiet(100, learning_rate=rate))
        return result.loss, result

    slope, result = jax.grad(run, has_aux=True)(w0)
    return result, slope


@pytest.mark.parametrize(("w0", "rate"), [(W0, 2.0), (1e7 * W0, 1e-3)], ids=["run", "start"])
def test_what_leaves_the_range_says_so(w0, rate):
    with pytest.warns(UserWarning, match="A number left the range of `Reversible`"):
        result, slope = run_and_slope(w0, jnp.array(rate))
    assert result.status == Status.OUT_OF_RANGE
    assert result.steps < 100
    assert np.all(np.isnan(slope))
    with pytest.raises(
        RuntimeError, match=r"failed after \d+ steps\. A number left the range of `Reversible`'s integers"
    ):
        result.check()


@pytest.mark.parametrize(("w0", "rate"), [(np.nan * W0, 0.1), (W0, np.nan)], ids=["start", "run"])
def test_what_is_not_finite_has_diverged(w0, rate):
    assert run_and_slope(w0, jnp.array(rate))[0].status == Status.DIVERGED


def test_a_momentum_that_there_is_no_room_for():
    with pytest.warns(UserWarning, match="`Reversible` made no steps, because the momentum is below"):
        result = minimize(BOWL, W0, quiet(20, learning_rate=0.1, momentum=Momentum(0.4)))
    assert (result.status, result.steps) == (Status.SMALL_MOMENTUM, 0)
    assert np.isnan(result.loss)
    with pytest.raises(RuntimeError, match="lower that, which costs memory"):
        result.check()


REFUSED = {
    "momentum": {"momentum": None},
    "momentum ": {"momentum": Nesterov(0.9)},
    "method": {"method": LBFGS(), "learning_rate": 0.1},
    "learning_rate": {"learning_rate": Adam()},
    "constraint": {"constraint": Box(-1.0, 1.0), "learning_rate": 0.1},
    "tolerance": {"tolerance": 1e-3},
    "track_sensitivity": {"track_sensitivity": True},
    "early_stopping": {"early_stopping": Early(5, 2)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_run_backwards_is_refused(name):
    with pytest.raises(ValueError, match=rf"(?s)`{name.strip()}` must be .* under Reversible\(\).*Checkpointed\(\)"):
        minimize(BOWL, W0, quiet(**{"epochs": 20, "learning_rate": 0.1} | REFUSED[name]))


def test_a_line_search_is_refused():
    with pytest.raises(ValueError, match="`momentum` must be"):
        minimize(BOWL, W0, quiet(5, learning_rate=Backtrack(), momentum=None))


@pytest.mark.parametrize("compiled", [False, True])
def test_other_derivatives_are_refused(compiled):
    end = lambda rate: minimize(BOWL, W0, quiet(20, learning_rate=rate)).loss
    maybe = jax.jit if compiled else lambda f: f
    with pytest.raises(ValueError, match=r"`Reversible` has no forward mode: .*Checkpointed"):
        maybe(lambda rate: jax.jvp(end, (rate,), (1.0,)))(0.1)
    with pytest.raises(ValueError, match=r"`Reversible` has first derivatives only: .*Checkpointed"):
        maybe(jax.grad(jax.grad(end)))(0.1)


@pytest.mark.slow
def test_a_forecast_has_a_row_for_it():
    params = quiet(40, learning_rate=0.1)
    end = lambda params: minimize(BOWL, W0, params).loss
    found = forecast(end, params, [Reversible(), Checkpointed()])
    program = jax.jit(jax.grad(end)).lower(params).compile()
    assert found[Reversible()].bytes == program.memory_analysis().temp_size_in_bytes
    assert found[Reversible()].time > found[Checkpointed()].time > found["forward mode, one number"].time > 0


def test_arguments_are_checked():
    with pytest.raises(TypeError, match="fraction_bits"):
        Reversible(40.5)
    with pytest.raises(ValueError, match="`fraction_bits` must be at most 44, got 50"):
        Reversible(50)
    with pytest.raises(ValueError, match=r"`least_momentum` must be at least 1/64 and at most 0\.999, got 0"):
        Reversible(least_momentum=0)
    with pytest.raises(TypeError, match="least_momentum"):
        Reversible(least_momentum=jnp.array(0.5))
