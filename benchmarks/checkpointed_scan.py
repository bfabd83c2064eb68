"""Memory and time of the gradient of a long simulation: `checkpointed_scan` against the other ways to write its loop.

The job: a damped nonlinear wave on a ring of 2,000 points, T steps, and the gradient of its final energy in the
starting position and the wave speed. Memory is XLA's own count of temporary bytes; times are medians, all programs
taking turns in one process. With `--picture docs/images/checkpointed_scan.png` it draws what it prints.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad import checkpointed_scan
from jax import lax

POINTS = 2_000
LEVELS = (1, 2, 3, 4)
OURS = [f"levels={n}" for n in LEVELS]


def step(speed, state):
    position, velocity = state
    force = speed * (jnp.roll(position, 1) - 2 * position + jnp.roll(position, -1)) - jnp.sin(position)
    velocity = 0.999 * velocity + 0.1 * force
    return position + 0.1 * velocity, velocity


def every_step(f, init, xs, length):
    """What one line adds to `lax.scan`: the states are kept, what is computed between them is not."""
    return lax.scan(jax.checkpoint(f, prevent_cse=False), init, xs, length)


def by_hand(f, init, xs, length):
    """Two loops, for a length that has a divisor near its root."""
    inner = next(n for n in range(int(length**0.5), 0, -1) if length % n == 0)
    segment = jax.checkpoint(lambda carry, _: lax.scan(f, carry, None, inner), prevent_cse=False)
    return lax.scan(segment, init, xs, length // inner)


SCANS = {
    **{name: partial(checkpointed_scan, levels=n) for name, n in zip(OURS, LEVELS, strict=True)},
    "lax.scan": lax.scan,
    "jax.checkpoint, every step": every_step,
    "jax.checkpoint, two loops": by_hand,
    "equinox.internal.scan": partial(eqxi.scan, kind="checkpointed"),
}


def energy(scan, length, start, speed):
    first = (start, jnp.zeros_like(start))
    (position, velocity), _ = scan(lambda state, _: (step(speed, state), None), first, None, length=length)
    return jnp.sum(velocity**2) + jnp.sum(position**2)


def gradient(scan, length):
    return jax.grad(partial(energy, scan, length), (0, 1))


def curvature(scan, length):
    """A second derivative: how the gradient changes with the speed."""
    return lambda start, speed: jax.jvp(lambda c: gradient(scan, length)(start, c), (speed,), (speed,))[1]


class Program:
    """A compiled derivative with its temporary bytes and the times that it took."""

    def __init__(self, derivative, scan, length, arguments):
        start = time.perf_counter()
        self.compiled = jax.jit(derivative(scan, length)).lower(*arguments).compile()
        self.compile_seconds = time.perf_counter() - start
        self.megabytes = self.compiled.memory_analysis().temp_size_in_bytes / 1e6
        self.arguments, self.times = arguments, []
        self.result = jax.block_until_ready(self.compiled(*arguments))

    def run(self):
        start = time.perf_counter()
        jax.block_until_ready(self.compiled(*self.arguments))
        self.times.append(time.perf_counter() - start)

    @property
    def milliseconds(self):
        return 1e3 * float(np.median(self.times))


def compiled(derivative, names, length):
    arguments = (jnp.sin(jnp.linspace(0.0, 2 * jnp.pi, POINTS)), jnp.asarray(0.5))
    programs = {name: Program(derivative, SCANS[name], length, arguments) for name in names}
    first = next(iter(programs.values())).result
    for program in programs.values():
        for ours, theirs in zip(jax.tree.leaves(program.result), jax.tree.leaves(first), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3 * float(jnp.abs(theirs).max()))
    return programs


def table(what, length, programs):
    print(f"\n{what}, {length} steps\n{'':28s} {'MB':>8s} {'ms':>8s} {'compile s':>10s}")
    for name, p in programs.items():
        print(f"{name:28s} {p.megabytes:8.2f} {p.milliseconds:8.1f} {p.compile_seconds:10.2f}")
        row = {"what": what, "steps": length, "scan": name, "MB": p.megabytes, "ms": p.milliseconds}
        print(json.dumps(row), flush=True)


def draw(path, lengths, gradients):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (memory, seconds) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    colors = plt.get_cmap("viridis")(np.linspace(0.85, 0.1, len(LEVELS)))
    for name, color in zip(OURS, colors, strict=True):
        runs = [programs[name] for programs in gradients]
        memory.loglog(lengths, [run.megabytes for run in runs], "o-", color=color, label=name)
        per_step = [1e3 * run.milliseconds / length for run, length in zip(runs, lengths, strict=True)]
        seconds.semilogx(lengths, per_step, "o-", color=color, label=name)
    memory.set_ylabel("temporary memory of the gradient (MB)")
    seconds.set_ylabel("time of the gradient, per step (µs)")
    seconds.set_ylim(bottom=0)
    for axes in (memory, seconds):
        axes.set_xlabel("steps T")
        axes.set_xticks(lengths, [str(n) for n in lengths])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    memory.legend(title="checkpointed_scan")
    figure.suptitle(f"Gradient of T steps of a wave on {POINTS:,} points")
    figure.savefig(path, dpi=110)
    print(f"\nDrew {path}")


def main(lengths=(64, 256, 1024, 4096, 16384), repeats=7, picture=None):
    middle = 4096 if 4096 in lengths else max(lengths)
    gradients = [compiled(gradient, SCANS if length == middle else OURS, length) for length in lengths]
    curvatures = compiled(curvature, SCANS, middle)
    for _ in range(repeats):
        for programs in (*gradients, curvatures):
            for program in programs.values():
                program.run()
    for length, programs in zip(lengths, gradients, strict=True):
        table("gradient", length, programs)
    table("second derivative", middle, curvatures)
    if picture is not None:
        draw(picture, lengths, gradients)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 256, 1024, 4096, 16384])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--picture", type=Path)
    main(**vars(parser.parse_args()))
