"""An annealed sampler that learns its settings by the evidence lower bound, and how near it comes to the evidence.

The posterior is that of a logistic regression of twelve tumors on one measurement: slope and intercept, a wide prior, a
bent and skewed density. Two parameters, so that the log evidence is known by quadrature. The sampler is Hamiltonian
annealed importance sampling: draws from a Gaussian are carried to the posterior by K leapfrogs without rejections.
`minimize` raises the bound in everything at once: mean and scale of the Gaussian, a step size for each leapfrog, a full
mass matrix, the schedule of the bridges and the persistence of the momentum. The more leapfrogs, the smaller the gap.

The bounds that are printed are of new draws, not of those that the sampler learned with.

    python examples/elbo_sampler.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import AnnealedHMC, DenseMass, elbo
from hype_optim import Adam, Params, minimize
from jaxtyping import Array, Float, PRNGKeyArray
from sklearn.datasets import load_breast_cancer


class Posterior(eqx.Module):
    """A logistic regression with one feature; slope and intercept are N(0, 5^2) before the data."""

    x: Float[Array, " rows"]
    sign: Float[Array, " rows"]

    def __call__(self, w: Float[Array, "2"]) -> Float[Array, ""]:
        """The log of likelihood times prior, with all its constants: its integral is the evidence."""
        prior = jnp.sum(-0.5 * (w / 5) ** 2 - jnp.log(5 * jnp.sqrt(2 * jnp.pi)))
        return prior - jnp.sum(jax.nn.softplus(-self.sign * (w[0] * self.x + w[1])))


class Bound(eqx.Module):
    """Minus the evidence lower bound, as a function of the sampler."""

    posterior: Posterior
    key: PRNGKeyArray
    num_draws: int = eqx.field(static=True)

    def __call__(self, sampler: AnnealedHMC) -> Float[Array, ""]:
        """A smooth function: the key is always the same."""
        return -elbo(sampler, self.posterior, key=self.key, num_draws=self.num_draws)


class Learned(NamedTuple):
    """What came out, by the number of leapfrogs K."""

    samplers: dict[int, tuple[AnnealedHMC, AnnealedHMC]]  # before and after
    bounds: dict[int, tuple[float, float]]  # of new draws
    histories: dict[int, Float[np.ndarray, " steps"]]
    log_evidence: float
    grid: tuple[np.ndarray, np.ndarray, np.ndarray]


def load(rows: int) -> Posterior:
    """The mean radius of some tumors, standardized, and whether they are benign."""
    x, y = load_breast_cancer(return_X_y=True)
    x = (x[:, 0] - x[:, 0].mean()) / x[:, 0].std()
    chosen = np.random.default_rng(0).permutation(len(x))[:rows]
    return Posterior(jnp.asarray(x[chosen]), jnp.asarray(2.0 * y[chosen] - 1.0))


def quadrature(posterior: Posterior) -> tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The log evidence, by sums on a grid that holds all of the posterior; a smooth function, so they are exact."""
    slope, intercept = np.meshgrid(np.linspace(-35, 20, 701), np.linspace(-20, 20, 601), indexing="ij")
    points = jnp.stack([slope.ravel(), intercept.ravel()], axis=1)
    values = np.asarray(jax.jit(jax.vmap(posterior))(points)).reshape(slope.shape)
    cell = (slope[1, 0] - slope[0, 0]) * (intercept[0, 1] - intercept[0, 0])
    peak = values.max()
    return float(peak + np.log(np.sum(np.exp(values - peak)) * cell)), (slope, intercept, np.exp(values - peak))


@eqx.filter_jit
def draws(
    sampler: AnnealedHMC, posterior: Posterior, key: PRNGKeyArray, number: int
) -> tuple[Float[Array, "number 2"], Float[Array, " number"]]:
    """Positions and log weights."""
    return jax.vmap(lambda key: sampler.draw(key, posterior))(jax.random.split(key, number))


