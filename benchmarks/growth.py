"""How time, memory and compile time grow with the job: one size is varied at a time.

    T         steps of the hypergradient of a small training by all its rates, 1e2 to 1e5, `Checkpointed(2)`
    weights   of a network whose hypergradient of 20 steps is taken, 1e2 to 1e7
    numbers   hyperparameters that the hypergradient is by, 1e0 to 1e6, as penalties of the weights of a network
    trainings in one `vmap`ped hypergradient, 1 to 64
    runs      of `train` in one `vmap`, with minibatches, validation every second epoch and early stopping, 1 to 16
    chains    of a plain call of `sample`, 1 to 4,096

Memory is the temporary memory of the compiled program, compile time has tracing in it, and `traces` says how often the
body of the loop is traced, which must not change. `slope` is the exponent between a row and the one before: 1 is as
fast as the size, and less is better. Sizes take turns, so that `times the first` is a ratio from one run. In float32,
on one core.

    python benchmarks/growth.py                             # some minutes
    python benchmarks/growth.py --of T chains --picture growth.png --at-most 1e4
"""

import argparse
import json
import math
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from _measure import medians, on_one_core, report
from hype_mcmc import sample
from hype_neural import FeedForward, Linear
from hype_optim import (
    Checkpointed,
    CrossEntropyOnLinear,
    Dataset,
    Early,
    Minibatch,
    Momentum,
    Params,
    StepSchedule,
    minimize,
    train,
)

STEPS = 20
ROWS = 32


def trained(counted, rates, w, penalties, key):
    """The validation loss of a network of two layers."""
    x = jax.random.normal(key, (2 * ROWS, w["W1"].shape[0]))
    y = jnp.sin(x[:, :1])

    def loss(w, x, y):
        return jnp.mean((jnp.tanh(x @ w["W1"]) @ w["W2"] - y) ** 2)

    def objective(penalties, w):
        counted()
        return loss(w, x[:ROWS], y[:ROWS]) + jnp.sum(jnp.exp(penalties) * w["W1"] ** 2)

    params = Params(
        learning_rate=StepSchedule(rates),
        momentum=Momentum(0.9),
        adjoint=Checkpointed(2),
        return_best=False,
        evaluate=False,
        silent=True,
    )
    found = minimize(jax.tree_util.Partial(objective, penalties), w, params).w
    return loss(found, x[ROWS:], y[ROWS:])


def network(inputs, hidden):
    keys = jax.random.split(jax.random.key(0))
    w1 = jax.random.normal(keys[0], (inputs, hidden)) / math.sqrt(inputs)
    return {"W1": w1, "W2": jax.random.normal(keys[1], (hidden, 1)) / math.sqrt(hidden)}


def by_rates(counted, steps, w, key):
    slope = jax.grad(lambda rates: trained(counted, rates, w, jnp.array(-9.0), key))
    return slope, (jnp.full(steps, 0.01),)


def of_steps(steps, counted):
    return by_rates(counted, steps, network(4, 8), jax.random.key(1))


