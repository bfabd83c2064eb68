"""`LowRankMass` beside BlackJAX's newest samplers on correlated posteriors of 100 dimensions, and one of 1,000.

MCLMC, adjusted MCLMC and NUTS after pathfinder with 4 chains, MEADS and ChEES with 32, as they learn from many; all
tuned by BlackJAX's own adaptation, in its settings. In float64. A row has the gradients for 1,000 effective samples of
the worst coordinate or its square, of the draws alone and with those of the tuning; the largest R-hat; and the largest
difference of a mean square from the truth (of a Gaussian) or from a run of ours, in standard errors of both, which
tells of bias. A step of MCLMC's integrator has two gradients.

    python benchmarks/newest.py            # needs the `bench` dependency group
"""

import argparse
import json
import os

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from hype_mcmc._diagnostics import bulk_ess, mean_ess, rank_rhat
from masses import OURS, TARGETS, ours
from nuts import CHAINS, TRANSITIONS, start

STEPS, THIN = 20_000, 10  # of MCLMC, each chain
MANY, OF_MANY = 32, 500  # chains, and transitions of each
NAMES = (
    "spiked Gaussian, 100",
    "rotated Gaussian, 100",
    "autoregression, 100",
    "regression on factors, 100",
    "item response, 100",
    "spiked Gaussian, 1000",
)


def variances(name, n):
    """Those that are known."""
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    if name.startswith("spiked"):
        return (axes * np.r_[np.geomspace(30, 5, 5), np.ones(n - 10), np.geomspace(0.2, 0.05, 5)]) ** 2 @ np.ones(n)
    if name.startswith("rotated"):
        return (axes * np.geomspace(1.0, 1000**-0.5, n)) ** 2 @ np.ones(n)
    return np.ones(n) if name.startswith("autoregression") else None


def keys_of(seed, number):
    return jax.random.split(jax.random.key(seed), number)


def begin(key, n):
    return start(key, n).astype(float)


