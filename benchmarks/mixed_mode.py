"""Hypergradients before and after mixed mode, and beside loops written by hand: temporary memory and time.

Three inner models: 784-300-10 on batches of 100, the LSTM of `examples/aeneid.py` and a small transformer (6 layers, 64
wide, 96 tokens, batch 8, blocks under `jax.checkpoint`), each trained by SGD with one rate for each step. "Today" are
segments of steps, as they were before single steps were recomputed alone; "singly" recomputes single steps and goes
reverse over reverse; the loops by hand recompute single steps too. Memory is XLA's analysis of the compiled program;
times are the medians of runs in turns in one process, of which the ratios count. `--lengths` compiles the transformer's
programs for those numbers of steps, and tells their memory without running them.
"""

import argparse
import json
import runpy
import time
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import checkpointed_scan
from hype_neural import LSTM, FeedForward, Language, Linear, LinearNoBias
from hype_optim import AbstractAdjoint, Checkpointed, Params, Solution, StepSchedule, Unrolled, minimize
from jax import lax

LAYERS, WIDTH, TOKENS, BATCH, HEADS, WORDS = 6, 64, 96, 8, 4, 32


class As(AbstractAdjoint):
    """Segments or single steps, by reverse over reverse, whatever pays."""

    levels: int = eqx.field(static=True)
    single: bool = eqx.field(static=True)

    def solve(self, run, state, params, gradient):
        """The run by `checkpointed_scan` as it is told."""

        def scan(step, init, xs, load):
            return checkpointed_scan(step, init, xs, self.levels, load=load, single_steps=self.single)

        return Solution(*run(scan, state, params))


def perceptron(key):
    x, y = jax.random.normal(key, (100, 784)), jax.random.randint(key, (100,), 0, 10)
    w = {"a": 0.03 * jax.random.normal(key, (784, 300)), "b": 0.05 * jax.random.normal(key, (300, 10))}
    return lambda w: cross_entropy(jnp.tanh(x @ w["a"]) @ w["b"], y), w


def lstm(key):
    text = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "aeneid.py"))["TEXT"]
    language = Language(text)
    data, words = language.examples(text), len(language)
    keys = jax.random.split(key, 3)
    layers = [LinearNoBias(words, 20, key=keys[0]), LSTM(20, 100, key=keys[1]), Linear(100, words, key=keys[2])]
    w, static = eqx.partition(FeedForward(layers), eqx.is_inexact_array)
    return lambda w: cross_entropy(jax.vmap(eqx.combine(w, static))(data.x), data.y), w


def transformer(key):
    keys = jax.random.split(key, 7)
    draw = lambda i, *shape: jax.random.normal(keys[i], shape) / jnp.sqrt(shape[-2])
    blocks = {
        "qkv": draw(0, LAYERS, WIDTH, 3 * WIDTH),
        "out": draw(1, LAYERS, WIDTH, WIDTH),
        "up": draw(2, LAYERS, WIDTH, 4 * WIDTH),
        "down": draw(3, LAYERS, 4 * WIDTH, WIDTH),
    }
    w = {"embed": draw(4, WORDS, WIDTH), "blocks": blocks, "head": draw(5, WIDTH, WORDS)}
    tokens = jax.random.randint(keys[6], (BATCH, TOKENS + 1), 0, WORDS)

    def loss(w):
        block = jax.checkpoint(lambda x, p: (attend_and_map(x, p), None))
        x, _ = lax.scan(block, w["embed"][tokens[:, :-1]], w["blocks"])
        return cross_entropy(x @ w["head"], tokens[:, 1:])

    return loss, w


def attend_and_map(x, p):
    normed = lambda x: x * lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)
    q, k, v = (a.reshape(BATCH, TOKENS, HEADS, -1) for a in jnp.split(normed(x) @ p["qkv"], 3, -1))
    scores = jnp.einsum("bnhd,bmhd->bhnm", q, k) / jnp.sqrt(WIDTH / HEADS)
    scores = jnp.where(jnp.tril(jnp.ones((TOKENS, TOKENS), bool)), scores, -1e9)
    x = x + jnp.einsum("bhnm,bmhd->bnhd", jax.nn.softmax(scores), v).reshape(x.shape) @ p["out"]
    return x + jax.nn.gelu(normed(x) @ p["up"]) @ p["down"]


