"""Draws per second of a fixed kernel, against BlackJAX, NumPyro and a kernel written by hand.

One chain of Hamiltonian Monte Carlo with the same step size, number of steps and diagonal mass on all sides, blocks
interleaved in one process; a row shows the ratios of the medians, and the acceptance of each side, which is held to
agree. Float32 as is the default of all, on one core.

    python benchmarks/mcmc.py            # needs the `bench` dependency group
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from _measure import medians, on_one_core, report
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


def by_numpyro(f, x0, step_size, variance, draws):
    from numpyro.infer.hmc import hmc

    init, kernel = hmc(potential_fn=lambda x: -f(x), algo="HMC")
    fixed = {"adapt_step_size": False, "adapt_mass_matrix": False, "num_warmup": 0}
    # It makes so many steps as fit the length, rounded down.
    length = step_size * (STEPS + 0.5)

    @jax.jit
    def run(key):
        state = init(
            x0, step_size=step_size, inverse_mass_matrix=variance, trajectory_length=length, rng_key=key, **fixed
        )

        def step(state, _):
            state = kernel(state)
            return state, (state.z, state.accept_prob)

        _, (positions, acceptance) = jax.lax.scan(step, state, length=draws)
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


def main(repeats, draws):
    makers = {"Hype": by_hype, "BlackJAX": by_blackjax, "NumPyro": by_numpyro, "by hand": by_hand}
    rows = []
    for name, (step_size, variance, x0) in SETTINGS.items():
        f = POSTERIORS[name]().logdensity
        runs = {each: make(f, x0, step_size, variance, draws) for each, make in makers.items()}
        acceptance = {each: float(run(jax.random.key(0))[1]) for each, run in runs.items()}
        np.testing.assert_allclose(list(acceptance.values()), acceptance["Hype"], atol=0.02)
        programs = {each: lambda run=run: jax.block_until_ready(run(jax.random.key(1))) for each, run in runs.items()}
        times = medians(programs, repeats)
        row = {"posterior": name, **{f"{each}, draws/s": round(draws / seconds) for each, seconds in times.items()}}
        row |= {f"ratio to {each}": seconds / times["Hype"] for each, seconds in times.items() if each != "Hype"}
        rows.append(row | {"acceptance": round(acceptance["Hype"], 3)})
    report("draws per second of a fixed kernel", rows, ("blackjax", "numpyro"))


if __name__ == "__main__":
    on_one_core()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--draws", type=int, default=20000, help="of a block: a call takes a millisecond besides")
    main(**vars(parser.parse_args()))
