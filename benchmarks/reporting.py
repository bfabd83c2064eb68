"""What the header, the progress bar and the summary cost, as a part of a run whose steps take a millisecond.

Runs that report and silent ones are interleaved, with steps so short that the difference stands out; it does not depend
on how long a step takes. The program of a silent run has no callback at all.
"""

import argparse
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import Params, minimize


def compiled(silent, steps, w):
    params = Params(steps, learning_rate=0.01, silent=silent)
    return jax.jit(lambda w: minimize(lambda w: jnp.sum(w**2), w, params).w).lower(w).compile()


def main(steps=1000, repeats=15):
    w = jnp.ones(100)
    programs = {silent: compiled(silent, steps, w) for silent in (True, False)}
    assert "callback" not in programs[True].as_text()
    assert "callback" in programs[False].as_text()
    times = {silent: [] for silent in programs}
    for _ in range(repeats + 1):
        for silent, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(w))
            times[silent].append(time.perf_counter() - start)
    silent, loud = (float(np.median(times[silent][1:])) for silent in (True, False))
    row = {"what": f"reports of a run of {steps} steps", "seconds": loud - silent}
    row |= {"ratio": 1 + row["seconds"] / (1e-3 * steps), "limit": 1.01}
    print(f"{row['what']}: {1e3 * row['seconds']:.2f} ms, with steps of 1 ms ratio {row['ratio']:.4f} (limit 1.01)")
    print(json.dumps(row))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=15)
    main(**vars(parser.parse_args()))
