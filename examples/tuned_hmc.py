"""Step size and mass of Hamiltonian Monte Carlo, found by gradient ascent on how far the sampler jumps.

The target is a Gaussian whose standard deviations span a factor of 100, and the start is bad: a unit mass and a step
so small that trajectories go nowhere in most directions. Trajectories are differentiable, so `minimize` climbs the
expected squared jump, weighted by acceptance, in the step size and all entries of a diagonal mass at once. It goes in
rounds: the chains move, their draws are what trajectories are judged from and what says how large a jump is in which
direction, then Adam makes some steps. Nothing that is known of the target is used, apart from its log density.

What counts is the effective samples of the worst coordinate, of its mean or of its square, for 1,000 gradients:
a kernel that throws every draw to the opposite side would be good for means and worthless for variances.

    python examples/tuned_hmc.py
"""

import argparse
from functools import partial
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import HMC, AbstractKernel, DiagonalMass, DynamicHMC, FixedSteps, Samples, expected_squared_jump, sample
from hype_optim import AbstractRange, Adam, Params, minimize, positive
from jaxtyping import Array, Float, PRNGKeyArray


class Settings(eqx.Module):
    """What is tuned: positive numbers, moved by their logarithms."""

    step_size: AbstractRange
    mass: AbstractRange

    def kernel(self, num_steps: int) -> HMC:
        """The kernel with these settings. Jitter, since a fixed length is resonant with some Gaussian."""
        return HMC(self.step_size.value, FixedSteps(num_steps, jitter=0.5), DiagonalMass(self.mass.value))


