"""The compiled training loop and its hypergradient against the same loops written by hand in plain JAX.

The job: a 784-300-10 tanh network, 10,000 rows, batches of 100, Nesterov momentum, one learning rate per step. Both
sides of each comparison run interleaved in one process; a row shows the ratio of the medians (and, for memory, of
XLA's own analysis).
"""

import argparse
import json
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import CrossEntropyOnLinear, Dataset, Minibatch, Nesterov, NoReg, Params, StepSchedule, train
from jax import lax

ROWS, BATCH, DECAY = 10_000, 100, 0.9


def network(w, x):
    return jnp.tanh(x @ w["W1"] + w["b1"]) @ w["W2"] + w["b2"]


def loss(w, x, y):
    z = network(w, x)
    return jnp.mean(jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0])


def hand_written(checkpoint, rates, w, x, y):
    """The loop as an experienced user of JAX would write it: a scan, with square-root checkpointing if asked for."""
    steps = rates.size
    x, y = x.reshape(-1, BATCH, x.shape[1]), y.reshape(-1, BATCH)

    def step(carry, inputs):
        w, v = carry
        i, rate = inputs
        value, gradient = jax.value_and_grad(loss)(w, x[i % (ROWS // BATCH)], y[i % (ROWS // BATCH)])
        v = jax.tree.map(lambda v, g: DECAY * v - rate * g, v, gradient)
        w = jax.tree.map(lambda w, v, g: w + DECAY * v - rate * g, w, v, gradient)
        return (w, v), value

    init, xs = (w, jax.tree.map(jnp.zeros_like, w)), (jnp.arange(steps), rates)
    if not checkpoint:
        (w, _), values = lax.scan(step, init, xs)
        return w, values
    length = next(n for n in range(int(steps**0.5), 0, -1) if steps % n == 0)
    segment = jax.checkpoint(lambda carry, xs: lax.scan(step, carry, xs), prevent_cse=False)
    (w, _), values = lax.scan(segment, init, jax.tree.map(lambda a: a.reshape(-1, length), xs))
    return w, values.reshape(steps)


def hype(return_best, rates, w, x, y):
    params = Params(
        learning_rate=StepSchedule(rates),
        momentum=Nesterov(DECAY),
        loss=CrossEntropyOnLinear(),
        regularization=NoReg(),
        batch=Minibatch(BATCH),
        silent=True,
        return_best=return_best,
    )
    result = train(jax.tree_util.Partial(lambda w, x: network(w, x), w), Dataset(x, y), params)
    return result.w.args[0], result.loss_history


def hypergradient(run, rates, w, x, y, x_end, y_end):
    return jax.grad(lambda rates: loss(run(rates, w, x, y)[0], x_end, y_end))(rates)


def compiled(f, *args):
    """An ahead-of-time compiled call, its temporary bytes and the seconds of tracing and compiling."""
    start = time.perf_counter()
    program = jax.jit(f).lower(*args).compile()
    seconds = time.perf_counter() - start
    return (lambda: jax.block_until_ready(program(*args))), program.memory_analysis().temp_size_in_bytes, seconds


def medians(programs, repeats):
    times = {name: [] for name in programs}
    for program in programs.values():
        program()
    for _ in range(repeats):
        for name, program in programs.items():
            start = time.perf_counter()
            program()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(t)) for name, t in times.items()}


def compare(what, ours, by_hand, limit, unit):
    row = {"what": what, "hype": ours, "by_hand": by_hand, "ratio": ours / by_hand, "limit": limit, "unit": unit}
    print(f"{what:55s} {ours:10.4g} {unit:3s} {by_hand:10.4g} {unit:3s} ratio {row['ratio']:.3f} (limit {limit})")
    print(json.dumps(row), flush=True)


def main(steps=1000, repeats=5):
    key = jax.random.key(0)
    x, y = jax.random.normal(key, (ROWS, 784)), jax.random.randint(key, (ROWS,), 0, 10)
    w = {
        "W1": 0.03 * jax.random.normal(key, (784, 300)),
        "b1": jnp.zeros(300),
        "W2": 0.05 * jax.random.normal(key, (300, 10)),
        "b2": jnp.zeros(10),
    }
    run_args = (jnp.full(steps, 0.05), w, x, y)
    grad_args = (*run_args, x[:1000], y[:1000])
    sides = {"hand": partial(hand_written, True), "last": partial(hype, False), "best": partial(hype, True)}

    plain = {name: compiled(f, *run_args) for name, f in {**sides, "hand": partial(hand_written, False)}.items()}
    hyper = {name: compiled(partial(hypergradient, f), *grad_args) for name, f in sides.items()}
    ours, theirs = hyper["last"][0](), hyper["hand"][0]()
    # Rounding of float32 grows over the steps; in float64 (JAX_ENABLE_X64=1) they agree to all digits but a few.
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(jnp.max(jnp.abs(theirs))))

    plain_time = medians({name: p[0] for name, p in plain.items()}, repeats)
    hyper_time = medians({name: p[0] for name, p in hyper.items()}, repeats)
    for name in ("last", "best"):
        compare(f"plain training, {steps} steps, return {name}", plain_time[name], plain_time["hand"], 1.10, "s")
        compare(f"hypergradient, {steps} steps, return {name}", hyper_time[name], hyper_time["hand"], 1.15, "s")
        compare(f"hypergradient's memory, return {name}", hyper[name][1] / 1e6, hyper["hand"][1] / 1e6, 1.2, "MB")
    best_of = lambda f, args: min(compiled(partial(hypergradient, f), *args)[2] for _ in range(4))
    compare(
        "hypergradient's compile time", best_of(sides["last"], grad_args), best_of(sides["hand"], grad_args), 1.5, "s"
    )
    at_length = lambda t: (jnp.full(t, 0.05), *grad_args[1:])
    long, short = (best_of(sides["last"], at_length(t)) for t in (10_000, 100))
    compare("compile time at 10,000 steps (left) and 100 (right)", long, short, 1.2, "s")
    memory = lambda t: compiled(partial(hypergradient, sides["last"]), *at_length(t))[1] / 1e6
    long, short = memory(4096), memory(256)
    compare("memory at 4,096 steps (left) and 256 (right)", long, short, 4, "MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    main(**vars(parser.parse_args()))