def learn(
    posterior: Posterior, sampler: AnnealedHMC, rounds: int, num_draws: int
) -> tuple[AnnealedHMC, Float[np.ndarray, " steps"]]:
    """Rounds of ten steps with the same draws; with new draws in each round there is nothing to learn by heart."""
    history, state = [], None
    for each in range(rounds):
        # Smaller steps toward the end, where the noise of the draws is what is left.
        rate = Adam(0.05 if each < rounds // 2 else 0.01)
        params = Params(10, learning_rate=rate, return_best=False, silent=True)
        outcome = minimize(Bound(posterior, jax.random.key(each), num_draws), sampler, params, state=state)
        sampler, state = outcome.w, outcome.state
        history.append(-np.asarray(outcome.loss_history)[-10:])
    return sampler, np.concatenate(history)


def solve(rows: int, lengths: list[int], rounds: int, num_draws: int) -> Learned:
    """Learn a sampler of each length, and compare its bound with the evidence."""
    posterior = load(rows)
    log_evidence, grid = quadrature(posterior)
    print(f"Logistic regression of {rows} tumors; log evidence {log_evidence:.4f} by quadrature.")
    print(f"{'':12}{'lower bound':>24}{'log of the mean weight':>28}")
    print(f"{'leapfrogs':12}{'before':>12}{'after':>12}{'before':>14}{'after':>14}")
    result = Learned({}, {}, {}, log_evidence, grid)
    for length in lengths:
        start = AnnealedHMC(jnp.zeros(2), 1.0, step_size=0.1, num_steps=length, mass=DenseMass(jnp.eye(2)))
        learned, history = learn(posterior, start, rounds, num_draws)
        weights = [np.asarray(draws(each, posterior, jax.random.key(10**6), 4096)[1]) for each in (start, learned)]
        bounds = tuple(float(np.mean(w)) for w in weights)
        estimates = tuple(float(np.logaddexp.reduce(w) - np.log(len(w))) for w in weights)
        print(f"{length:<12}{bounds[0]:12.4f}{bounds[1]:12.4f}{estimates[0]:14.4f}{estimates[1]:14.4f}")
        result.samplers[length] = start, learned
        result.bounds[length] = bounds[0], bounds[1]
        result.histories[length] = history
    longest = lengths[-1]
    before, after = (log_evidence - bound for bound in result.bounds[longest])
    print(f"With {longest} leapfrogs, learning brought the bound from {before:.3f} to {after:.3f} below the evidence.")
    return result


def draw(result: Learned, posterior: Posterior, out: Path) -> None:
    """Draw where the draws go before and after, the progress, and the gaps."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    longest = max(result.samplers)
    for axes, sampler, name in zip((left, middle), result.samplers[longest], ("before", "after"), strict=True):
        points = np.asarray(draws(sampler, posterior, jax.random.key(10**6), 400)[0])
        axes.plot(*points.T, ".", color="tab:blue", markersize=3)
        axes.contour(*result.grid, levels=[0.01, 0.1, 0.5], colors="black", linewidths=0.8)
        axes.set(title=f"draws {name} learning, {longest} leapfrogs", xlabel="slope", ylabel="intercept")
        axes.set(xlim=(-9, 3), ylim=(-4, 6))
    for length, history in result.histories.items():
        smooth = history.reshape(-1, 10).mean(axis=1)  # each round has draws of its own
        right.plot(10 * np.arange(len(smooth)) + 5, smooth, label=f"{length} leapfrog{'s' if length > 1 else ''}")
    right.axhline(result.log_evidence, color="black", linestyle="--", linewidth=1, label="log evidence")
    right.set(title="lower bound", xlabel="step of Adam", ylabel="nats")
    right.set(ylim=(result.log_evidence - 0.6, result.log_evidence + 0.1))
    right.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Learned:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=12, help="tumors")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1, 4, 16], help="numbers of leapfrogs to try")
    parser.add_argument("--rounds", type=int, default=60, help="rounds of ten steps of Adam, each with new draws")
    parser.add_argument("--draws", type=int, default=128, help="draws to learn from")
    parser.add_argument("--out", type=Path, default=Path("out/elbo_sampler.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    with jax.enable_x64(True):
        result = solve(options.rows, options.lengths, options.rounds, options.draws)
        draw(result, load(options.rows), options.out)
    return result


if __name__ == "__main__":
    main()
