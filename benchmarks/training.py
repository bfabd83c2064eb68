"""What `train` costs beside loops written by hand: a residual network, data read from a file, convolutions in a scan.

Each pair runs in turns in one process; the ratios of the medians count.
"""

import argparse
import json
import runpy
import tempfile
import time
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from hype_neural import FeedForward, Linear
from hype_optim import CrossEntropyOnLinear, Dataset, Minibatch, Momentum, NoReg, Params, Stream, train
from jax import lax

EXAMPLES = Path(__file__).parents[1] / "examples"


def medians(programs, repeats):
    """The median seconds of each program, run in turns."""
    for run in programs.values():
        jax.block_until_ready(run())
    times = {name: [] for name in programs}
    for _ in range(repeats):
        for name, run in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds)) for name, seconds in times.items()}


def say(what, ours, theirs, limit):
    row = {"what": what, "seconds": ours, "by hand": theirs, "ratio": ours / theirs, "limit": limit}
    print(f"{what}: {ours:.3f} s, beside {theirs:.3f} s, ratio {row['ratio']:.3f} (limit {limit})")
    print(json.dumps(row))


def residual_network(steps, repeats):
    """Steps of momentum on batches of 50 images, in a scan by hand and by `train`."""
    network = runpy.run_path(str(EXAMPLES / "resnet.py"))["ResNet"]
    model, state = eqx.nn.make_with_state(network)(8, 10, jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (50 * steps, 28, 28))
    y = jax.random.randint(jax.random.key(2), (50 * steps,), 0, 10)
    w, static = eqx.partition(model, eqx.is_inexact_array)
    optimizer = optax.sgd(0.01, 0.9)

    @jax.jit
    def by_hand(w, state, x, y):
        def loss(w, state, x, y):
            predict = jax.vmap(eqx.combine(w, static), in_axes=(0, None), out_axes=(0, None), axis_name="batch")
            scores, state = predict(x, state)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(scores, y)), state

        def step(carry, batch):
            w, state, memory = carry
            (value, state), slope = jax.value_and_grad(loss, has_aux=True)(w, state, *batch)
            updates, memory = optimizer.update(slope, memory)
            return (optax.apply_updates(w, updates), state, memory), value

        batches = (x.reshape(steps, 50, 28, 28), y.reshape(steps, 50))
        return lax.scan(step, (w, state, optimizer.init(w)), batches)[1]

    params = Params(
        1,
        learning_rate=0.01,
        momentum=Momentum(0.9),
        loss=CrossEntropyOnLinear(),
        regularization=NoReg(),
        batch=Minibatch(50),
        return_best=False,
        evaluate=False,
        silent=True,
    )
    ours = eqx.filter_jit(lambda m, s, data: train(m, data, params, model_state=s).loss_history)
    programs = {"ours": lambda: ours(model, state, Dataset(x, y)), "by hand": lambda: by_hand(w, state, x, y)}
    np.testing.assert_allclose(programs["ours"](), programs["by hand"](), rtol=1e-3)
    seconds = medians(programs, repeats)
    say(f"{steps} steps of a residual network", seconds["ours"], seconds["by hand"], 1.05)


def streaming(rows, repeats):
    """784-300-10 on shuffled batches of 100, in memory and from a memory-mapped file."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, 784)).astype(np.float32), rng.integers(0, 10, rows)
    keys = jax.random.split(jax.random.key(0), 3)
    model = FeedForward([Linear(784, 300, key=keys[0]), jnp.tanh, Linear(300, 10, key=keys[1])])
    params = Params(3, learning_rate=0.1, loss=CrossEntropyOnLinear(), batch=Minibatch(100), silent=True)
    fit = eqx.filter_jit(partial(train, params=params, key=keys[2]))
    with tempfile.TemporaryDirectory() as folder:
        for name, array in {"x": x, "y": y}.items():
            np.save(f"{folder}/{name}.npy", array)
        read = Stream.of_arrays(*(np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in "xy"))
        kept = Dataset(x, y)
        programs = {"read": lambda: fit(model, read).loss, "kept": lambda: fit(model, kept).loss}
        assert programs["read"]() == programs["kept"]()
        seconds = medians(programs, repeats)
    say(f"3 epochs on {rows:,} rows of a file, beside memory", seconds["read"], seconds["kept"], 1.1)


def convolutions(repeats):
    """Eight gradient steps of two convolutions in Equinox's layout, in a scan and one after the other."""
    x = jax.random.normal(jax.random.key(0), (8, 32, 16, 28, 28))
    w = 0.1 * jax.random.normal(jax.random.key(1), (16, 16, 3, 3))

    def step(w, x):
        conv = lambda x: lax.conv_general_dilated(x, w, (1, 1), "SAME")
        return jnp.mean(jnp.tanh(conv(jnp.tanh(conv(x)))) ** 2)

    descend = lambda w, x: w - 0.1 * jax.grad(step)(w, x)
    single, scan = jax.jit(descend), jax.jit(lambda w: lax.scan(lambda w, x: (descend(w, x), None), w, x)[0])

    def one_after_the_other():
        after = w
        for batch in x:
            after = single(after, batch)
        return after

    seconds = medians({"scan": lambda: scan(w), "single": one_after_the_other}, repeats)
    say("8 steps of convolutions in a scan, beside 8 programs", seconds["scan"], seconds["single"], 1.3)


def main(steps=20, rows=20_000, repeats=7):
    residual_network(steps, repeats)
    streaming(rows, repeats)
    convolutions(repeats)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="of the residual network")
    parser.add_argument("--rows", type=int, default=20_000, help="of the file")
    parser.add_argument("--repeats", type=int, default=7)
    main(**vars(parser.parse_args()))
