"""The bars of loops in compiled programs: how often, for which runs, and what is left when one raises."""

import itertools
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import checkpointed_scan
from hype_ad.internal import progress

STEPS = 60


@partial(jax.jit, static_argnames="fails")
def loop(x, rate=0.1, fails=False):
    """A loop with a bar, a title and a last line, which may raise half way."""

    def run(x, rate, loud):
        bar = progress.Bar(STEPS, "turn", loud, lambda x: f"From {x:.1f}.", x)

        def step(x, left):
            x = eqx.error_if(x, left == STEPS // 2, "failed") if fails else x
            x = x - rate * x
            bar.report(left, "down", lambda x: f"x={x:.4f}", x)
            return x, None

        x, _ = checkpointed_scan(step, x, STEPS - 1 - jnp.arange(STEPS))
        bar.end(jnp.array(STEPS), lambda seconds, made, x: f"{made} turns to {x:.4f}, {seconds > 0}.", x)
        return x

    return run(x, rate, progress.is_plain((x, rate)))


def shown(capfd):
    jax.effects_barrier()
    return capfd.readouterr().err.replace("\r", "\n")


def test_a_run_has_a_title_a_bar_and_a_last_line(capfd):
    end = loop(2.0)
    title, *bars, last = filter(None, shown(capfd).split("\n"))
    assert title == "From 2.0."
    assert bars[0].startswith("down:   2%|")
    assert "60/60 [00:00<00:00, " in bars[-1]
    assert bars[-1].endswith(f"turn/s, x={end:.4f}]")
    assert last == f"60 turns to {end:.4f}, True."


def test_a_notebook_gets_progress_where_it_does_not_look_like_an_error(monkeypatch):
    assert progress.stream() is sys.stderr
    monkeypatch.setattr(sys, "stderr", type("OutStream", (), {"__module__": "ipykernel.iostream"})())
    assert progress.stream() is sys.stdout


def test_about_twenty_reports_with_the_first_and_the_last():
    cases = list(itertools.product([1, 19, 300, 1001], [1, 3, 100]))
    lefts = [np.maximum(total - np.arange(every, total + every, every), 0) for total, every in cases]

    @jax.jit
    def whens(lefts):
        due = lambda case, left: jax.vmap(lambda left: progress.due(left, *case))(left)
        return list(map(due, cases, lefts))

    for when, (total, every) in zip(map(np.asarray, whens(lefts)), cases, strict=True):
        assert when[0]
        assert when[-1]
        assert min(len(when), 20) <= when.sum() <= 40, f"{total} steps, {every} at a time"


@pytest.mark.parametrize(
    "transform",
    [jax.grad, jax.jacfwd, jax.hessian, lambda f: lambda x: jax.vmap(f)(jnp.stack([x, x]))],
    ids=["grad", "jacfwd", "hessian", "vmap"],
)
def test_derivatives_and_batches_are_silent_and_free_of_callbacks(transform, capfd):
    compiled = jax.jit(transform(loop)).lower(0.3).compile()
    assert not re.search("custom_call_target=.*callback", compiled.as_text())
    for f in (compiled, transform(lambda rate: loop(1.0, rate)), jax.jit(transform(jax.checkpoint(loop)))):
        jax.block_until_ready(f(0.3))
    assert shown(capfd) == ""
    assert progress._BARS == {}


def test_a_batch_of_runs_in_a_branch_is_silent(capfd):
    """Where the condition is part of the batch, both branches run."""
    f = lambda x: jax.lax.cond(x > 0, loop, lambda x: x, x)
    jax.block_until_ready(jax.jit(jax.vmap(f))(np.array([1.0, -1.0])))
    assert shown(capfd) == ""


def test_each_turn_of_a_loop_around_it_is_a_run(capfd):
    jax.block_until_ready(jax.jit(lambda x: jax.lax.scan(lambda x, _: (loop(x), None), x, length=3)[0])(1.0))
    text = shown(capfd)
    assert text.count("From ") == text.count("60 turns to ") == text.count("60/60") == 3


def test_runs_of_one_program_in_several_threads(capfd):
    starts = np.arange(1.0, 9.0).tolist()
    barrier = threading.Barrier(4)

    def together(x):
        barrier.wait()
        return loop(x)

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(together, starts))
    text = shown(capfd)
    for start, end in zip(starts, ends, strict=True):
        assert f"From {start:.1f}." in text
        assert f"60 turns to {end:.4f}, True." in text
    # Not each with its number: a run that begins between the last report and the end of another takes its bar down.
    assert text.count("60/60") >= len(starts)
    assert progress._BARS == {}


def test_a_run_that_raises_leaves_no_bar(capfd):
    with pytest.raises(Exception, match="failed"):
        jax.block_until_ready(loop(1.0, fails=True))
    shown(capfd)
    jax.block_until_ready(loop(1.0))
    # The first lines erase the old bar; the new one is at its place and not a line below.
    title, *bars, _ = filter(str.strip, shown(capfd).split("\n"))
    assert title == "From 1.0."
    assert "60/60" in bars[-1]
    assert "\x1b" not in "".join(bars)
    assert progress._BARS == {}


def test_where_it_is_known_that_a_run_raised_its_bar_goes_at_once(capfd):
    with pytest.raises(Exception, match="failed"), progress.clearing():
        jax.block_until_ready(loop(1.0, fails=True))
    assert progress._BARS == {}
    assert shown(capfd).split("\n")[-2].strip() == ""


def test_a_bar_that_was_taken_down_comes_back(capfd):
    bar = progress.Bar(10, "step", jnp.array(False), lambda: "")
    begin = lambda: progress._begin(lambda: "")
    first = begin()
    bar._show(progress._nanoseconds(first), 3, "first", "")
    second = begin()
    assert progress._BARS == {}
    bar._show(progress._nanoseconds(first), 4, "first", "")
    bar._show(progress._nanoseconds(second), 1, "second", "")
    assert [each.n for each in progress._BARS.values()] == [4, 1]
    progress._take_down()
    assert "first:  40%" in shown(capfd)