def mclmc(f, n, seed):
    kernel = blackjax.mclmc.build_kernel()

    @jax.jit
    @jax.vmap
    def chain(key):
        start_key, init_key, tune_key, key = jax.random.split(key, 4)
        state = blackjax.mclmc.init(begin(start_key, n), f, init_key)
        state, tuned, steps = blackjax.mclmc_find_L_and_step_size(kernel, STEPS, state, tune_key, logdensity_fn=f)

        def step(state, key):
            return kernel(key, state, f, tuned.inverse_mass_matrix, tuned.L, tuned.step_size)[0], None

        def some(state, keys):
            state, _ = jax.lax.scan(step, state, keys)
            return state, state.position

        _, positions = jax.lax.scan(some, state, jax.random.split(key, (STEPS // THIN, THIN)))
        return positions, jnp.asarray(steps)

    positions, steps = chain(keys_of(seed, CHAINS))
    return positions, 2 * CHAINS * STEPS, 2 * int(np.sum(steps))


def adjusted_mclmc(f, n, seed):
    lengths = blackjax.mcmc.adjusted_mclmc_dynamic.make_random_trajectory_length_fn(True)
    kernel = blackjax.adjusted_mclmc_dynamic.build_kernel(integration_steps_fn=lengths)

    @jax.jit
    @jax.vmap
    def chain(key):
        start_key, init_key, tune_key, key = jax.random.split(key, 4)
        state = blackjax.adjusted_mclmc_dynamic.init(begin(start_key, n), f, init_key)
        state, tuned, steps = blackjax.adjusted_mclmc_find_L_and_step_size(
            kernel, f, 5 * TRANSITIONS, state, tune_key, target=0.9
        )
        mean = (tuned.L / tuned.step_size,)

        def step(state, key):
            state, info = kernel(key, state, f, tuned.step_size, jnp.inf, tuned.inverse_mass_matrix, mean)
            return state, (state.position, info.num_integration_steps)

        _, (positions, made) = jax.lax.scan(step, state, jax.random.split(key, TRANSITIONS))
        return positions, made, jnp.asarray(steps)

    positions, made, steps = chain(keys_of(seed, CHAINS))
    return positions, 2 * int(made.sum()), 2 * int(np.sum(steps))


def after_pathfinder(f, n, seed):
    adaptation = blackjax.pathfinder_adaptation(blackjax.nuts, f)

    @jax.jit
    @jax.vmap
    def chain(key):
        start_key, tune_key, key = jax.random.split(key, 3)
        (state, settings), info = adaptation.run(tune_key, begin(start_key, n), TRANSITIONS)
        kernel = blackjax.nuts(f, **settings)

        def step(state, key):
            state, info = kernel.step(key, state)
            return state, (state.position, info.num_integration_steps)

        _, (positions, made) = jax.lax.scan(step, state, jax.random.split(key, TRANSITIONS))
        return positions, made, info.info.num_integration_steps

    positions, made, tuning = chain(keys_of(seed, CHAINS))
    return positions, int(made.sum()), int(tuning.sum())  # but for those of the optimizer, which are few


def meads(f, n, seed):
    @jax.jit
    def run(key):
        start_key, tune_key, key = jax.random.split(key, 3)
        first = jax.vmap(lambda key: begin(key, n))(jax.random.split(start_key, MANY))
        (states, settings), _ = blackjax.meads_adaptation(f, MANY).run(tune_key, first, 4 * OF_MANY)
        kernel = blackjax.ghmc(f, **settings)

        def step(states, key):
            states, _ = jax.vmap(kernel.step)(jax.random.split(key, MANY), states)
            return states, states.position

        def some(states, keys):
            states, _ = jax.lax.scan(step, states, keys)
            return states, states.position

        _, positions = jax.lax.scan(some, states, jax.random.split(key, (OF_MANY, THIN)))
        return jnp.moveaxis(positions, 0, 1)

    return run(jax.random.key(seed)), MANY * OF_MANY * THIN, MANY * 4 * OF_MANY


def chees(mass):
    def side(f, n, seed):
        @jax.jit
        def run(key):
            start_key, tune_key, key = jax.random.split(key, 3)
            first = jax.vmap(lambda key: begin(key, n))(jax.random.split(start_key, MANY))
            adaptation = blackjax.chees_adaptation(f, MANY, mass_matrix_estimation=mass)
            (states, settings), info = adaptation.run(tune_key, first, 0.1, optax.adam(0.02), OF_MANY)
            kernel = blackjax.dynamic_hmc(f, **settings)

            def step(states, key):
                states, info = jax.vmap(kernel.step)(jax.random.split(key, MANY), states)
                return states, (states.position, info.num_integration_steps)

            _, (positions, made) = jax.lax.scan(step, states, jax.random.split(key, OF_MANY))
            return jnp.moveaxis(positions, 0, 1), made, info.info.num_integration_steps

        positions, made, tuning = run(jax.random.key(seed))
        return positions, int(made.sum()), int(tuning.sum())

    return side


SIDES = {
    **{name: ours(mass) for name, mass in OURS.items()},
    "MCLMC": mclmc,
    "adjusted MCLMC": adjusted_mclmc,
    "NUTS after pathfinder": after_pathfinder,
    "MEADS": meads,
    "ChEES": chees(None),
    "ChEES, diagonal": chees("diagonal"),
}


def squares(positions):
    """Means of the squares of coordinates, and their standard errors."""
    columns = np.moveaxis(np.asarray(positions, np.float64), 2, 0) ** 2
    return columns.mean(axis=(1, 2)), columns.std(axis=(1, 2)) / np.sqrt(mean_ess(columns))


def measure(name, seed, sides):
    f, n = TARGETS[name]()
    truth = variances(name, n)
    reference = None if truth is None else (truth, 0.0)
    for side in sides:
        positions, steps, tuning = SIDES[side](f, n, seed)
        columns = np.moveaxis(np.asarray(positions, np.float64), 2, 0)
        ess = float(min(np.min(bulk_ess(columns)), np.min(bulk_ess(columns**2))))
        mean, error = squares(positions)
        reference = (mean, error) if reference is None else reference
        row = {
            "posterior": name,
            "by": side,
            "gradients": round(1000 * steps / ess),
            "with tuning": round(1000 * (steps + tuning) / ess),
            "rhat": round(float(np.max(rank_rhat(columns))), 3),
            "error": round(float(np.max(np.abs(mean - reference[0]) / np.hypot(error, reference[1]))), 1),
        }
        print(json.dumps(row), flush=True)


def main(seed, only, sides):
    jax.config.update("jax_enable_x64", True)
    for name in only or NAMES:
        measure(name, seed, sides or SIDES)


if __name__ == "__main__":
    # One core for all sides, before JAX starts its threads.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=NAMES, help="some of the posteriors")
    parser.add_argument("--sides", nargs="*", choices=SIDES, help="some of the samplers")
    main(**vars(parser.parse_args()))
