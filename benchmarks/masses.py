"""Correlated posteriors of 100 to 1,000 dimensions: masses of this package beside BlackJAX's NUTS and nutpie.

Four chains and 1,000 draws on all sides, in float64; warm-up as long as this package and nutpie make it by themselves,
and of 1,000 transitions by BlackJAX. A row has the gradients for 1,000 effective samples of the worst coordinate or its
square, of the draws alone and with those of warm-up, and the largest R-hat. The last line of a posterior is the ratio
of the best sound mass of ours (R-hat at most 1.05) to the best sound sampler of the others, of the draws alone and with
warm-up.

    python benchmarks/masses.py            # needs the `bench` dependency group; nutpie's rows need nutpie
"""

import argparse
import json
import os
from importlib.util import find_spec

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import DenseMass, DiagonalMass, DynamicHMC, LowRankMass, sample
from hype_mcmc._diagnostics import bulk_ess, rank_rhat
from jax.nn import softplus
from nuts import CHAINS, TRANSITIONS, start
from posteriors import POSTERIORS, Posterior, normal


def spiked(n):
    """Ten directions of their own deviations, from 30 to 5 and from 0.2 to 0.05, on a round Gaussian, rotated."""
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    whiten = jnp.asarray(axes / np.r_[np.geomspace(30, 5, 5), np.ones(n - 10), np.geomspace(0.2, 0.05, 5)])
    return Posterior(lambda x: -0.5 * jnp.sum((x @ whiten) ** 2), n)


def spread(n):
    """Deviations from 1 to 1,000^-1/2, evenly in their logarithm, rotated: no direction stands out."""
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    whiten = jnp.asarray(axes / np.geomspace(1.0, 1000**-0.5, n))
    return Posterior(lambda x: -0.5 * jnp.sum((x @ whiten) ** 2), n)


def autoregression(n):
    """A stationary Gaussian sequence with correlation 0.95 from one to the next."""
    return Posterior(lambda x: -0.5 * x[0] ** 2 - 0.5 * jnp.sum((x[1:] - 0.95 * x[:-1]) ** 2) / (1 - 0.95**2), n)


def factors(n):
    """Logistic regression of 400 cases whose features are five factors and little noise."""
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 5)) @ random.normal(size=(5, n)) + 0.3 * random.normal(size=(400, n))
    x = x / x.std(0)
    sign = np.where(random.random(400) < 1 / (1 + np.exp(-x @ random.normal(size=n) / n**0.5)), 1.0, -1.0)
    x, sign = jnp.asarray(x), jnp.asarray(sign)
    return Posterior(lambda w: normal(w) - jnp.sum(softplus(-sign * (x @ w))), n)


TARGETS = {
    "spiked Gaussian, 100": lambda: spiked(100),
    "spiked Gaussian, 300": lambda: spiked(300),
    "rotated Gaussian, 100": lambda: spread(100),
    "autoregression, 100": lambda: autoregression(100),
    "autoregression, 300": lambda: autoregression(300),
    "regression on factors, 100": lambda: factors(100),
    "regression on factors, 300": lambda: factors(300),
    "item response, 100": POSTERIORS["item response"],
    "spiked Gaussian, 1000": lambda: spiked(1000),
}


def ours(mass):
    def side(f, n, seed):
        settings = {"num_samples": TRANSITIONS, "num_chains": CHAINS, "silent": True}
        out = sample(f, jnp.zeros(n), DynamicHMC(1.0, 1.0, mass), key=jax.random.key(seed), **settings)
        return out.draws, int(out.num_steps.sum()), int(out.warmup_steps)

    return side


def nuts(is_diagonal):
    def side(f, n, seed):
        adaptation = blackjax.window_adaptation(blackjax.nuts, f, is_mass_matrix_diagonal=is_diagonal)

        @jax.jit
        @jax.vmap
        def chain(key):
            start_key, warmup_key, key = jax.random.split(key, 3)
            (state, settings), warmup = adaptation.run(warmup_key, start(start_key, n).astype(float), TRANSITIONS)
            kernel = blackjax.nuts(f, **settings)

            def step(state, key):
                state, info = kernel.step(key, state)
                return state, (state.position, info.num_integration_steps)

            _, (positions, steps) = jax.lax.scan(step, state, jax.random.split(key, TRANSITIONS))
            return positions, steps, warmup.info.num_integration_steps

        positions, steps, warmup = chain(jax.random.split(jax.random.key(seed), CHAINS))
        return positions, int(steps.sum()), int(warmup.sum())

    return side


def by_nutpie(low_rank):
    def side(f, n, seed):
        import nutpie

        both = jax.jit(jax.value_and_grad(f))
        make = lambda: lambda x: tuple(np.asarray(part) for part in both(x))
        model = nutpie.compiled_pyfunc.from_pyfunc(
            n, make, lambda seed1=None, seed2=None, chain=None: lambda x: {"x": x}, [np.dtype("float64")], [(n,)], ["x"]
        )
        settings = {"draws": TRANSITIONS, "chains": CHAINS, "cores": 1, "progress_bar": False}
        trace = nutpie.sample(model, seed=seed, low_rank_modified_mass_matrix=low_rank, **settings)
        steps = lambda group: int(np.asarray(group["n_steps"]).sum())
        return np.asarray(trace.posterior["x"]), steps(trace.sample_stats), steps(trace.warmup_sample_stats)

    return side


OURS = {f"LowRankMass({rank})": LowRankMass(rank) for rank in (10, 30, 100)}
SIDES = {name: ours(mass) for name, mass in {"DiagonalMass": DiagonalMass(), "DenseMass": DenseMass(), **OURS}.items()}
SIDES |= {"NUTS, diagonal": nuts(True), "NUTS, dense": nuts(False)}
if find_spec("nutpie") is not None:
    SIDES |= {"nutpie, diagonal": by_nutpie(False), "nutpie, low rank": by_nutpie(True)}


def measure(name, seed, sides):
    f, n = TARGETS[name]()
    costs = {}
    for side in sides:
        positions, steps, warmup = SIDES[side](f, n, seed)
        columns = np.moveaxis(np.asarray(positions, np.float64), 2, 0)
        ess = float(min(np.min(bulk_ess(columns)), np.min(bulk_ess(columns**2))))
        rhat = float(np.max(rank_rhat(columns)))
        cost = 1000 * steps / ess, 1000 * (steps + warmup) / ess
        row = {"posterior": name, "by": side, "gradients": round(cost[0]), "with warm-up": round(cost[1])}
        print(json.dumps(row | {"ess": round(ess), "rhat": round(rhat, 3)}), flush=True)
        if rhat <= 1.05:
            costs[side] = cost
    best = [
        [min((cost[i] for side, cost in costs.items() if ("Mass" in side) == mine), default=np.inf) for i in range(2)]
        for mine in (True, False)
    ]
    ratios = [round(a / b, 3) for a, b in zip(*best, strict=True)]
    print(json.dumps({"posterior": name, "ratio": ratios[0], "with warm-up": ratios[1]}), flush=True)


def main(seed, only, sides):
    jax.config.update("jax_enable_x64", True)
    for name in only or TARGETS:
        measure(name, seed, sides or SIDES)


if __name__ == "__main__":
    # One core for all sides, before JAX starts its threads.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=TARGETS, help="some of the posteriors")
    parser.add_argument("--sides", nargs="*", choices=SIDES, help="some of the samplers")
    main(**vars(parser.parse_args()))
