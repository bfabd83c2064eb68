"""Draws per second of a fixed kernel, against BlackJAX and a kernel written by hand.

One chain of Hamiltonian Monte Carlo with the same step size, number of steps and diagonal mass, by this package, by
BlackJAX and by hand, blocks interleaved in one process; a row shows the ratio of the medians, and the acceptance of
each side, which must agree. Float32 as is the default of all, on one core.

    python benchmarks/mcmc.py            # needs the `bench` dependency group
"""

import argparse
import json
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import HMC, DiagonalMass, sample
from posteriors import POSTERIORS

# Step size of the fixed kernel, variances for its mass, and where the chain starts.
SETTINGS = {
    "Gaussian, condition 1e4": (0.5, jnp.geomspace(1.0, 1e-4, 100), jnp.geomspace(1.0, 0.01, 100)),
    "logistic regression": (0.03, jnp.ones(31), jnp.full(31, 0.1)),
    "eight schools": (0.25, jnp.ones(10), jnp.full(10, 0.1)),
}
STEPS = 8


def by_hype(f, x0, step_size, variance, draws):
    kernel = HMC(step_size, STEPS, DiagonalMass(1 / variance))

    def run(key):
        out = sample(f, x0[None], kernel, key=key, num_samples=draws, num_warmup=0, chained=True, silent=True)
        return out.draws, jnp.mean(out.acceptance)

    return run


def by_blackjax(f, x0, step_size, variance, draws):
    import blackjax

    kernel = blackjax.hmc(f, step_size=step_size, inverse_mass_matrix=variance, num_integration_steps=STEPS)

    @jax.jit
    def run(key):
        def step(state, key):
            state, info = kernel.step(key, state)
            return state, (state.position, info.acceptance_rate)

        _, (positions, acceptance) = jax.lax.scan(step, kernel.init(x0), jax.random.split(key, draws))
        return positions, jnp.mean(acceptance)

    return run


def by_hand(f, x0, step_size, variance, draws):
    both, deviation = jax.value_and_grad(f), jnp.sqrt(variance)

    @jax.jit
    def run(key):
        def step(state, key):
            x, value, gradient = state
            noise_key, key = jax.random.split(key)
            p = jax.random.normal(noise_key, x.shape) / deviation
            energy = 0.5 * jnp.sum(variance * p * p) - value

            def leapfrog(_, phase):
                x, p, _, gradient = phase
                p = p + 0.5 * step_size * gradient
                x = x + step_size * variance * p
                value, gradient = both(x)
                return x, p + 0.5 * step_size * gradient, value, gradient

            x1, p1, value1, gradient1 = jax.lax.fori_loop(0, STEPS, leapfrog, (x, p, value, gradient))
            error = 0.5 * jnp.sum(variance * p1 * p1) - value1 - energy
            probability = jnp.where(jnp.isfinite(error), jnp.exp(jnp.minimum(-error, 0.0)), 0.0)
            accepted = jax.random.uniform(key) < probability
            new = tuple(jnp.where(accepted, b, a) for a, b in zip(state, (x1, value1, gradient1), strict=True))
            return new, (new[0], probability)

        _, (positions, probability) = jax.lax.scan(step, (x0, *both(x0)), jax.random.split(key, draws))
        return positions, jnp.mean(probability)

    return run


def timed(run, key):
    start = time.perf_counter()
    out = jax.block_until_ready(run(key))
    return time.perf_counter() - start, out


def main(repeats, draws):
    makers = {"hype": by_hype, "blackjax": by_blackjax, "by hand": by_hand}
    order = np.random.default_rng(0)
    for name, (step_size, variance, x0) in SETTINGS.items():
        f = POSTERIORS[name]().logdensity
        runs = {each: make(f, x0, step_size, variance, draws) for each, make in makers.items()}
        acceptance = {each: round(float(run(jax.random.key(0))[1]), 3) for each, run in runs.items()}
        times = {each: [] for each in runs}
        for i in range(repeats):
            for each in order.permutation(list(runs)):
                times[each].append(timed(runs[each], jax.random.key(i))[0])
        medians = {each: float(np.median(t)) for each, t in times.items()}
        row = {"posterior": name, "draws per second": round(draws / medians["hype"]), "acceptance": acceptance}
        row |= {f"ratio to {each}": round(medians[each] / medians["hype"], 3) for each in ("blackjax", "by hand")}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    # One core for all sides, before JAX starts its threads.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--draws", type=int, default=20000, help="of a block: a call takes a millisecond besides")
    main(**vars(parser.parse_args()))
