"""One step of Hamiltonian Monte Carlo against BlackJAX's `hmc` and NumPyro's `HMC`.

Each side makes the same number of leapfrog steps of the same size with the same diagonal mass, for one chain and for
64 by `vmap`. All are compiled loops over the library's own kernel, in float32, on one core, in turns in one process.
Before a time is taken it is checked that a step costs each side the same number of gradients, that their acceptance
agrees to 1%, and that the means of positions and of their squares agree within Monte Carlo error. Chains are
independent and start alike, so that the error is known from their spread, wherever they are on their way.

    python benchmarks/peers_kernel.py            # needs the `bench` dependency group
"""

import argparse

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from _measure import medians, on_one_core, report
from hype_mcmc import HMC, DiagonalMass
from mcmc import SETTINGS, STEPS
from numpyro.infer import HMC as NumPyroHMC
from posteriors import POSTERIORS
from standard_problems import counted

CHAINS = (1, 64)


def by_hype(f, step_size, variance):
    """The start of a chain and a step of it, which gives the new state, its position and its acceptance."""
    kernel = HMC(step_size, STEPS, DiagonalMass(1 / variance))

    def step(key, state):
        state, info = kernel.step(key, state, f)
        return state, state.position, info.acceptance_rate

    return lambda key, x0: kernel.init(x0, f), step


def by_blackjax(f, step_size, variance):
    kernel = blackjax.hmc(f, step_size=step_size, inverse_mass_matrix=variance, num_integration_steps=STEPS)

    def step(key, state):
        state, info = kernel.step(key, state)
        return state, state.position, info.acceptance_rate

    return lambda key, x0: kernel.init(x0), step


def by_numpyro(f, step_size, variance):
    """Its state has the key."""
    kernel = NumPyroHMC(
        potential_fn=lambda x: -f(x),
        step_size=step_size,
        inverse_mass_matrix=variance,
        adapt_step_size=False,
        adapt_mass_matrix=False,
        num_steps=STEPS,
        trajectory_length=None,
    )

    def step(_, state):
        state = kernel.sample(state, (), {})
        return state, state.z, state.accept_prob

    return lambda key, x0: kernel.init(key, 0, x0), step


SIDES = {"Hype": by_hype, "BlackJAX": by_blackjax, "NumPyro": by_numpyro}


def chain(init, step, x0, chains, steps):
    """A compiled run: positions and acceptance of each step of each chain."""

    def one(key):
        def body(state, key):
            state, *out = step(key, state)
            return state, out

        start, key = jax.random.split(key)
        return jax.lax.scan(body, init(start, x0), jax.random.split(key, steps))[1]

    return jax.jit(one if chains == 1 else lambda key: jax.vmap(one)(jax.random.split(key, chains)))


def gradients_per_step(maker, f, settings, x0):
    """How often the log density is evaluated, with its gradient, for a step more."""
    counting, evaluations = counted(f)
    counts = []
    for steps in (10, 20):
        jax.block_until_ready(chain(*maker(counting, *settings), x0, 1, steps)(jax.random.key(0)))
        counts.append(evaluations())
    return (counts[1] - counts[0]) / 10


def check_same(draws):
    """Means of positions and squares within 5 standard errors, for each of some hundred numbers, by chains."""
    chains = {side: np.asarray(x, np.float64) for side, x in draws.items()}
    for power in (1, 2):
        means = {side: (x**power).mean(1) for side, x in chains.items()}
        for side, mean in means.items():
            apart = mean.mean(0) - means["Hype"].mean(0)
            error = np.sqrt((mean.var(0, ddof=1) + means["Hype"].var(0, ddof=1)) / len(mean))
            assert np.all(np.abs(apart) <= 5 * error), (side, power, np.max(np.abs(apart) / error))


def proved(f, settings, x0, steps):
    """Acceptance of each side and its gradients a step, after it was checked that they agree."""
    made = {side: maker(f, *settings) for side, maker in SIDES.items()}
    runs = {side: chain(*kernel, x0, 64, steps)(jax.random.key(i)) for i, (side, kernel) in enumerate(made.items())}
    check_same({side: positions for side, (positions, _) in runs.items()})
    acceptance = {side: float(jnp.mean(accepted)) for side, (_, accepted) in runs.items()}
    assert max(acceptance.values()) - min(acceptance.values()) <= 0.01, acceptance
    gradients = {side: gradients_per_step(maker, f, settings, x0) for side, maker in SIDES.items()}
    assert set(gradients.values()) == {float(STEPS)}, gradients
    return "/".join(f"{rate:.3f}" for rate in acceptance.values())


def main(repeats=15, steps=400, posteriors=("Gaussian, condition 1e4", "logistic regression")):
    rows = []
    for name in posteriors:
        step_size, variance, x0 = SETTINGS[name]
        f, settings = POSTERIORS[name]().logdensity, (step_size, variance)
        acceptance = proved(f, settings, x0, steps)
        for chains in CHAINS:
            timed = steps * (10 if chains == 1 else 1)
            runs = {side: chain(*maker(f, *settings), x0, chains, timed) for side, maker in SIDES.items()}
            programs = {
                side: lambda run=run: jax.block_until_ready(run(jax.random.key(0))) for side, run in runs.items()
            }
            times = {side: 1e6 * seconds / timed for side, seconds in medians(programs, repeats).items()}
            row = {"microseconds a step": name, "chains": chains, **times}
            row |= {"ratio to the best peer": times["Hype"] / min(times["BlackJAX"], times["NumPyro"])}
            rows.append(row | {"acceptance": acceptance, "gradients": STEPS})
            print(rows[-1], flush=True)
    report("a step of HMC against its peers", rows, ("hype-mcmc", "blackjax", "numpyro"))


if __name__ == "__main__":
    on_one_core()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--steps", type=int, default=400, help="of 64 chains; one chain makes ten times as many")
    parser.add_argument("--posteriors", nargs="*", choices=SETTINGS, default=list(SETTINGS)[:2])
    main(**vars(parser.parse_args()))
