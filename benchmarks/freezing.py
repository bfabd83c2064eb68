"""How often plain calls freeze: on hierarchies and on sparse regressions, four chains, default settings, float64.

A row has, of all runs so far, those that `sample` made anew with `RefinedHMC` as a chain was frozen, those that have a
frozen chain in what came out, and the largest R-hat. The sparse regressions have a horseshoe (Carvalho, Polson and
Scott 2010), 10 features, of which 3 count, and 40 cases, which are new for each key.

    python benchmarks/freezing.py            # needs the `bench` dependency group
    python benchmarks/freezing.py --only "varying intercepts" --keys 0 10
"""

import argparse
import json
import os
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import RefinedHMC, sample
from hype_mcmc._diagnostics import frozen_for, rank_rhat
from posteriors import POSTERIORS, half_cauchy, normal

FEATURES, CASES = 10, 40


def horseshoe(data, z):
    (x, y), log_sigma, log_global = data, z[0], z[1]
    log_local, raw = z[2 : 2 + FEATURES], z[2 + FEATURES :]
    prior = normal(log_sigma) + half_cauchy(log_global, 0.1) + half_cauchy(log_local, 1.0) + normal(raw)
    return prior + normal(y - x @ (raw * jnp.exp(log_local + log_global)), jnp.exp(log_sigma))


def sparse(key):
    random = np.random.default_rng(key)
    x = random.normal(size=(CASES, FEATURES))
    y = x @ np.r_[2.0, -1.0, 0.5, np.zeros(FEATURES - 3)] + random.normal(size=CASES)
    return jax.tree_util.Partial(horseshoe, (jnp.asarray(x), jnp.asarray(y))), 2 + 2 * FEATURES


def of(name):
    f, n = POSTERIORS[name]()
    return lambda key: (f, n)


NAMES = ("eight schools, centered", "varying intercepts", "sparse regression")
TARGETS = {"horseshoe, new data": lambda: sparse, **{name: partial(of, name) for name in NAMES}}


def measure(name, keys):
    target, anew, frozen, rhat = TARGETS[name](), 0, 0, 1.0
    for number, key in enumerate(keys, 1):
        f, n = target(key)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that chains froze
            run = sample(f, jnp.zeros(n), key=jax.random.key(key), silent=True)
        draws = np.moveaxis(np.asarray(run.draws), 2, 0)
        anew += isinstance(run.kernel, RefinedHMC)
        frozen += bool(np.any(frozen_for(draws)))
        rhat = max(rhat, float(np.max(rank_rhat(draws))))
        row = {"posterior": name, "runs": number, "made anew": anew, "frozen": frozen, "rhat": round(rhat, 3)}
        print(json.dumps(row), flush=True)


def main(keys, only):
    jax.config.update("jax_enable_x64", True)
    for name in only or TARGETS:
        measure(name, range(*keys))


if __name__ == "__main__":
    # One core, before JAX starts its threads.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs=2, default=(0, 100), help="the first one, and where to stop")
    parser.add_argument("--only", nargs="*", choices=TARGETS, help="some of the posteriors")
    main(**vars(parser.parse_args()))
