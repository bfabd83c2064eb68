from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hype_optim import (
    Auto,
    Checkpointed,
    Constant,
    Implicit,
    Minibatch,
    Nesterov,
    NormClip,
    Optax,
    Params,
    RMSProp,
    StepSchedule,
    Truncated,
    minimize,
    train,
)

from .problems import classes

f = lambda w: jnp.sum(w**2)
START = np.array([1.0, -2.0])


class Log:
    def __init__(self):
        self.calls = []

    def __call__(self, step, w, loss):
        self.calls.append((step, np.asarray(w), loss))


def run(log, steps=100, w0=START):
    params = Params(steps, learning_rate=0.01, silent=True, logging_function=log)
    return minimize(f, w0, params)


@pytest.mark.parametrize("steps", [1, 7, 100, 1000])
def test_about_twenty_reports_a_run_with_the_first_and_the_last(steps):
    log = Log()
    result = run(log, steps)
    jax.effects_barrier()
    assert min(steps, 20) <= len(log.calls) <= 40
    assert [call[0] for call in log.calls] == sorted({call[0] for call in log.calls})
    assert log.calls[0][0] == 0
    assert log.calls[-1][0] == steps - 1
    for step, w, loss in log.calls:
        np.testing.assert_allclose(loss, f(w))
        np.testing.assert_allclose(loss, np.asarray(result.loss_history)[step])


def test_each_run_of_a_compiled_program_reports():
    log = Log()
    program = jax.jit(
        lambda w0: minimize(f, w0, Params(10, learning_rate=0.01, silent=True, logging_function=log)).loss
    )
    for _ in range(2):
        program(START).block_until_ready()
        jax.effects_barrier()
    assert len(log.calls) == 20


def shown(capfd):
    jax.effects_barrier()
    return capfd.readouterr().err.replace("\r", "\n")


def test_a_run_says_what_it_is_how_far_it_is_and_how_it_ended(capfd):
    rate, clip = RMSProp(0.01, 0.9), NormClip(1.0)
    params = Params(50, learning_rate=rate, momentum=Nesterov(0.5), gradient_clipping=clip)
    result = minimize(f, START, params)
    text = shown(capfd)
    header, *bar, summary = filter(None, text.split("\n"))
    how = "GD, RMSProp(rate=0.01, decay=0.9), Nesterov(decay=0.5), NormClip(threshold=1)"
    assert header == f"Optimizing 2 numbers by {how}: 50 steps."
    assert "50/50" in bar[-1]
    assert "loss=" in bar[-1]
    first, last = result.loss_history[0], result.loss_history[-1]
    assert summary.startswith("50 steps in ")
    assert f"Loss: {first:.6g} at the first step, {last:.6g} at the last, {last:.6g} the lowest." in summary
    assert summary.endswith("The run made all of its steps.")
    minimize(f, START, replace(params, silent=True))
    assert shown(capfd) == ""


@pytest.mark.slow
def test_a_training_counts_epochs_and_goes_on(capfd):
    params = Params(2, learning_rate=StepSchedule(jnp.linspace(0.1, 0.2, 9)), loss=lambda p, y: p, batch=Minibatch(4))
    go = partial(train, jax.tree_util.Partial(lambda w, x: w @ x, jnp.ones(3)), classes(11), valid=classes(4))
    first = go(params)
    text = shown(capfd)
    assert "by GD, StepSchedule(rates=<9 from 0.1 to 0.2>): 9 steps, 3 epochs." in text
    assert f"Validation loss: {jnp.min(first.valid_history):.6g} the lowest." in text
    go(replace(params, learning_rate=Constant(0.1)), state=first.state)
    assert "by GD, Constant(rate=0.1): 6 steps, 2 epochs, on from step 9." in shown(capfd)


def test_a_run_that_ends_before_its_last_step_says_why(capfd):
    minimize(f, START, Params(60, learning_rate=0.25, tolerance=1e-2))
    text = shown(capfd)
    assert "9 steps in " in text
    assert "The gradient became shorter than the tolerance." in text
    minimize(lambda w: jnp.sum(w**4), START, Params(60, method=Optax(optax.sgd, {"learning_rate": 9.0})))
    text = shown(capfd)
    assert "by Optax(sgd, learning_rate=9): 60 steps." in text
    assert "The loss stopped being finite" in text


def test_runs_of_one_program_in_several_threads_each_have_a_beginning_and_an_end(capfd):
    program = jax.jit(lambda w0: minimize(f, w0, Params(40, learning_rate=0.01)).loss)
    program(START)
    with ThreadPoolExecutor(4) as pool:
        losses = list(pool.map(program, [START] * 6))
    text = shown(capfd)
    assert len(losses) == 6
    assert text.count("Optimizing 2 numbers by GD, Constant(rate=0.01): 40 steps.") == 7
    assert text.count("40 steps in ") == 7
    assert text.count("40/40") >= 7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adjoint", "arguments"),
    [
        (Checkpointed(), (0, 1, 2)),
        # An implicit derivative is one in the target alone.
        pytest.param(Implicit(tolerance=None), (0,), marks=pytest.mark.slow),
        *(pytest.param(adjoint, (0, 1, 2), marks=pytest.mark.slow) for adjoint in (Truncated(4), Auto())),
    ],
    ids=repr,
)
def test_derivatives_are_silent_whatever_the_adjoint_and_the_argument(adjoint, arguments, capfd):
    log = Log()

    def end(target, start, rate):
        params = Params(12, learning_rate=rate, adjoint=adjoint, logging_function=log)
        return minimize(lambda w: jnp.sum((w - target) ** 2), start, params).loss

    @jax.jit
    def program(*x):
        first = [(jax.grad(end, i)(*x), jax.jacfwd(end, i)(*x)) for i in arguments]
        return first, jax.grad(jax.grad(end))(*x)

    x = (0.5, 0.0, 0.1)
    jax.block_until_ready(program(*x))
    assert shown(capfd) == ""
    assert log.calls == []
    end(*x)
    assert "12 steps in " in shown(capfd)
    assert len(log.calls) == 12


def test_batches_are_silent(capfd):
    log = Log()
    loss = lambda w, rate: minimize(f, w, Params(10, learning_rate=rate, logging_function=log)).loss
    starts, rates = jnp.stack([START, 2 * START]), jnp.array([0.1, 0.2])
    jax.block_until_ready((jax.vmap(loss, (0, None))(starts, 0.1), jax.vmap(loss, (None, 0))(START, rates)))
    assert shown(capfd) == ""
    assert log.calls == []


def test_a_run_that_raises_leaves_nothing_behind(capfd):
    def failing(w):
        return eqx.error_if(f(w), w[0] < 0.9, "too far")

    with pytest.raises(Exception, match="too far"):
        jax.block_until_ready(minimize(failing, START, Params(40, learning_rate=0.01)))
    assert shown(capfd).split("\n")[-2].strip() == ""
    minimize(f, START, Params(40, learning_rate=0.01))
    title, *bar, _ = filter(str.strip, shown(capfd).split("\n"))
    assert title.startswith("Optimizing 2 numbers")
    assert "40/40" in bar[-1]
    assert "\x1b" not in "".join(bar)
