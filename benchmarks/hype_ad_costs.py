"""What types and high derivatives cost: D, DV and DM against arrays, the tenth derivative against the second.

Both sides of each comparison take turns in one process; a row shows the ratio of their medians.
"""

import argparse
import json
import re
import time

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import DM, DV, D

jax.config.update("jax_enable_x64", True)


def regression(w, m, y, rate):
    """A program of operators, reductions, indexing, functions, a solve and a gradient, in both worlds the same."""

    def loss(w):
        margin = (m @ w) * y
        return jnp.reshape(jnp.asarray((ad.softplus(-margin).mean() + 1e-3 * ad.l2norm_sq(w)) / 2.0), ())

    for _ in range(3):
        w = w - rate * jax.grad(loss)(w)
    gram = m.T @ m + rate * jnp.eye(3)
    whitened = ad.solve(gram, w) ** 2 - ad.absolute(w) / rate
    picked = (m[1:, 0] @ y[1:]) * ad.standardize(y)[:2] + ad.softmax(w)[1:]
    return w, whitened, ad.outer(y, picked) @ gram[:2], ad.logsumexp(ad.append(y, w)), m.at[0].add(w).sum(axis=0)


ARRAYS = (jnp.linspace(0.5, 1.0, 3), jnp.linspace(-1.0, 2.0, 12).reshape(4, 3) ** 2, jnp.ones(4), jnp.asarray(0.3))
TENSORS = (DV(ARRAYS[0]), DM(ARRAYS[1]), DV(ARRAYS[2]), D(ARRAYS[3]))


def traced(arguments):
    start = time.perf_counter()
    lowered = jax.jit(lambda *arguments: regression(*arguments)).trace(*arguments)
    return time.perf_counter() - start, lowered


def program_text(arguments):
    text = traced(arguments)[1].lower().as_text()
    return re.sub(r'(jit_|@)\w+|\bloc\(.*?\)|jax\.(arg|result)_info = "[^"]*"', "", text)


def chain(operation):
    def f(x):
        for _ in range(50):
            x = operation(x)
        return x

    return f


def mixed(x):
    y = x
    for _ in range(10):
        y = jnp.sin(y) * x + jnp.exp(-0.1 * y)
    return y


FUNCTIONS = {
    "sin(y) x + exp(-y / 10), ten times": mixed,
    "50 sin": chain(jnp.sin),
    "50 tanh": chain(jnp.tanh),
    "50 sigmoid": chain(ad.sigmoid),
    "50 softplus": chain(ad.softplus),
    "50 1 / (1 + y)": chain(lambda y: 1 / (1 + y)),
}


def compiled(order, f):
    """Seconds of compiling, without tracing, and the program."""
    lowered = jax.jit(ad.diffn(order, f)).lower(0.3)
    start = time.perf_counter()
    program = lowered.compile()
    return time.perf_counter() - start, program


def run(program, times=200):
    start = time.perf_counter()
    for _ in range(times):
        program(0.3)
    return (time.perf_counter() - start) / times


def compare(what, left, right, limit):
    row = {"what": what, "left": float(np.median(left)), "right": float(np.median(right)), "limit": limit}
    row["ratio"] = row["left"] / row["right"]
    print(f"{what:70s} {row['left']:9.3g} s {row['right']:9.3g} s  ratio {row['ratio']:5.2f} (limit {limit})")
    print(json.dumps(row), flush=True)


def main(repeats=15, functions=tuple(FUNCTIONS)):
    assert program_text(TENSORS) == program_text(ARRAYS)
    print("The program of tensors (left) lowers to the same HLO as that of arrays (right).")
    pairs = [(traced(TENSORS)[0], traced(ARRAYS)[0]) for _ in range(repeats)]
    compare("tracing with D, DV, DM over tracing with arrays", *zip(*pairs, strict=True), 1.5)
    for name in functions:
        f = FUNCTIONS[name]
        pairs = [(compiled(10, f), compiled(2, f)) for _ in range(max(1, repeats // 5))]
        seconds = [(tenth[0], second[0]) for tenth, second in pairs]
        compare(f"compile, 10th over 2nd derivative, {name}", *zip(*seconds, strict=True), 10)
        tenth, second = (program for _, program in pairs[-1])
        runs = [(run(tenth), run(second)) for _ in range(repeats)]
        compare(f"run, 10th over 2nd derivative, {name}", *zip(*runs, strict=True), 10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--functions", nargs="+", default=list(FUNCTIONS))
    main(**vars(parser.parse_args()))
