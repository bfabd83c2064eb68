"""Draws per second of a fixed kernel, and what 1,000 effective samples cost, against BlackJAX and NumPyro.

Fixed kernel: one chain of Hamiltonian Monte Carlo with the same step size, number of steps and diagonal mass, by this
package, by BlackJAX and by hand, blocks interleaved in one process; a row shows the ratio of the medians, and the
acceptance of each side, which must agree. Defaults: `sample`, BlackJAX's NUTS with window adaptation and NumPyro's
NUTS, 4 chains, 1,000 + 1,000 transitions each; seconds (warm-up in, compiling out) and gradients for 1,000 effective
samples of the worst coordinate. Float32 as is the default of all, on one core.

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
from hype_mcmc._diagnostics import bulk_ess, rank_rhat
from jax.flatten_util import ravel_pytree
from sklearn.datasets import load_breast_cancer

EFFECTS = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
DEVIATIONS = jnp.asarray(np.geomspace(1.0, 0.01, 100), jnp.float32)


def gaussian(x):
    return -0.5 * jnp.sum((x / DEVIATIONS) ** 2)


def logistic_regression():
    x, y = load_breast_cancer(return_X_y=True)
    x = jnp.asarray(np.column_stack([(x - x.mean(0)) / x.std(0), np.ones(len(x))]), jnp.float32)
    sign = jnp.asarray(2.0 * y - 1.0, jnp.float32)
    return lambda w: -jnp.sum(jax.nn.softplus(-sign * (x @ w))) - 0.5 * jnp.sum(w**2)


def eight_schools(x):
    mu, log_tau, effect = x[0], x[1], x[2:]
    tau = jnp.exp(log_tau)
    prior = -0.5 * (mu / 5) ** 2 - jnp.log1p((tau / 5) ** 2) + log_tau - 0.5 * jnp.sum(effect**2)
    return prior - 0.5 * jnp.sum(((EFFECTS - mu - tau * effect) / ERRORS) ** 2)


# Log density, dimensions, step size of the fixed kernel, variances for its mass.
TARGETS = {
    "gaussian, 100 dimensions": (gaussian, 100, 0.5, DEVIATIONS**2),
    "logistic regression": (logistic_regression(), 31, 0.03, jnp.ones(31)),
    "eight schools": (eight_schools, 10, 0.25, jnp.ones(10)),
}
STEPS = 8


def fixed_hype(f, x0, step_size, variance, draws):
    kernel = HMC(step_size, STEPS, DiagonalMass(1 / variance))

    def run(key):
        out = sample(f, x0[None], kernel, key=key, num_samples=draws, num_warmup=0, chained=True)
        return out.draws, jnp.mean(out.acceptance)

    return run


def fixed_blackjax(f, x0, step_size, variance, draws):
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


def fixed_by_hand(f, x0, step_size, variance, draws):
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


def default_hype(f, n, transitions):
    def run(key):
        out = sample(f, jnp.zeros(n), key=key, num_samples=transitions, num_warmup=transitions)
        return out.draws, int(jnp.sum(out.num_steps) + out.warmup_steps)

    return run


def nuts_blackjax(f, n, transitions):
    import blackjax

    adaptation = blackjax.window_adaptation(blackjax.nuts, f)

    @jax.jit
    @jax.vmap
    def chain(key):
        start_key, warm_key, key = jax.random.split(key, 3)
        x0 = jax.random.uniform(start_key, (n,), minval=-1.0, maxval=1.0)
        (state, settings), warm = adaptation.run(warm_key, x0, transitions)
        kernel = blackjax.nuts(f, **settings)

        def step(state, key):
            state, info = kernel.step(key, state)
            return state, (state.position, info.num_integration_steps)

        _, (positions, steps) = jax.lax.scan(step, state, jax.random.split(key, transitions))
        return positions, jnp.sum(steps) + jnp.sum(warm.info.num_integration_steps)

    def run(key):
        positions, steps = chain(jax.random.split(key, 4))
        return positions, int(jnp.sum(steps))

    return run


def nuts_numpyro(f, n, transitions):
    from numpyro.infer import MCMC, NUTS

    mcmc = MCMC(
        NUTS(potential_fn=lambda x: -f(x)),
        num_warmup=transitions,
        num_samples=transitions,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )

    def run(key):
        start_key, key = jax.random.split(key)
        x0 = jax.random.uniform(start_key, (4, n), minval=-1.0, maxval=1.0)
        mcmc.warmup(key, init_params=x0, extra_fields=("num_steps",), collect_warmup=True)
        warm = jnp.sum(mcmc.get_extra_fields()["num_steps"])
        mcmc.run(mcmc.post_warmup_state.rng_key, extra_fields=("num_steps",))
        return mcmc.get_samples(group_by_chain=True), int(warm + jnp.sum(mcmc.get_extra_fields()["num_steps"]))

    return run


def timed(run, key):
    start = time.perf_counter()
    out = jax.block_until_ready(run(key))
    return time.perf_counter() - start, out


def fixed_kernels(repeats, draws):
    makers = {"hype": fixed_hype, "blackjax": fixed_blackjax, "by hand": fixed_by_hand}
    order = np.random.default_rng(0)
    for name, (f, _, step_size, variance) in TARGETS.items():
        x0 = jnp.sqrt(variance) * 0.1 if name != "gaussian, 100 dimensions" else jnp.sqrt(variance)
        runs = {each: make(f, x0, step_size, variance, draws) for each, make in makers.items()}
        acceptance = {each: round(float(run(jax.random.key(0))[1]), 3) for each, run in runs.items()}
        times = {each: [] for each in runs}
        for i in range(repeats):
            for each in order.permutation(list(runs)):
                times[each].append(timed(runs[each], jax.random.key(i))[0])
        medians = {each: float(np.median(t)) for each, t in times.items()}
        row = {"fixed kernel": name, "draws per second": round(draws / medians["hype"]), "acceptance": acceptance}
        row |= {f"ratio to {each}": round(medians[each] / medians["hype"], 3) for each in ("blackjax", "by hand")}
        print(json.dumps(row), flush=True)


def defaults(repeats, transitions, names):
    makers = {"hype": default_hype, "blackjax": nuts_blackjax, "numpyro": nuts_numpyro}
    for name in names:
        f, n = TARGETS[name][:2]
        for each, make in makers.items():
            run = make(f, n, transitions)
            run(jax.random.key(0))  # compiles
            rows = []
            for i in range(repeats):
                seconds, (positions, gradients) = timed(run, jax.random.key(i + 1))
                positions = np.asarray(jax.vmap(jax.vmap(lambda x: ravel_pytree(x)[0]))(positions), np.float64)
                columns = [positions[:, :, j] for j in range(n)]
                ess, rhat = min(map(bulk_ess, columns)), max(map(rank_rhat, columns))
                rows.append((1000 * seconds / ess, 1000 * gradients / ess, rhat))
            seconds, gradients, rhat = np.median(rows, axis=0)
            row = {"to 1,000 effective samples": name, "by": each, "seconds": round(float(seconds), 3)}
            print(json.dumps(row | {"gradients": round(float(gradients)), "rhat": round(float(rhat), 3)}), flush=True)


def main(repeats, draws, transitions, only):
    if only != "defaults":
        fixed_kernels(repeats, draws)
    if only != "fixed":
        defaults(max(1, repeats // 5), transitions, TARGETS)


if __name__ == "__main__":
    # One core for all sides, before JAX starts its threads.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--draws", type=int, default=2000, help="of a block of the fixed kernel")
    parser.add_argument("--transitions", type=int, default=1000, help="of warm-up and of draws")
    parser.add_argument("--only", choices=("fixed", "defaults"))
    main(**vars(parser.parse_args()))
