"""Time of sparse Jacobians and Hessians beside asdex and evaluations of the function.

All run in one process, and take turns; a row shows ratios of medians. That they agree with asdex, and at a smaller size
with the whole matrix, is checked first. Finding the sparsity and coloring it is timed apart. Needs `asdex`.
"""

import argparse
import json
import time

import asdex
import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np


def band(x):
    """Each output depends on 5 neighbors."""
    padded = jnp.pad(x, 2)
    near = [padded[i : i + x.size] for i in range(5)]
    return jnp.sin(near[0]) * near[1] + jnp.exp(-(near[2] ** 2)) + near[3] * jnp.tanh(near[4])


def reaction(x):
    """A reaction and diffusion on a square grid, with its five neighbors."""
    side = round(x.size**0.5)
    u = jnp.pad(x.reshape(side, side), 1)
    laplacian = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]
    return (laplacian + jnp.sin(u[1:-1, 1:-1]) ** 3).ravel()


def chain(x):
    """Rosenbrock's function, chained."""
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def arrow(x):
    """All weights with the first, and none of the others with another."""
    return jnp.sum(jnp.sin(x) * x[0]) + jnp.sum(x**4)


PROBLEMS = {
    "Jacobian of a band of 5": (band, "jacobian"),
    "Jacobian on a grid": (reaction, "jacobian"),
    "Hessian of a chain": (chain, "hessian"),
    "Hessian of an arrow": (arrow, "hessian"),
}
OURS = {"jacobian": ad.sparse_jacobian, "hessian": ad.sparse_hessian}
FOUND = {"jacobian": ad.jacobian_sparsity, "hessian": ad.hessian_sparsity}
THEIRS = {"jacobian": asdex.jacobian_from_coloring, "hessian": asdex.hessian_from_coloring}
THEIR_FOUND = {"jacobian": asdex.jacobian_coloring, "hessian": asdex.hessian_coloring}
WHOLE = {"jacobian": jax.jacobian, "hessian": jax.hessian}


def seconds(run):
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def colors(kind, sparsity):
    coloring = sparsity.star_coloring if kind == "hessian" else sparsity.column_coloring
    return coloring.count


def main(repeats=200, size=10_000):
    small = jax.random.normal(jax.random.key(0), (64,))
    x = jax.random.normal(jax.random.key(1), (size,))
    THEIR_FOUND["jacobian"](band, small), THEIR_FOUND["hessian"](arrow, small)  # what Numba compiles
    for name, (f, kind) in PROBLEMS.items():
        assert np.allclose(OURS[kind](f)(small).todense(), WHOLE[kind](f)(small), atol=1e-5), name
        found, sparsity = seconds(lambda kind=kind, f=f: (s := FOUND[kind](f)(x), colors(kind, s))[0])
        their_found, coloring = seconds(lambda kind=kind, f=f: THEIR_FOUND[kind](f, x))
        programs = {
            "f": jax.jit(f),
            "found": jax.jit(lambda x, kind=kind, f=f: OURS[kind](f)(x).data),
            "checked": jax.jit(lambda x, kind=kind, f=f, s=sparsity: OURS[kind](f, sparsity=s)(x).data),
            "asdex": jax.jit(lambda x, kind=kind, f=f, c=coloring: THEIRS[kind](f, c)(x).data),
        }
        ours, theirs = OURS[kind](f)(x), THEIRS[kind](f, coloring)(x)
        v = jax.random.normal(jax.random.key(2), x.shape)
        assert np.allclose(ours @ v, theirs @ v, rtol=1e-3, atol=1e-3), name
        programs = {side: program.lower(x).compile() for side, program in programs.items()}
        times = {side: [] for side in programs}
        for _ in range(repeats + 1):
            for side, program in programs.items():
                times[side].append(seconds(lambda program=program: jax.block_until_ready(program(x)))[0])
        medians = {side: float(np.median(taken[1:])) for side, taken in times.items()}
        row = {
            "what": name,
            "ms": 1e3 * medians["found"],
            "evaluations": medians["found"] / medians["f"],
            "of asdex": medians["found"] / medians["asdex"],
            "given and checked, of asdex": medians["checked"] / medians["asdex"],
            "colors": colors(kind, sparsity),
            "colors of asdex": coloring.num_colors,
            "s to find": found,
            "of asdex to find": found / their_found,
        }
        print(json.dumps(row))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--size", type=int, default=10_000)
    main(**vars(parser.parse_args()))