def of_weights(weights, counted):
    side = max(1, int((weights / 2) ** 0.5))
    w = network(weights // side - 1, side)
    slope = lambda rates, w: jax.grad(lambda rates: trained(counted, rates, w, jnp.array(-9.0), jax.random.key(1)))(
        rates
    )
    return slope, (jnp.full(STEPS, 0.01), w)


def of_numbers(numbers, counted):
    """The network is the same for all: numbers are repeated along its weights."""
    w = network(1000, 1000)
    key = jax.random.key(1)

    def value(penalties, w):
        spread = jnp.repeat(penalties, w["W1"].size // numbers).reshape(w["W1"].shape)
        return trained(counted, jnp.full(STEPS, 0.01), w, spread, key)

    return jax.grad(value), (jnp.full(numbers, -9.0), w)


def of_trainings(trainings, counted):
    w = network(64, 30)
    rates = jnp.full(200, 0.01)
    value = lambda rates, key: trained(counted, rates, w, jnp.array(-9.0), key)
    return jax.vmap(jax.grad(value), (None, 0)), (rates, jax.random.split(jax.random.key(1), trainings))


def of_runs(runs, counted):
    inputs, noise = jax.random.split(jax.random.key(0))
    x = jax.random.normal(inputs, (1800, 64))
    labels = jnp.argmax(x[:, :10] + jax.random.normal(noise, (1800, 10)), 1)
    data, valid = Dataset(x[:1200], labels[:1200]), Dataset(x[1200:], labels[1200:])

    def tanh(x):
        counted()
        return jnp.tanh(x)

    params = Params(
        20,
        learning_rate=0.1,
        momentum=Momentum(0.9),
        loss=CrossEntropyOnLinear(),
        batch=Minibatch(100),
        early_stopping=Early(20, 20),
        validation_interval=2,
        silent=True,
    )

    def run(key):
        first, last, order = jax.random.split(key, 3)
        model = FeedForward([Linear(64, 30, key=first), tanh, Linear(30, 10, key=last)])
        return train(model, data, params, valid=valid, key=order).valid_loss

    return jax.vmap(run), (jax.random.split(jax.random.key(1), runs),)


def of_chains(chains, counted):
    def density(x):
        counted()
        return -0.5 * jnp.sum(x**2 / jnp.geomspace(1, 100, 10))

    def run(key):
        settings = {"num_samples": 50, "num_warmup": 50, "num_chains": chains, "silent": True}
        return sample(density, jnp.zeros(10), key=key, **settings).draws

    return run, (jax.random.key(0),)


GROWTH = {
    "T": (of_steps, [10**n for n in range(2, 6)]),
    "weights": (of_weights, [10**n for n in range(2, 8)]),
    "numbers": (of_numbers, [10**n for n in range(7)]),
    "trainings": (of_trainings, [1, 2, 4, 16, 64]),
    "runs": (of_runs, [1, 2, 4, 16]),
    "chains": (of_chains, [1, 4, 16, 64, 256, 1024, 4096]),
}


def measure(of, make, sizes, repeats):
    """A row for each size. All are timed in turns: what one takes is compared with what another does."""
    rows, programs = [], {}
    for size in sizes:
        traces = []
        f, arguments = make(size, lambda traces=traces: traces.append(1))
        start = time.perf_counter()
        program = jax.jit(f).lower(*arguments).compile()
        compiling = time.perf_counter() - start
        programs[str(size)] = lambda program=program, arguments=arguments: jax.block_until_ready(program(*arguments))
        rows.append({"of": of, "size": size, "MB": program.memory_analysis().temp_size_in_bytes / 1e6})
        rows[-1] |= {"compiling, s": compiling, "traces": len(traces)}
    times = medians(programs, repeats)
    rows = [{"of": of, "size": row["size"], "seconds": times[str(row["size"])]} | row for row in rows]
    return [compared(row, rows[max(0, i - 1)], rows[0]) for i, row in enumerate(rows)]


def compared(row, before, first):
    """With the exponents between the row before and this one, and with the time beside the first row's."""
    row = row | {"times the first": row["seconds"] / first["seconds"]}
    for name, short in (("seconds", "slope of time"), ("MB", "slope of memory")):
        is_first = row["size"] == before["size"]
        slope = None if is_first else math.log(row[name] / before[name]) / math.log(row["size"] / before["size"])
        row[short] = None if slope is None else round(slope, 2)
    return row


def draw(rows, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    kinds = list(dict.fromkeys(row["of"] for row in rows))
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        mine = [row for row in rows if row["of"] == kind]
        for name in ("seconds", "MB", "compiling, s"):
            axes.loglog([row["size"] for row in mine], [row[name] for row in mine], ".-", label=name)
        axes.set_xlabel(kind)
        axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=100)


def main(of=tuple(GROWTH), at_most=math.inf, repeats=3, picture=None, rows_from=()):
    rows = [row for path in rows_from for row in json.loads(Path(path).read_text().splitlines()[-1])["rows"]]
    for name in of:
        make, sizes = GROWTH[name]
        rows += measure(name, make, [size for size in sizes if size <= at_most], repeats)
    if picture:
        draw(rows, picture)
    report("growth", rows)


if __name__ == "__main__":
    on_one_core()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", nargs="*", choices=GROWTH, default=list(GROWTH))
    parser.add_argument("--at-most", type=float, default=math.inf, help="the largest size")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--picture", type=Path, help="where to draw them")
    parser.add_argument("--rows-from", nargs="*", type=Path, default=[], help="what was said before, to be drawn too")
    main(**vars(parser.parse_args()))
