"""Posteriors whose curvature changes along them: what a plain call, `RefinedHMC` and BlackJAX's NUTS make of them.

Neal's centered funnel in ten dimensions and three of the twelve posteriors of `posteriors.py`, four chains, in float64
and on one core. "HMC" is the kernel that a plain call begins with, and "sample" the plain call, which begins anew with
`RefinedHMC` if a chain freezes. A row has, of all keys, the largest R-hat and the chains that stayed at one place for
more than a tenth of the run; the medians of the gradients for 1,000 effective samples of the worst coordinate, warm-up
in, and of the seconds; and where moments are known the largest error of a mean or second moment, in standard errors.

    python benchmarks/curvature.py            # needs the `bench` dependency group
    python benchmarks/curvature.py --only funnel --sides "RefinedHMC, thin=20" --keys 0 20
"""

import argparse
import json
import os
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import DiagonalMass, DynamicHMC, RefinedHMC, sample
from hype_mcmc._diagnostics import bulk_ess, mean_ess, rank_rhat
from nuts import blackjax_chain
from posteriors import POSTERIORS, Posterior, eight_schools_moments

CHAINS, WARMUP, DRAWS = 4, 500, 1000
NAMES = ("eight schools, centered", "varying intercepts", "sparse regression")


def funnel():
    """The first is N(0, 3^2), the others are normal with its exponential for a variance."""
    logdensity = lambda x: -(x[0] ** 2) / 18 - 0.5 * jnp.sum(x[1:] ** 2) * jnp.exp(-x[0]) - 4.5 * x[0]
    return Posterior(logdensity, 10)


TARGETS = {"funnel": funnel, **{name: POSTERIORS[name] for name in NAMES}}
MOMENTS = {"funnel": ([0.0], [3.0]), "eight schools, centered": eight_schools_moments()}


def by_sample(kernel, thin):
    def side(f, n):
        def run(key):
            settings = {"num_samples": DRAWS, "num_warmup": WARMUP, "num_chains": CHAINS, "thin": thin, "silent": True}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that chains froze
                out = sample(f, jnp.zeros(n), kernel, key=key, **settings)
            return out.draws, jnp.sum(out.num_steps) + out.warmup_steps

        return run

    return side


def by_nuts(f, n):
    run = jax.jit(jax.vmap(blackjax_chain(f, n)))
    return lambda key: run(jax.random.split(key, CHAINS))


SIDES = {
    "sample": by_sample(None, 1),
    "HMC": by_sample(DynamicHMC(1.0, 1.0, DiagonalMass()), 1),
    "RefinedHMC": by_sample(RefinedHMC(), 1),
    "RefinedHMC, thin=10": by_sample(RefinedHMC(), 10),
    "RefinedHMC, thin=20": by_sample(RefinedHMC(), 20),
    "NUTS": by_nuts,
}


def longest_stay(chain):
    moved = np.any(np.diff(chain, axis=0) != 0, axis=1)
    return int(np.max(np.diff(np.flatnonzero(np.r_[True, moved, True]))))


def largest_error(name, positions):
    if name not in MOMENTS:
        return None
    errors = []
    for i, (mean, deviation) in enumerate(zip(*MOMENTS[name], strict=True)):
        x = positions[:, :, i]
        for values, truth in ((x, mean), ((x - mean) ** 2, deviation**2)):
            errors.append(abs(values.mean() - truth) / values.std() * np.sqrt(mean_ess(values)))
    return round(float(max(errors)), 1)


def measure(name, side, keys):
    f, n = TARGETS[name]()
    run = SIDES[side](f, n)
    rows, frozen = [], 0
    for i in keys:
        begin = time.perf_counter()
        positions, steps = jax.block_until_ready(run(jax.random.key(i)))
        seconds = time.perf_counter() - begin
        positions = np.asarray(positions, np.float64)
        columns = np.moveaxis(positions, 2, 0)
        ess = float(np.min(bulk_ess(columns)))
        frozen += sum(longest_stay(chain) > DRAWS / 10 for chain in positions)
        gradients = 1000 * int(jnp.sum(steps)) / ess
        rows.append((float(np.max(rank_rhat(columns))), gradients, seconds, largest_error(name, positions)))
    rhats, gradients, seconds, errors = zip(*rows, strict=True)
    row = {
        "posterior": name,
        "by": side,
        "rhat": round(max(rhats), 3),
        "rhat at most 1.01": f"{sum(rhat <= 1.01 for rhat in rhats)} of {len(keys)}",
        "frozen": f"{frozen} of {CHAINS * len(keys)}",
        "gradients": round(float(np.median(gradients))),
        "seconds": round(float(np.median(seconds)), 2),
    }
    print(json.dumps(row | ({} if errors[0] is None else {"error": max(errors)})), flush=True)


def main(keys, only, sides):
    jax.config.update("jax_enable_x64", True)
    for name in only or TARGETS:
        for side in sides or SIDES:
            measure(name, side, range(*keys))


if __name__ == "__main__":
    # One core for all sides, before JAX starts its threads.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs=2, default=(0, 20), help="the first one, and where to stop")
    parser.add_argument("--only", nargs="*", choices=TARGETS, help="some of the posteriors")
    parser.add_argument("--sides", nargs="*", choices=SIDES, help="some of the samplers")
    main(**vars(parser.parse_args()))
