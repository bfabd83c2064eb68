"""What benchmarks share: medians of programs that take turns, and a report of them as a table and a line of JSON."""

import json
import os
import platform
import shlex
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import threadpoolctl


def on_one_core():
    """One core and one thread for all sides; to be called before JAX starts its threads."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    threadpoolctl.threadpool_limits(1)  # two of NumPy's would wait for each other


def medians(programs, repeats, seconds=0.02):
    """The median seconds of a call of each, timed in blocks of about so many `seconds` that take turns.

    A program is a function without arguments that waits for its result. The order is drawn anew each time, as what ran
    before leaves its data in the cache, and each warms up before it is timed. With no `seconds`, single calls take
    turns, and nothing warms up: as among other work.
    """
    blocks = {name: _block(program, seconds) for name, program in programs.items()}
    times = {name: [] for name in programs}
    order = np.random.default_rng(0)
    for _ in range(repeats):
        for name in order.permutation(list(programs)):
            if seconds:
                programs[name]()
            start = time.perf_counter()
            for _ in range(blocks[name]):
                programs[name]()
            times[name].append((time.perf_counter() - start) / blocks[name])
    return {name: float(np.median(taken)) for name, taken in times.items()}


def _block(program, seconds):
    program()
    start = time.perf_counter()
    program()
    return max(1, int(seconds / (time.perf_counter() - start)))


def report(what, rows, packages=()):
    """Print rows of the same keys as a table of Markdown, then all there is to know about them as a line of JSON."""
    columns = list(rows[0])
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print("| " + " | ".join(_cell(row.get(column)) for column in columns) + " |")
    versions = {name: _version(name) for name in ("hype-optim", "jax", "jaxlib", *packages)}
    command = "python " + shlex.join([f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    facts = {"what": what, "command": command, "machine": machine(), "versions": versions}
    said = ", ".join(f"{name} {number}" for name, number in versions.items())
    print(f"\n`{command}`; {facts['machine']}; Python {platform.python_version()}, {said}.\n")
    print(json.dumps(facts | {"rows": rows}), flush=True)


def machine():
    """The processor and how many of its cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.machine()}, {cores} core{'s' if cores > 1 else ''}"


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cell(value):
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
