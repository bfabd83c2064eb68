"""Empirical Bayes: what a hierarchical model's own parameters are, by the derivative of the log evidence.

Forty groups of two to six measurements; the groups' means are N(mu, tau^2), the noise is N(0, sigma^2). By Fisher's
identity the derivative of the log evidence in (mu, log tau, log sigma) is the mean over posterior draws of that of the
joint log density. It is the derivative of `log_evidence_ratio`, along which `minimize` climbs, drawing anew at each
step. The value of that is 0, a density beside itself; beside that of the step before it says how the evidence rose, and
its second derivative (Louis' identity) how far the answer can be trusted. Here all has closed forms to be held to.

    python examples/empirical_bayes.py
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import log_evidence_ratio, sample
from hype_optim import LBFGS, Adam, Params, minimize
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure

Data = tuple[Float[Array, " rows"], Int[Array, " rows"]]  # measurements, and the group of each
TRUTH = np.array([1.0, np.log(1.2), np.log(0.8)])
NAMES = ("mu", "log tau", "log sigma")


class Found(NamedTuple):
    """The path and the standard errors, by draws and in closed form."""

    path: Float[np.ndarray, "steps 3"]
    log_evidence: Float[np.ndarray, "2 steps"]  # beside that of the start
    best: Float[np.ndarray, "3"]
    errors: Float[np.ndarray, "2 3"]


def joint(data: Data, at: Float[Array, "3"], means: Float[Array, " groups"]) -> Float[Array, ""]:
    """With the constants that depend on `at`, as the evidence needs them."""
    (y, group), (mu, log_tau, log_sigma) = data, at
    of_means = -0.5 * jnp.sum(((means - mu) / jnp.exp(log_tau)) ** 2) - means.size * log_tau
    return of_means - 0.5 * jnp.sum(((y - means[group]) / jnp.exp(log_sigma)) ** 2) - y.size * log_sigma


def log_evidence(data: Data, groups: int, at: Float[Array, "3"]) -> Float[Array, ""]:
    """The closed form, with the same constants left out."""
    (y, group), (mu, log_tau, log_sigma) = data, at
    total = lambda x: jnp.zeros(groups).at[group].add(x)
    precision = jnp.exp(-2 * log_tau) + total(jnp.exp(-2 * log_sigma) * jnp.ones_like(y))
    pull = jnp.exp(-2 * log_sigma) * total(y - mu)
    quadratic = jnp.exp(-2 * log_sigma) * jnp.sum((y - mu) ** 2) - jnp.sum(pull**2 / precision)
    return -0.5 * (quadratic + jnp.sum(jnp.log(precision))) - groups * log_tau - y.size * log_sigma


@jax.enable_x64(True)
def main(groups: int = 40, steps: int = 80, num_samples: int = 250, out: str = "out/empirical_bayes.png") -> Found:
    """Climb, compare and draw."""
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(groups), random.integers(2, 7, groups))
    means = TRUTH[0] + np.exp(TRUTH[1]) * random.normal(size=groups)
    data = jnp.asarray(means[group] + np.exp(TRUTH[2]) * random.normal(size=len(group))), jnp.asarray(group)
    density = lambda at: jax.tree_util.Partial(joint, data, at)

    def draws(at: Float[Array, "3"], number: int = num_samples) -> Float[Array, "chains draws groups"]:
        settings = {"num_samples": number, "num_warmup": 200, "silent": True}
        return sample(density(at), jnp.full(groups, at[0]), key=jax.random.key(0), **settings).draws

    def objective(at: Float[Array, "3"]) -> Float[Array, ""]:
        return -log_evidence_ratio(draws(jax.lax.stop_gradient(at)), density(at))

    params = Params(steps, learning_rate=Adam(0.05), return_best=False, keep_w_history=True, silent=True)
    climbed = minimize(objective, jnp.array([0.0, -0.5, 0.5]), params)
    path = jnp.concatenate([climbed.w_history, climbed.w[None]])[: steps + 1]
    rise = lambda ends: log_evidence_ratio(draws(ends[0]), density(ends[1]), drawn_from=density(ends[0]))
    rises = jax.jit(lambda path: jax.lax.map(rise, jnp.stack([path[:-1], path[1:]], axis=1)))(path)
    exact = jax.jit(lambda at: log_evidence(data, groups, at))
    theirs = np.array([exact(at) for at in path])
    curves = np.stack([np.concatenate([[0], np.cumsum(rises)]), theirs - theirs[0]])

    minus = jax.tree_util.Partial(lambda data, at: -log_evidence(data, groups, at), data)
    best = minimize(minus, climbed.w, Params(50, method=LBFGS(), silent=True)).w
    last = draws(climbed.w, 20 * num_samples)
    curvatures = (
        jax.jit(jax.hessian(lambda at: log_evidence_ratio(last, density(at))))(climbed.w),
        jax.hessian(exact)(best),
    )
    errors = np.stack([np.sqrt(np.diagonal(np.linalg.inv(-curvature))) for curvature in curvatures])
    print(f"{'':10}{'true':>8}{'closed form':>20}{'by draws':>20}")
    for i, name in enumerate(NAMES):
        ours = f"{climbed.w[i]:.3f} +- {errors[0, i]:.3f}"
        print(f"{name:10}{TRUTH[i]:8.3f}{f'{best[i]:.3f} +- {errors[1, i]:.3f}':>20}{ours:>20}")
    print(f"The log evidence rose by {curves[0, -1]:.3f} by draws, and by {curves[1, -1]:.3f}.")
    left, right = (figure := Figure(figsize=(10, 4), layout="constrained")).subplots(1, 2)
    for i, name in enumerate(NAMES):
        left.plot(path[:, i], color=f"C{i}", label=name)
        left.axhline(float(best[i]), color=f"C{i}", linestyle="--", linewidth=1)
    left.set(title="by draws, and the closed form (dashed)", xlabel="step of Adam")
    right.plot(curves[1], color="tab:gray", linewidth=4, label="closed form")
    right.plot(curves[0], color="tab:red", label="by draws")
    right.set(title="log evidence beside that of the start", xlabel="step of Adam")
    left.legend()
    right.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    print(f"The picture is in {out}.")
    return Found(np.asarray(path), curves, np.asarray(best), errors)


if __name__ == "__main__":
    main()
