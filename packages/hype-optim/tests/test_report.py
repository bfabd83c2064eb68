from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import Params, minimize

f = lambda w: jnp.sum(w**2)
START = jnp.array([1.0, -2.0])


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
        np.testing.assert_allclose(loss, result.loss_history[step])


def test_each_run_of_a_compiled_program_reports():
    log = Log()
    program = jax.jit(
        lambda w0: minimize(f, w0, Params(10, learning_rate=0.01, silent=True, logging_function=log)).loss
    )
    for _ in range(2):
        program(START).block_until_ready()
        jax.effects_barrier()
    assert len(log.calls) == 20


@pytest.mark.parametrize("transform", [jax.grad, jax.jacfwd, lambda g: lambda w: jax.vmap(g)(jnp.stack([w, w]))])
def test_derivatives_and_batches_are_silent(transform):
    log = Log()
    loss = lambda w0: run(log, 10, w0).loss
    jax.block_until_ready(transform(loss)(START))
    jax.effects_barrier()
    assert log.calls == []


def test_a_bar_shows_the_progress_unless_silent(capfd):
    go = partial(minimize, f, START)
    go(Params(50, learning_rate=0.01))
    jax.effects_barrier()
    shown = capfd.readouterr().err
    assert "50/50" in shown
    assert "loss=" in shown
    go(Params(50, learning_rate=0.01, silent=True))
    jax.effects_barrier()
    assert capfd.readouterr().err == ""