def cross_entropy(z, y):
    return jnp.mean(jax.nn.logsumexp(z, axis=-1) - jnp.take_along_axis(z, y[..., None], axis=-1)[..., 0])


def hype(loss, w, adjoint, rates):
    params = Params(rates.size, learning_rate=StepSchedule(rates), adjoint=adjoint, return_best=False, silent=True)
    return minimize(loss, w, params).loss


def by_hand(loss, w, mixed, levels, rates):
    plain = gradient = jax.grad(loss)
    if mixed:
        gradient = jax.custom_vjp(plain)
        gradient.defvjp(lambda w: (plain(w), w), lambda w, v: (jax.jvp(plain, (w,), (v,))[1],))
    step = lambda w, rate: (jax.tree.map(lambda w, g: w - rate * g, w, gradient(w)), None)
    step = jax.checkpoint(step, prevent_cse=False)
    if levels == 2:
        return loss(lax.scan(step, w, rates)[0])
    length = next(n for n in range(int(rates.size**0.5), 0, -1) if rates.size % n == 0)
    segment = jax.checkpoint(lambda w, rates: lax.scan(step, w, rates), prevent_cse=False)
    return loss(lax.scan(segment, w, rates.reshape(-1, length))[0])


def compiled(problem, rates):
    """The programs of the hypergradient, by name, and their memory in MB."""
    loss, w = problem(jax.random.key(0))
    loss = jax.tree_util.Partial(loss)
    ways = {"Unrolled()": partial(hype, loss, w, Unrolled())}
    for levels in (2, 3):
        ways[f"Checkpointed({levels}), today"] = partial(hype, loss, w, As(levels, False))
        ways[f"Checkpointed({levels}), singly"] = partial(hype, loss, w, As(levels, True))
        ways[f"Checkpointed({levels})"] = partial(hype, loss, w, Checkpointed(levels))
        ways[f"by hand, {levels} levels"] = partial(by_hand, loss, w, False, levels)
        ways[f"by hand, {levels} levels, mixed"] = partial(by_hand, loss, w, True, levels)
    programs = {name: jax.jit(jax.grad(way)).lower(rates).compile() for name, way in ways.items()}
    return programs, {name: program.memory_analysis().temp_size_in_bytes / 1e6 for name, program in programs.items()}


def tell_memory(steps):
    for name, memory in compiled(transformer, jnp.full(steps, 0.02))[1].items():
        print(json.dumps({"model": "transformer", "steps": steps, "way": name, "MB": memory}), flush=True)


def compare(model, problem, rate, steps, repeats):
    rates = jnp.full(steps, rate)
    programs, memory = compiled(problem, rates)
    slopes = {name: np.asarray(program(rates)) for name, program in programs.items()}
    times = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(rates))
            times[name].append(time.perf_counter() - start)
    seconds = {name: float(np.median(t)) for name, t in times.items()}
    expected = slopes["by hand, 2 levels"]
    for name in programs:
        far = float(np.max(np.abs(slopes[name] - expected)) / np.max(np.abs(expected)))
        row = {"model": model, "steps": steps, "way": name, "MB": memory[name], "s": seconds[name], "off": far}
        for other in (name + ", today", "by hand, 2 levels", f"by hand, {name[13:14]} levels, mixed"):
            if name.startswith("Checkpointed") and other in programs:
                row |= {f"MB / {other}": memory[name] / memory[other], f"s / {other}": seconds[name] / seconds[other]}
        print(f"{model}, {steps} steps: {name:26s} {memory[name]:8.1f} MB {seconds[name]:8.3f} s  off {far:.0e}")
        print(json.dumps(row), flush=True)


def main(repeats=5, models=("transformer", "lstm", "perceptron"), lengths=()):
    for steps in lengths:
        tell_memory(steps)
    if lengths:
        return
    jobs = {
        "perceptron": [("784-300-10", perceptron, 0.05, 200)],
        "lstm": [("Aeneid LSTM", lstm, 0.5, 16)],
        "transformer": [("transformer", transformer, 0.02, steps) for steps in (4, 16)],
    }
    for model in models:
        for job in jobs[model]:
            compare(*job, repeats)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["transformer", "lstm", "perceptron"])
    parser.add_argument("--lengths", type=int, nargs="+", default=[], metavar="STEPS")
    main(**vars(parser.parse_args()))
