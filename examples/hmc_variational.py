"""Variational inference through unrolled Hamiltonian dynamics, where independent Gaussians are far too narrow.

The posterior is a logistic regression of 60 tumors on five measurements of size, which say nearly the same, so that the
slopes are strongly correlated. Mean-field variational inference, a Gaussian with a mean and a standard deviation for
each slope, finds the best bound of the evidence and understates each standard deviation. An `AnnealedHMC` carries such
Gaussians toward the posterior by K leapfrogs without rejections (Salimans et al. 2015; Geffner & Domke 2021), and its
bound is differentiable in all: Gaussian, step sizes, masses, bridges, persistence. With more leapfrogs the standard
deviations of its draws approach those of a long run of `sample`.

    python examples/hmc_variational.py
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import AnnealedHMC, DiagonalMass, elbo, sample
from hype_optim import Adam, Params, minimize
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer

SIZES = [0, 2, 3, 20, 22]  # radius, perimeter and area in the mean, and the worst radius and perimeter
Rows = tuple[Float[Array, "rows 5"], Float[Array, " rows"]]


def logdensity(rows: Rows, w: Float[Array, "5"]) -> Float[Array, ""]:
    """Slopes are N(0, 3^2) before the data."""
    return -jnp.sum(jax.nn.softplus(-rows[1] * (rows[0] @ w))) - 0.5 * jnp.sum((w / 3) ** 2)


def climb(bound: Any, w: Any, rounds: int) -> Any:
    """Rounds of ten steps up a bound, each round with draws of its own."""
    state, minus = None, lambda key, w: -bound(w, key)
    for each in range(rounds):
        objective = jax.tree_util.Partial(minus, jax.random.key(each))
        rate = 0.05 * 0.5 * (1 + np.cos(np.pi * each / rounds)) + 1e-3
        params = Params(10, learning_rate=Adam(rate), return_best=False, silent=True)
        outcome = minimize(objective, w, params, state=state)
        w, state = outcome.w, outcome.state
    return w


@jax.enable_x64(True)
def main(
    lengths: tuple[int, ...] = (2, 8, 32),
    rounds: int = 60,
    num_samples: int = 4000,
    out: str = "out/hmc_variational.png",
) -> dict[str, tuple[float, Float[np.ndarray, "draws 5"]]]:
    """Climb the bounds and draw; gives for each way the bound and draws."""
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    posterior = jax.tree_util.Partial(logdensity, (jnp.asarray(x[:60, SIZES]), jnp.asarray(2.0 * y[:60] - 1)))
    run = sample(posterior, jnp.zeros(5), key=jax.random.key(0), num_samples=num_samples, silent=True)
    found = {"sample": (np.nan, np.asarray(run.draws).reshape(-1, 5))}

    def gaussian(w: tuple[Array, Array], key: Array) -> Float[Array, "64 5"]:
        return w[0] + jnp.exp(w[1]) * jax.random.normal(key, (64, 5))

    def mean_field(w: tuple[Array, Array], key: Array) -> Float[Array, ""]:
        entropy = jnp.sum(w[1]) + 2.5 * jnp.log(2 * jnp.pi * jnp.e)
        return jnp.mean(jax.vmap(posterior)(gaussian(w, key))) + entropy

    w = climb(mean_field, (jnp.zeros(5), jnp.zeros(5)), rounds)
    keys = jax.random.split(jax.random.key(10**6), 256)
    bound = float(jnp.mean(jax.vmap(lambda key: mean_field(w, key))(keys)))
    found["mean field"] = bound, np.asarray(jax.vmap(lambda key: gaussian(w, key))(keys)).reshape(-1, 5)
    for length in lengths:
        start = AnnealedHMC(w[0], jnp.exp(w[1]), step_size=0.2, num_steps=length, mass=DiagonalMass(jnp.ones(5)))
        hmc = climb(lambda s, key: elbo(s, posterior, key=key, num_draws=64), start, rounds)
        keys = jax.random.split(jax.random.key(10**6), 16_384)
        draws, log_weights = jax.jit(jax.vmap(lambda key, hmc=hmc: hmc.draw(key, posterior)))(keys)
        found[f"{length} leapfrogs"] = float(jnp.mean(log_weights)), np.asarray(draws)

    right = found["sample"][1].std(axis=0)
    print(f"{'':14}{'lower bound':>12}   standard deviations of the slopes, of those of `sample`")
    for name, (bound, draws) in found.items():
        ratios = draws.std(axis=0) / right
        print(f"{name:14}{bound:12.3f}   {'  '.join(f'{r:.2f}' for r in ratios)}   in the mean {ratios.mean():.2f}")
    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, name in zip(panels, ("mean field", f"{lengths[-1]} leapfrogs"), strict=False):
        for source, color in (("sample", "tab:gray"), (name, "tab:blue")):
            axes.plot(*found[source][1][:1500, 3:].T, ".", markersize=2, color=color, label=source)
        axes.set(title=name, xlabel="slope of the worst radius", ylabel="slope of the worst perimeter")
        axes.legend(markerscale=4)
    for name, (_, draws) in found.items():
        panels[2].plot(draws.std(axis=0), "o-", label=name)
    panels[2].set(title="standard deviations of the slopes", xlabel="slope", ylim=(0, None))
    panels[2].legend(loc="lower center", ncols=2, fontsize="small")
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    print(f"The picture is in {out}.")
    return found


if __name__ == "__main__":
    main()
