"""Time and memory of `laplacian` beside folx's forward Laplacian and what one writes by hand in JAX.

All compute the Laplacians at a batch of points in one process, and take turns; a row shows the ratio of ours to each of
the others in medians. That they agree is checked first. Needs `folx` (`pip install folx`).
"""

import argparse
import json
import time

import folx
import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np

SIZES = ((16, 256), (64, 64), (256, 8))
WIDTH = 64


def perceptron(inputs, key):
    """A network of three hidden layers, to one number."""
    sizes = (inputs, WIDTH, WIDTH, WIDTH, 1)
    keys = jax.random.split(key, len(sizes))
    weights = [jax.random.normal(k, (m, n)) / m**0.5 for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=False)]

    def f(x):
        for w in weights[:-1]:
            x = jnp.tanh(x @ w)
        return (x @ weights[-1])[0]

    return f


def attention(tokens, features, key):
    """Self-attention over tokens of a few coordinates each, then a dense layer, summed."""
    keys = jax.random.split(key, 6)
    embed, query, value, then = (
        jax.random.normal(k, s) / s[0] ** 0.5
        for k, s in zip(keys, [(features, WIDTH), *[(WIDTH, WIDTH)] * 3], strict=False)
    )
    keyed = jax.random.normal(keys[5], (WIDTH, WIDTH)) / WIDTH**0.5

    def f(x):
        h = jnp.tanh(x.reshape(tokens, features) @ embed)
        scores = jax.nn.softmax((h @ query) @ (h @ keyed).T / WIDTH**0.5, axis=-1)
        return jnp.sum(jnp.tanh((h + scores @ (h @ value)) @ then))

    return f


def problems(key):
    for inputs, batch in SIZES:
        yield f"MLP, {inputs} inputs, batch {batch}", perceptron(inputs, key), inputs, batch
    yield "self-attention, 8 tokens of 4, batch 32", attention(8, 4, key), 32, 32


def forward_over_reverse(f):
    def laplacian(x):
        along = lambda v: jax.jvp(jax.grad(f), (x,), (v,))[1] @ v
        return jnp.sum(jax.vmap(along)(jnp.eye(x.size, dtype=x.dtype)))

    return laplacian


def forward_over_forward(f):
    def laplacian(x):
        def along(v):
            return jax.jvp(lambda x: jax.jvp(f, (x,), (v,))[1], (x,), (v,))[1]

        return jnp.sum(jax.vmap(along)(jnp.eye(x.size, dtype=x.dtype)))

    return laplacian


def of_folx(sparsity):
    return lambda f: lambda x: folx.forward_laplacian(f, sparsity_threshold=sparsity)(x).laplacian


SIDES = {
    "hype_ad": ad.laplacian,
    "folx": of_folx(0),
    "folx, sparse": of_folx(0.6),
    "forward over reverse": forward_over_reverse,
    "forward over forward": forward_over_forward,
}


def main(repeats=30, sides=tuple(SIDES)):
    key = jax.random.key(0)
    for name, f, inputs, batch in problems(key):
        x = jax.random.normal(key, (batch, inputs))
        programs = {side: jax.jit(jax.vmap(SIDES[side](f))).lower(x).compile() for side in sides}
        results = {side: program(x) for side, program in programs.items()}
        for side, result in results.items():
            assert np.allclose(result, results["hype_ad"], rtol=1e-3, atol=1e-3), side
        times = {side: [] for side in sides}
        for _ in range(repeats + 1):
            for side, program in programs.items():
                start = time.perf_counter()
                jax.block_until_ready(program(x))
                times[side].append(time.perf_counter() - start)
        medians = {side: float(np.median(seconds[1:])) for side, seconds in times.items()}
        memory = {side: program.memory_analysis().temp_size_in_bytes / 1e6 for side, program in programs.items()}
        row = {"what": name, "ms": 1e3 * medians["hype_ad"], "mb": memory["hype_ad"]}
        row["ratios"] = {side: medians["hype_ad"] / medians[side] for side in sides if side != "hype_ad"}
        row["megabytes"] = {side: memory[side] for side in sides if side != "hype_ad"}
        ratios = ", ".join(f"{r:.2f} of {side} ({row['megabytes'][side]:.1f} MB)" for side, r in row["ratios"].items())
        print(f"{name}: {row['ms']:.2f} ms, {row['mb']:.1f} MB; {ratios}")
        print(json.dumps(row))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    main(**vars(parser.parse_args()))
