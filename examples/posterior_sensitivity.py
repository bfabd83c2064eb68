"""What a posterior mean owes to each datum and to the prior, from one run of a sampler.

Eight schools (Rubin 1981): the effect of coaching in each of eight schools, partially pooled. The `expectation` of the
draws has as its derivative the covariance of the effects with the score (Gustafson 1996; Giordano, Broderick & Jordan
2018), in all data, their standard errors and the scales of both priors at once; `mcse` says how exact each number is.
The other way is to run again, with each of them a little larger and smaller and the same random numbers. What both
should give is known here: given the spread between schools all is Gaussian, and over the spread one takes a sum.

    python examples/posterior_sensitivity.py
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import expectation, mcse, sample
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from matplotlib.figure import Figure


class Settings(NamedTuple):
    """The data with their standard errors, and the scales of the priors of the mean effect and of the spread."""

    y: Float[Array, " schools"]
    error: Float[Array, " schools"]
    mean_scale: Float[Array, ""]
    spread_scale: Float[Array, ""]


def effects(x: dict[str, Array]) -> Float[Array, " schools"]:
    return x["mean"] + jnp.exp(x["log_spread"]) * x["z"]


def logdensity(at: Settings, x: dict[str, Array]) -> Float[Array, ""]:
    """Non-centered: a normal prior of the mean and a half Cauchy one of the spread."""
    spread = -jnp.log1p((jnp.exp(x["log_spread"]) / at.spread_scale) ** 2) + x["log_spread"]
    normal = (x["mean"] / at.mean_scale) ** 2 + jnp.sum(x["z"] ** 2) + jnp.sum(((at.y - effects(x)) / at.error) ** 2)
    return spread - 0.5 * normal


def by_quadrature(at: Settings) -> Float[Array, " schools"]:
    """The posterior means of the effects: exact given the spread, and summed over that."""
    log_spread = jnp.linspace(-12.0, 8.0, 2001)[:, None]
    square = jnp.exp(2 * log_spread)
    variance = square + at.error**2
    precision = at.mean_scale**-2.0 + jnp.sum(1 / variance, axis=1)
    mean = jnp.sum(at.y / variance, axis=1) / precision
    evidence = mean**2 * precision - jnp.log(precision) - jnp.sum(at.y**2 / variance + jnp.log(variance), axis=1)
    weights = jax.nn.softmax(0.5 * evidence + log_spread[:, 0] - jnp.log1p(square[:, 0] / at.spread_scale**2))
    return weights @ ((square * at.y + at.error**2 * mean[:, None]) / variance)


def as_matrix(jacobian: Settings) -> Float[np.ndarray, "schools settings"]:
    return np.concatenate([np.asarray(part).reshape(8, -1) for part in jacobian], axis=1)


@jax.enable_x64(True)
def main(num_samples: int = 4000, out: str = "out/posterior_sensitivity.png") -> dict[str, np.ndarray]:
    """Sample, differentiate and draw; gives the Jacobians of the eight posterior means."""
    y, error = jnp.array([28.0, 8, -3, 7, -1, 1, 18, 12]), jnp.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    at, x0 = Settings(y, error, jnp.array(5.0), jnp.array(5.0)), {"mean": 0.0, "log_spread": 0.0, "z": jnp.zeros(8)}
    posterior = lambda at: jax.tree_util.Partial(logdensity, at)
    run = sample(posterior(at), x0, key=jax.random.key(0), num_samples=num_samples, silent=True)
    jacobian = jax.jit(lambda draws: jax.jacrev(lambda at: expectation(effects, draws, posterior(at)))(at))
    found = {"covariance": as_matrix(jacobian(run.draws)), "exact": as_matrix(jax.jacfwd(by_quadrature)(at))}
    found["mcse"] = as_matrix(mcse(jacobian, run.draws))

    # Again, with the same kernel, starts and random numbers, at both sides of each setting.
    flat, settings = ravel_pytree(at)
    steps = 0.1 * jnp.concatenate([error, flat[8:]])  # a tenth of a standard error, or of the scale itself

    @jax.jit
    def again(flat: Array) -> Float[Array, " schools"]:
        kernel, starts = run.kernel, jax.tree.map(lambda x: x[:, -1], run.draws)
        settings_of_run = {"chained": True, "key": jax.random.key(1), "num_warmup": 0, "num_samples": num_samples}
        rerun = sample(posterior(settings(flat)), starts, kernel, silent=True, **settings_of_run)
        return jnp.mean(jax.vmap(jax.vmap(effects))(rerun.draws), axis=(0, 1))

    ends = [[again(flat.at[i].add(sign * steps[i])) for sign in (1, -1)] for i in range(18)]
    found["differences"] = np.stack([(up - down) / (2 * h) for (up, down), h in zip(ends, steps, strict=True)], axis=1)

    exact = found["exact"]
    wrong = {name: np.sqrt(np.mean((found[name] - exact) ** 2)) for name in ("covariance", "differences")}
    inside = np.mean(np.abs(found["covariance"] - exact) < 2 * found["mcse"])
    print(f"144 derivatives of size {np.sqrt(np.mean(exact**2)):.3f} (root mean square), and their errors:")
    print(f"  {wrong['covariance']:.4f} by covariances in one run, {inside:.0%} of them within two standard errors,")
    print(f"  {wrong['differences']:.4f} by differences of 36 more runs with common random numbers.")
    own = np.diagonal(found["covariance"])
    print(
        f"A point more in a school is {own.min():.2f} to {own.max():.2f} more in its effect; 1 more in the scale of the"
    )
    print(f"  spread's prior is {found['covariance'][0, 17]:+.2f} +- {found['mcse'][0, 17]:.2f} for the first school.")
    left, middle, right = (figure := Figure(figsize=(13, 4), layout="constrained")).subplots(1, 3)
    image = left.imshow(found["covariance"][:, :8], cmap="Blues")
    left.set(title="change of an effect with each datum", xlabel="datum of school", ylabel="effect of school")
    for axes in (left.set_xticks, left.set_yticks):
        axes(range(8), list("ABCDEFGH"))
    figure.colorbar(image, ax=left)
    for i, (name, color) in enumerate((("mean", "tab:orange"), ("spread", "tab:blue"))):
        bars = {"yerr": 2 * found["mcse"][:, 16 + i], "color": color, "label": f"{name}'s prior"}
        middle.bar(np.arange(8) + 0.4 * i - 0.2, found["covariance"][:, 16 + i], 0.4, **bars)
        middle.plot(np.arange(8) + 0.4 * i - 0.2, exact[:, 16 + i], "k_", label="exact" if i else None)
    middle.set(title="change of an effect with a scale", xlabel="effect of school", ylim=(-0.2, 0.9))
    middle.set_xticks(range(8), list("ABCDEFGH"))
    for name, mark in (("differences", "x"), ("covariance", ".")):
        right.plot(exact.ravel(), found[name].ravel(), mark, label=f"by {name}: {wrong[name]:.4f}")
    right.axline((0, 0), slope=1, color="tab:gray", linewidth=1)
    right.set(title="all 144 derivatives, and their errors", xlabel="exact", ylabel="estimated")
    middle.legend(loc="upper center", ncols=3, fontsize="small")
    right.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    print(f"The picture is in {out}.")
    return found


if __name__ == "__main__":
    main()
