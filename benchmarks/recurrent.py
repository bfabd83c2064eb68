"""A training step of the Aeneid's language model against Equinox's cell in a scan, and against PyTorch.

The job: the opening of the Aeneid as one sequence (or, below, 16 copies of it as a batch), a linear map to 20 numbers,
an LSTM of 100 cells, a linear map to the vocabulary, cross entropy, and a step of RMSProp on its gradient. Models in
JAX differ in nothing but the recurrent layer. All sides compute in float32 on one core with one thread, blocks of
steps interleaved in one process; a row shows the ratio of the medians. PyTorch takes part where it is installed: it is
no dependency of anything here.

    python benchmarks/recurrent.py
"""

import argparse
import importlib.util
import json
import os
import time
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from hype_neural import GRU, LSTM, FeedForward, Language, Linear, LinearNoBias
from hype_optim import CrossEntropyOnLinear
from jax import lax

TEXT = (Path(__file__).parents[1] / "examples" / "aeneid.txt").read_text()
CELLS = 100
BLOCK = 5  # steps that are timed together


class Scanned(eqx.Module):
    """A cell of Equinox in a scan, as its documentation shows it."""

    cell: eqx.Module

    def __call__(self, xs, *, key=None):
        zeros = jnp.zeros(CELLS)
        state = (zeros, zeros) if isinstance(self.cell, eqx.nn.LSTMCell) else zeros

        def step(state, x):
            state = self.cell(x, state)
            return state, state[0] if isinstance(state, tuple) else state

        return lax.scan(step, state, xs)[1]


def model(layer, vocabulary, keys):
    return FeedForward([LinearNoBias(vocabulary, 20, key=keys[0]), layer, Linear(CELLS, vocabulary, key=keys[1])])


def jax_step(network, x, y):
    """A call that makes a step, and gives the loss before it."""
    optimizer = optax.rmsprop(0.01, 0.9)
    w, rest = eqx.partition(network, eqx.is_inexact_array)

    def loss(w, x, y):
        return jnp.mean(jax.vmap(CrossEntropyOnLinear())(jax.vmap(eqx.combine(w, rest))(x), y))

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(w, state, x, y):
        value, gradient = jax.value_and_grad(loss)(w, x, y)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(w, updates), state, value

    carry = [jax.tree.map(jnp.copy, w), optimizer.init(w)]

    def run():
        *carry[:], value = step(*carry, x, y)
        return float(value)

    return run


def torch_step(kind, x, y):
    """The same with `torch.nn`."""
    import torch

    torch.set_num_threads(1)
    vocabulary = x.shape[-1]
    first, layer = torch.nn.Linear(vocabulary, 20, bias=False), getattr(torch.nn, kind)(20, CELLS, batch_first=True)
    last = torch.nn.Linear(CELLS, vocabulary)
    optimizer = torch.optim.RMSprop([w for part in (first, layer, last) for w in part.parameters()], 0.01, 0.9)
    x, y = torch.tensor(np.asarray(x)), torch.tensor(np.asarray(y), dtype=torch.int64)

    def run():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(last(layer(first(x))[0]).flatten(0, 1), y.flatten())
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def medians(programs, repeats):
    """Seconds of a step, in the middle of `repeats` blocks of steps, as they come in training."""
    times = {name: [] for name in programs}
    draw = np.random.default_rng(0)
    for _ in range(repeats):
        # In an order of its own each time: what ran before leaves its data in the cache.
        for name in draw.permutation(list(programs)):
            programs[name]()
            start = time.perf_counter()
            for _ in range(BLOCK):
                programs[name]()
            times[name].append((time.perf_counter() - start) / BLOCK)
    return {name: float(np.median(t)) for name, t in times.items()}


def compare(what, ours, theirs, limit):
    row = {"what": what, "hype": ours, "theirs": theirs, "ratio": ours / theirs, "limit": limit, "unit": "ms"}
    limited = "" if limit is None else f" (limit {limit})"
    print(f"{what:55s} {1e3 * ours:8.3f} ms {1e3 * theirs:8.3f} ms ratio {row['ratio']:.3f}{limited}")
    print(json.dumps(row), flush=True)


def main(repeats=40):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX starts its threads
    language = Language(TEXT)
    data = language.examples(TEXT)
    keys = jax.random.split(jax.random.key(0), 3)
    build = lambda layer: model(layer, len(language), keys)
    with_torch = importlib.util.find_spec("torch") is not None
    print(f"One sequence of {data.x.shape[1]} words, {len(language)} different ones; one thread on each side.")
    if not with_torch:
        print("PyTorch is not installed, so it does not take part.")
    for batch in (1, 16):
        x, y = jnp.repeat(data.x, batch, 0), jnp.repeat(data.y, batch, 0)
        for kind, ours, theirs in (("LSTM", LSTM, eqx.nn.LSTMCell), ("GRU", GRU, eqx.nn.GRUCell)):
            sides = {
                "hype": jax_step(build(ours(20, CELLS, key=keys[2])), x, y),
                "equinox": jax_step(build(Scanned(theirs(20, CELLS, key=keys[2]))), x, y),
            }
            if with_torch:
                sides["torch"] = torch_step(kind, x, y)
            asked_for = batch == 1 and kind == "LSTM"
            times = medians(sides, max(10, repeats // batch))
            job = f"a step on {batch} sequence{'s' if batch > 1 else ''}, {kind}"
            compare(f"{job}, against Equinox's cell", times["hype"], times["equinox"], 0.8 if asked_for else None)
            if with_torch:
                compare(f"{job}, against PyTorch", times["hype"], times["torch"], 0.95 if asked_for else None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    main(**vars(parser.parse_args()))
