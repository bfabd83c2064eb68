"""What `Reversible` keeps and what it takes, beside the other exact adjoints.

Without arguments: the bits that it keeps of each weight and step, by XLA's analysis of the compiled hypergradients of
two lengths, against log2(1 / momentum). `--time` runs the hypergradient of 1,000 steps of a 784-300-10 network (one
rate per step, momentum 0.9, batches of 100) with each adjoint, in turn, and compares medians. `--picture OUT` draws the
temporary memory over 100 to 100,000 steps, of programs that are compiled and not run.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import (
    Checkpointed,
    CrossEntropyOnLinear,
    Dataset,
    Minibatch,
    Momentum,
    NoReg,
    Params,
    Reversible,
    StepSchedule,
    Unrolled,
    minimize,
    train,
)
from lengths import data_and_weights, report
from training_loop import BATCH, ROWS, compiled, medians, network

MOMENTA = (0.5, 0.9, 0.98)


def loss_at_the_end(adjoint, decay, rates, w, x, y):
    params = Params(
        learning_rate=StepSchedule(rates),
        momentum=Momentum(decay),
        loss=CrossEntropyOnLinear(),
        regularization=NoReg(),
        batch=Minibatch(BATCH),
        adjoint=adjoint,
        return_best=False,
        silent=True,
    )
    return train(jax.tree_util.Partial(lambda w, x: network(w, x), w), Dataset(x, y), params).loss


def bits(decay, weights=100_000):
    """What a weight and a step cost, without what does not grow with the number of weights or of steps."""
    adjoint = Reversible(least_momentum=decay)

    def memory(steps, weights):
        def end(rates, w0):
            params = Params(
                learning_rate=StepSchedule(rates),
                momentum=Momentum(decay),
                adjoint=adjoint,
                return_best=False,
                silent=True,
            )
            return jnp.sum(minimize(lambda w: jnp.sum(jnp.cos(w)), w0, params).w)

        return compiled(jax.grad(end), jnp.full(steps, 0.01), jnp.ones(weights))[1]

    short, long = 20_000, 40_000
    of_weights = memory(long, weights) - memory(short, weights) - (memory(long, 8) - memory(short, 8))
    return 8 * of_weights / ((weights - 8) * (long - short))


def times(steps):
    w, x, y = data_and_weights(ROWS, 784, 300)
    rates = jnp.full(steps, 0.02)
    adjoints = (Unrolled(), Checkpointed(2), Reversible(least_momentum=0.9))
    programs = {}
    for adjoint in adjoints:
        name = type(adjoint).__name__
        gradient = jax.grad(partial(loss_at_the_end, adjoint, 0.9))
        programs[name], memory, _ = compiled(gradient, rates, w, x, y)
        report(f"memory of {steps:,} steps, {name}", memory / 1e6, None, "MB")
    seconds = medians(programs, 5)
    for name in programs:
        limit = 2 if name == "Reversible" else None
        report(f"time of {steps:,} steps, {name}", seconds[name] / seconds["Unrolled"], limit, "times Unrolled()")


def picture(out, longest):
    """Memory over the number of steps."""
    w, x, y = data_and_weights(ROWS, 784, 300)
    lengths = [n for n in (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000) if n <= longest]
    ways = {"Unrolled()": Unrolled()} | {f"Checkpointed({k})": Checkpointed(k) for k in (2, 3, 4)}
    ways |= {f"Reversible(), momentum {m}": m for m in MOMENTA}
    rows = {}
    for name, way in ways.items():
        decay = way if isinstance(way, float) else 0.9
        adjoint = Reversible(least_momentum=way) if isinstance(way, float) else way
        gradient = jax.grad(partial(loss_at_the_end, adjoint, decay))
        rows[name] = [compiled(gradient, jnp.full(steps, 0.02), w, x, y)[1] / 1e6 for steps in lengths]
        for steps, memory in zip(lengths, rows[name], strict=True):
            print(json.dumps({"adjoint": name, "steps": steps, "MB": memory}), flush=True)

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, values in rows.items():
        axes.loglog(lengths, values, "o--" if "Reversible" in name else "o-", label=name)
    axes.set(title="temporary memory of a hypergradient, 784-300-10", xlabel="steps", ylabel="MB")
    axes.legend(fontsize=8)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", type=int, nargs="?", const=1_000, metavar="STEPS", help="run, and compare times")
    parser.add_argument("--picture", type=Path, metavar="OUT", help="draw the memory over the number of steps")
    parser.add_argument("--longest", type=int, default=100_000, help="the most steps in the picture")
    options = parser.parse_args(argv)
    if options.time is not None:
        times(options.time)
    elif options.picture is not None:
        picture(options.picture, options.longest)
    else:
        for decay in MOMENTA:
            needed = float(np.log2(1 / decay))
            report(f"bits of a weight and step at {decay}", bits(decay) / needed, 1.05, "times log2(1 / momentum)")


if __name__ == "__main__":
    main()
