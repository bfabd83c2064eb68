"""How far a hypergradient reaches: memory and time over the number of steps, for each adjoint.

Without arguments, the memory of the job that Hype promises to fit: the hypergradient of 10,000 steps of a 784-300-10
network (10,000 rows, batches of 100, Nesterov momentum, one rate per step) with two and three levels, and of 100,000
steps with three and four, by XLA's own analysis of the compiled programs, which are not run. `--run` runs those of
10,000 steps too, and compares their time with a plain run's (some minutes). `--picture OUT` measures a smaller network
over a range of lengths with every adjoint, and draws that.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import (
    Checkpointed,
    CrossEntropyOnLinear,
    Dataset,
    Implicit,
    L2Reg,
    Minibatch,
    Nesterov,
    Neumann,
    NoReg,
    Params,
    StepSchedule,
    Truncated,
    Unrolled,
    train,
)
from training_loop import BATCH, DECAY, ROWS, compiled, medians, network

LIMITS = {2: (450, 4.2), 3: (160, 6.0)}  # of memory in MB, and of time relative to a plain run


def data_and_weights(rows, pixels, hidden):
    key = jax.random.key(0)
    x, y = jax.random.normal(key, (rows, pixels)), jax.random.randint(key, (rows,), 0, 10)
    w = {
        "W1": 0.03 * jax.random.normal(key, (pixels, hidden)),
        "b1": jnp.zeros(hidden),
        "W2": 0.05 * jax.random.normal(key, (hidden, 10)),
        "b2": jnp.zeros(10),
    }
    return w, x, y


def loss_at_the_end(adjoint, rates, w, x, y, regularization=None):
    params = Params(
        learning_rate=StepSchedule(rates),
        momentum=Nesterov(DECAY),
        loss=CrossEntropyOnLinear(),
        regularization=NoReg() if regularization is None else L2Reg(regularization),
        batch=Minibatch(BATCH),
        adjoint=adjoint,
        return_best=False,
        silent=True,
    )
    return train(jax.tree_util.Partial(lambda w, x: network(w, x), w), Dataset(x, y), params).loss


def report(what, value, limit, unit):
    verdict = "" if limit is None else f" (limit {limit}: {'kept' if value <= limit else 'EXCEEDED'})"
    print(f"{what:60s} {value:8.4g} {unit}{verdict}")
    print(json.dumps({"what": what, "value": value, "limit": limit, "unit": unit}), flush=True)


def promised(run, repeats):
    """Memory, and if asked for time, of the job that Hype promises to fit."""
    w, x, y = data_and_weights(ROWS, 784, 300)
    at = lambda steps: (jnp.full(steps, 0.02), w, x, y)
    programs = {}
    for steps, levels in ((10_000, 2), (10_000, 3), (100_000, 3), (100_000, 4)):
        gradient = jax.grad(partial(loss_at_the_end, Checkpointed(levels)))
        call, memory, _ = compiled(gradient, *at(steps))
        limit = LIMITS[levels][0] if steps == 10_000 else None
        report(f"memory, {steps:,} steps, {levels} levels", memory / 1e6, limit, "MB")
        if steps == 10_000:
            programs[levels] = call
    if run:
        programs[None] = compiled(partial(loss_at_the_end, Checkpointed()), *at(10_000))[0]
        times = medians(programs, repeats)
        report("a plain run of 10,000 steps", times[None], None, "s")
        for levels, (_, limit) in LIMITS.items():
            report(f"time of the hypergradient, {levels} levels", times[levels] / times[None], limit, "plain runs")


def measured(f, *args):
    """Temporary bytes, and the least processor time of a few runs, which others on the machine do not change much."""
    call, memory, _ = compiled(f, *args)
    call()
    times = []
    for _ in range(5):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return memory, min(times)


def hypergradient(adjoint, steps, w, x, y):
    """The derivative with respect to the penalty's coefficient, in reverse mode."""
    end = lambda c, *rest: loss_at_the_end(adjoint, jnp.full(steps, 0.02), *rest, regularization=c)
    return measured(jax.grad(end), jnp.array(1e-3), w, x, y)


def forward(steps, w, x, y):
    """The same in forward mode."""

    def tangent(c, *rest):
        end = lambda c: loss_at_the_end(Checkpointed(), jnp.full(steps, 0.02), *rest, regularization=c)
        return jax.jvp(end, (c,), (jnp.ones_like(c),))[1]

    return measured(tangent, jnp.array(1e-3), w, x, y)


def picture(out, longest):
    """Memory and time over the number of steps, with every adjoint."""
    w, x, y = data_and_weights(1000, 64, 32)
    lengths = [n for n in (16, 64, 256, 1024, 4096, 16384) if n <= longest]
    ways = {
        "Unrolled()": partial(hypergradient, Unrolled()),
        "Checkpointed(2)": partial(hypergradient, Checkpointed(2)),
        "Checkpointed(3)": partial(hypergradient, Checkpointed(3)),
        "Truncated(16)": partial(hypergradient, Truncated(16)),
        "Implicit(Neumann(32, 0.1))": partial(hypergradient, Implicit(Neumann(32, 0.1))),
        "forward mode": forward,
    }
    rows = {}
    for name, way in ways.items():
        rows[name] = np.array([way(steps, w, x, y) for steps in lengths if name != "Unrolled()" or steps <= 4096])
        for steps, (memory, seconds) in zip(lengths, rows[name], strict=False):
            print(json.dumps({"adjoint": name, "steps": steps, "MB": memory / 1e6, "seconds": seconds}), flush=True)
    run = partial(loss_at_the_end, Checkpointed())
    plain = [measured(run, jnp.full(steps, 0.02), w, x, y)[1] for steps in lengths]

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (memory, seconds) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name, values in rows.items():
        memory.loglog(lengths[: len(values)], values[:, 0] / 1e6, "o-", label=name)
        seconds.loglog(lengths[: len(values)], values[:, 1], "o-", label=name)
    seconds.loglog(lengths, plain, "k--", label="a plain run")
    memory.set(title="temporary memory of a hypergradient", xlabel="steps", ylabel="MB")
    seconds.set(title="its processor time", xlabel="steps", ylabel="seconds")
    memory.legend(fontsize=8)
    seconds.legend(fontsize=8)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="measure the time of 10,000 steps too")
    parser.add_argument("--repeats", type=int, default=1, help="runs that the median is taken of")
    parser.add_argument(
        "--picture", type=Path, metavar="OUT", help="measure a smaller network over lengths and draw it"
    )
    parser.add_argument("--longest", type=int, default=16384, help="the most steps in the picture")
    options = parser.parse_args(argv)
    if options.picture is None:
        promised(options.run, options.repeats)
    else:
        picture(options.picture, options.longest)


if __name__ == "__main__":
    main()