class Gaussian(eqx.Module):
    """The target."""

    deviations: Float[Array, " n"]

    def __call__(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        """The log density."""
        return -0.5 * jnp.sum((x / self.deviations) ** 2)


class Tuned(NamedTuple):
    """What was found: kernels and their effective samples for 1,000 gradients, by name."""

    kernels: dict[str, AbstractKernel]
    efficiency: dict[str, float]
    jumps: Float[np.ndarray, " steps"]
    deviations: Float[Array, " n"]


class Shortfall(eqx.Module):
    """Minus the squared jump for each coordinate, as a function of the settings."""

    logdensity: Gaussian
    positions: Float[Array, "chains n"]
    scale: Float[Array, " n"]
    key: PRNGKeyArray
    num_steps: int = eqx.field(static=True)

    def __call__(self, settings: Settings) -> Float[Array, ""]:
        """A smooth function: the key is always the same."""
        kernel = settings.kernel(self.num_steps)
        jump = expected_squared_jump(kernel, self.logdensity, self.positions, key=self.key, scale=self.scale)
        return -jump / self.scale.size


quiet_sample = partial(sample, chained=True, silent=True)  # what is printed is the comparison


def worst_ess(run: Samples) -> float:
    """The smallest effective sample size of a coordinate or of its square."""
    squares = eqx.tree_at(lambda run: run.draws, run, run.draws**2)
    return float(min(np.min(run.ess()), np.min(squares.ess())))


def per_thousand(run: Samples) -> float:
    """Effective samples for 1,000 gradients of the draws."""
    return 1000 * worst_ess(run) / float(jnp.sum(run.num_steps))


def tune(
    target: Gaussian, start: Settings, num_steps: int, rounds: int, steps: int, moves: int, chains: int
) -> tuple[Settings, np.ndarray]:
    """Rounds of moving the chains and climbing the jump."""
    key = jax.random.key(0)
    positions = jax.random.uniform(key, (chains, target.deviations.size), minval=-1.0, maxval=1.0)
    settings, jumps = start, []
    params = Params(steps, learning_rate=Adam(0.1), return_best=False, silent=True)
    for _ in range(rounds):
        key, move_key, jump_key = jax.random.split(key, 3)
        kernel = settings.kernel(num_steps)
        pilot = quiet_sample(target, positions, kernel, key=move_key, num_samples=moves, num_warmup=0)
        positions = pilot.draws[:, -1]
        scale = jnp.std(pilot.draws[:, moves // 2 :], axis=(0, 1))
        outcome = minimize(Shortfall(target, positions, scale, jump_key, num_steps), settings, params)
        settings = outcome.w
        jumps.append(-np.asarray(outcome.loss_history))
    return settings, np.concatenate(jumps)


def solve(size: int, num_steps: int, rounds: int, steps: int, draws: int) -> Tuned:
    """Tune, and compare with the start and with warm-up."""
    target = Gaussian(jnp.asarray(np.geomspace(1.0, 0.01, size)))
    bad = Settings(positive(0.002), positive(jnp.ones(size)))
    tuned, jumps = tune(target, bad, num_steps, rounds, steps, moves=20, chains=64)

    def run(kernel: HMC, warmup: int) -> Samples:
        # The first run has no warm-up of its own, so it starts from where the density is.
        x0 = target.deviations * jax.random.normal(jax.random.key(1), (4, size))
        return quiet_sample(target, x0, kernel, key=jax.random.key(2), num_warmup=warmup, num_samples=draws)

    same = bad.kernel(num_steps)
    runs = {
        "the bad start": run(same, 0),
        "climbed by minimize": run(tuned.kernel(num_steps), 0),
        "warm-up, same kind of kernel": run(same, 500),
        "warm-up, default kernel": run(DynamicHMC(1.0, 1.0, DiagonalMass(jnp.ones(size))), 500),
    }
    efficiency = {name: per_thousand(each) for name, each in runs.items()}
    print(f"A Gaussian of {size} dimensions with standard deviations from 1 to 0.01; 4 chains of {draws} draws.")
    print(f"{'':30}{'effective samples':>18}{'acceptance':>12}")
    print(f"{'':30}{'per 1,000 gradients':>18}")
    for name, each in runs.items():
        print(f"{name:30}{efficiency[name]:18.2f}{float(jnp.mean(each.acceptance)):12.3f}")
    before, after = efficiency["the bad start"], efficiency["climbed by minimize"]
    print(f"Climbing the jump made each gradient worth {after / before:,.0f} times as much,")
    print(f"{after / efficiency['warm-up, default kernel']:.2f} times what it is worth after the default warm-up.")
    climbed = 64 * num_steps * rounds * (20 + 2 * steps)
    warmed = int(runs["warm-up, default kernel"].warmup_steps)
    print(f"To get there it took about {climbed:,} gradients or products with a Hessian; warm-up took {warmed:,}.")
    return Tuned({name: each.kernel for name, each in runs.items()}, efficiency, jumps, target.deviations)


def draw(result: Tuned, out: Path) -> None:
    """Draw how far a step goes in each direction, the progress, and the efficiencies."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    colors = dict(zip(result.kernels, ("tab:gray", "tab:red", "tab:blue", "tab:green"), strict=True))
    for name, kernel in result.kernels.items():
        assert isinstance(kernel, HMC)
        assert isinstance(kernel.mass, DiagonalMass)
        turn = kernel.step_size / (result.deviations * jnp.sqrt(kernel.mass.diagonal))
        left.plot(result.deviations, turn, ".-", label=name, color=colors[name])
    left.set(title="how far a step turns a direction", xlabel="standard deviation", ylabel="radians")
    left.set(xscale="log", yscale="log")
    left.legend(fontsize="small")
    middle.plot(result.jumps, color=colors["climbed by minimize"])
    middle.set(
        title="climbing",
        xlabel="step of Adam (new draws every round)",
        ylabel="expected squared jump,\nin variances of a coordinate",
    )
    right.barh(list(result.efficiency), list(result.efficiency.values()), color=list(colors.values()))
    right.invert_yaxis()
    right.set(title="effective samples", xlabel="of the worst coordinate, per 1,000 gradients", xscale="log")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Tuned:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20, help="dimensions of the Gaussian")
    parser.add_argument("--num-steps", type=int, default=4, help="leapfrog steps of a trajectory")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of moving and climbing")
    parser.add_argument("--steps", type=int, default=20, help="steps of Adam in a round")
    parser.add_argument("--draws", type=int, default=1000, help="draws of each chain to judge a kernel by")
    parser.add_argument("--out", type=Path, default=Path("out/tuned_hmc.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    with jax.enable_x64(True):
        result = solve(options.size, options.num_steps, options.rounds, options.steps, options.draws)
        draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
