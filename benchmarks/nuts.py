"""What 1,000 effective samples cost by a plain call of `sample`, against the NUTS of BlackJAX and of NumPyro.

Four chains, 1,000 transitions of warm-up and 1,000 draws on all sides, on the twelve posteriors of `posteriors.py`, in
float32 and on one core. NUTS runs its chains side by side and one after another, and the faster of the two counts. All
sides run interleaved in one process; seconds have warm-up in them and compiling not. A row has the medians over the
repeats of seconds and gradients for 1,000 effective samples of the worst coordinate, and for 1,000 of its tails; the
largest R-hat of all repeats; and the largest difference of a mean from the one of all NUTS runs together, in standard
errors (3 to 4 is what chance makes of a hundred coordinates and some repeats). The last line counts the posteriors on
which `sample` took at most half of the seconds of the better NUTS.

    python benchmarks/nuts.py            # needs the `bench` dependency group; about a quarter of an hour
"""

import argparse
import json
import os
import time

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import sample
from hype_mcmc._diagnostics import bulk_ess, rank_rhat, tail_ess
from numpyro.infer.hmc import hmc
from posteriors import POSTERIORS

TRANSITIONS = 1000
CHAINS = 4


def hype(f, n):
    def run(key):
        settings = {"num_samples": TRANSITIONS, "num_warmup": TRANSITIONS, "num_chains": CHAINS, "silent": True}
        out = sample(f, jnp.zeros(n), key=key, **settings)
        return out.draws, jnp.sum(out.num_steps) + out.warmup_steps

    return run


def blackjax_chain(f, n):
    adaptation = blackjax.window_adaptation(blackjax.nuts, f)

    def chain(key):
        start_key, warmup_key, key = jax.random.split(key, 3)
        (state, settings), warmup = adaptation.run(warmup_key, start(start_key, n), TRANSITIONS)
        kernel = blackjax.nuts(f, **settings)

        def step(state, key):
            state, info = kernel.step(key, state)
            return state, (state.position, info.num_integration_steps)

        _, (positions, steps) = jax.lax.scan(step, state, jax.random.split(key, TRANSITIONS))
        return positions, jnp.sum(steps) + jnp.sum(warmup.info.num_integration_steps)

    return chain


def numpyro_chain(f, n):
    init, step = hmc(potential_fn=lambda x: -f(x), algo="NUTS")

    def chain(key):
        start_key, key = jax.random.split(key)
        state = init(start(start_key, n), num_warmup=TRANSITIONS, rng_key=key)

        def transition(state, _):
            state = step(state)
            return state, (state.z, state.num_steps)

        _, (positions, steps) = jax.lax.scan(transition, state, length=2 * TRANSITIONS)
        return positions[TRANSITIONS:], jnp.sum(steps)

    return chain


def start(key, n):
    return jax.random.uniform(key, (n,), minval=-2.0, maxval=2.0)


def together(chain):
    run = jax.jit(jax.vmap(chain))
    return lambda key: run(jax.random.split(key, CHAINS))


def in_turn(chain):
    run = jax.jit(lambda keys: jax.lax.map(chain, keys))
    return lambda key: run(jax.random.split(key, CHAINS))


def sides(f, n):
    ways = {"together": together, "in turn": in_turn}
    libraries = {"BlackJAX": blackjax_chain, "NumPyro": numpyro_chain}
    return {"sample": hype(f, n)} | {
        f"{name}, {word}": way(chain(f, n)) for name, chain in libraries.items() for word, way in ways.items()
    }


class Outcome:
    """What one run of one side gave."""

    def __init__(self, run, key):
        begin = time.perf_counter()
        positions, steps = jax.block_until_ready(run(key))
        self.seconds = time.perf_counter() - begin
        self.gradients = int(jnp.sum(steps))
        positions = np.asarray(positions, np.float64)
        columns = np.moveaxis(positions, 2, 0)
        bulk = np.array([bulk_ess(column) for column in columns])
        self.ess, self.tail = bulk.min(), min(map(tail_ess, columns))
        self.rhat = max(map(rank_rhat, columns))
        self.mean = positions.mean((0, 1))
        self.variance_of_mean = positions.var((0, 1)) / bulk

    def error(self, others):
        """The largest difference of a mean from that of other runs, in standard errors."""
        mean = np.mean([other.mean for other in others], axis=0)
        variance = np.mean([other.variance_of_mean for other in others], axis=0) / len(others)
        return np.max(np.abs(self.mean - mean) / np.sqrt(self.variance_of_mean + variance))


def compare(name, repeats):
    posterior = POSTERIORS[name]()
    runs = sides(*posterior)
    for run in runs.values():
        jax.block_until_ready(run(jax.random.key(0)))  # compiles
    outcomes = {side: [] for side in runs}
    order = np.random.default_rng(0)
    for i in range(repeats):
        for side in order.permutation(list(runs)):
            outcomes[side].append(Outcome(runs[side], jax.random.key(i + 1)))

    def cost(side, amount, samples):
        return float(np.median([1000 * getattr(o, amount) / getattr(o, samples) for o in outcomes[side]]))

    nuts = [side for side in runs if side != "sample"]
    better = min(nuts, key=lambda side: cost(side, "seconds", "ess"))
    for side in ("sample", better):
        others = [o for other in nuts if other != side for o in outcomes[other]]
        row = {
            "posterior": name,
            "by": side,
            "seconds": round(cost(side, "seconds", "ess"), 4),
            "seconds, tails": round(cost(side, "seconds", "tail"), 4),
            "gradients": round(cost(side, "gradients", "ess")),
            "rhat": round(float(max(o.rhat for o in outcomes[side])), 3),
            "error": round(float(max(o.error(others) for o in outcomes[side])), 1),
        }
        print(json.dumps(row), flush=True)
    ratios = [cost("sample", "seconds", kind) / cost(better, "seconds", kind) for kind in ("ess", "tail")]
    print(json.dumps({"posterior": name, "ratio": round(ratios[0], 3), "tails": round(ratios[1], 3)}), flush=True)
    return ratios[0]


def main(repeats, only):
    ratios = [compare(name, repeats) for name in only or POSTERIORS]
    print(json.dumps({"at most half": sum(ratio <= 0.5 for ratio in ratios), "of": len(ratios)}))


if __name__ == "__main__":
    # One core for all sides, before JAX starts its threads.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=POSTERIORS, help="some of the posteriors")
    main(**vars(parser.parse_args()))
