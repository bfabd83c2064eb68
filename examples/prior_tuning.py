"""Scales of priors, tuned by the derivative of the held-out log predictive density.

A Bayesian logistic regression of 40 tumors on 20 measurements, of which ten are means over the cells of a tumor and ten
are errors of these means. Each group of slopes has a normal prior with a scale of its own. How well the posterior
predicts 200 other tumors is the mean of the log of the mean likelihood over draws, and both means have derivatives in
the scales: the draws are made of the posterior with its gradient stopped, and `expectation` weighs them. `tune` draws
anew at every step. A grid of long runs says where the best scales are.

    python examples/prior_tuning.py
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import expectation, sample
from hype_optim import Tuned, positive, tune
from jaxtyping import Array, Float, PRNGKeyArray
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer

Rows = tuple[
    Float[Array, "rows 21"], Float[Array, " rows"]
]  # measurements with a one before them, and signs of classes


class Found(NamedTuple):
    """What came out: the losses on the grid, and those on tumors that nothing was tuned with."""

    tuned: Tuned
    sides: Float[np.ndarray, " grid"]
    losses: Float[np.ndarray, "grid grid"]
    test_losses: dict[str, float]


def logdensity(rows: Rows, scales: Float[Array, "2"], w: Float[Array, "21"]) -> Float[Array, ""]:
    """Standardized slopes of both groups, and the intercept with a scale of 5."""
    z = w / jnp.concatenate([jnp.array([5.0]), jnp.repeat(scales, 10)])
    normalized = -0.5 * jnp.sum(z**2) - 10 * jnp.sum(jnp.log(scales))
    return normalized - jnp.sum(jax.nn.softplus(-rows[1] * (rows[0] @ w)))


def loss(rows: Rows, others: Rows, num_samples: int, scales: Float[Array, "2"], key: PRNGKeyArray) -> Float[Array, ""]:
    """Minus the log predictive density of an example among the others."""
    posterior = jax.tree_util.Partial(logdensity, rows, scales)
    constant = jax.lax.stop_gradient(posterior)
    run = sample(constant, jnp.zeros(21), key=key, num_samples=num_samples, num_warmup=300, silent=True)
    likelihoods = expectation(lambda w: jax.nn.sigmoid(others[1] * (others[0] @ w)), run.draws, posterior)
    return -jnp.mean(jnp.log(likelihoods))


def load(numbers: tuple[int, ...]) -> list[Rows]:
    """Disjoint sets of tumors, standardized."""
    x, y = load_breast_cancer(return_X_y=True)
    x = np.insert((x[:, :20] - x[:, :20].mean(axis=0)) / x[:, :20].std(axis=0), 0, 1.0, axis=1)
    parts = np.split(np.random.default_rng(0).permutation(len(x)), np.cumsum(numbers))[:-1]
    return [(jnp.asarray(x[part]), jnp.asarray(2.0 * y[part] - 1)) for part in parts]


@jax.enable_x64(True)
def main(steps: int = 30, num_samples: int = 250, grid: int = 9, out: str = "out/prior_tuning.png") -> Found:
    """Tune from scales of 5, look at the grid, and draw."""
    rows, valid, test = load((40, 200, 300))
    objective = jax.tree_util.Partial(lambda rows, valid, s, key: loss(rows, valid, num_samples, s, key), rows, valid)
    tuned = tune(objective, positive(jnp.full(2, 5.0)), steps=steps, key=jax.random.key(0), silent=True)
    sides = np.geomspace(0.05, 12.8, grid)
    long = jax.jit(lambda others, scales: loss(rows, others, 4 * num_samples, scales, jax.random.key(1)))
    losses = np.array([[float(long(valid, jnp.array([a, b]))) for b in sides] for a in sides])
    best = np.unravel_index(np.argmin(losses), losses.shape)
    points = {"start": jnp.full(2, 5.0), "tune": tuned.values, "grid": jnp.asarray(sides[list(best)])}
    test_losses = {name: float(long(test, scales)) for name, scales in points.items()}
    for name, scales in points.items():
        losses_there = f"held-out {float(long(valid, scales)):.4f}, test {test_losses[name]:.4f}"
        print(f"{name:6} scales {scales[0]:5.2f} and {scales[1]:5.2f}: {losses_there}")
    print(
        f"That is {tuned.trainings:.0f} runs of the sampler for the tuning, and {losses.size} longer ones for the grid."
    )
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    levels = [0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    filled = axes.contourf(
        sides, sides, (losses - losses.min()).T, levels=levels, norm=BoundaryNorm(levels, 256), cmap="Blues"
    )
    figure.colorbar(filled, ax=axes, label="held-out log predictive density lost", ticks=levels)
    axes.loglog(*points["start"], "ko", label="start")
    axes.loglog(*tuned.values, "r*", markersize=14, label="tune")
    axes.loglog(*points["grid"], "kx", label="best of the grid")
    axes.set(xlabel="prior scale of the slopes of means", ylabel="prior scale of the slopes of errors")
    axes.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    print(f"The picture is in {out}.")
    return Found(tuned, sides, losses, test_losses)


if __name__ == "__main__":
    main()
