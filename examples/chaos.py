"""Where hypergradients end: a training's loss, its hypergradient and its growth rate over the learning rate.

A small network is trained from the same first weights with many learning rates, in one program. Up to an edge, the
loss at the end is a smooth function of the logarithm of the rate, and its derivative says where to go. Beyond the edge
the training is chaotic: the derivative is still exact, but it is that of a function so rugged that it says nothing
(Maclaurin et al. 2015, "Gradient-based hyperparameter optimization through reversible learning", section 4). The rate
at which a small perturbation grows from step to step, `Result.sensitivity`, tells the two apart: it crosses zero at the
edge.

    python examples/chaos.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import Constant, CrossEntropyOnLinear, Dataset, L2Reg, Momentum, Params, train
from jaxtyping import Array, Float

EXAMPLES, HIDDEN = 40, 12


class Sweep(NamedTuple):
    """What became of a training with each learning rate."""

    rates: Float[np.ndarray, " rates"]
    losses: Float[np.ndarray, " rates"]
    hypergradients: Float[np.ndarray, " rates"]  # of the loss at the end, with respect to the rate's logarithm
    growth: Float[np.ndarray, " rates"]

    @property
    def edge(self) -> float:
        """The lowest rate at which the growth rate is above zero."""
        return float(self.rates[np.argmax(self.growth > 0)])

    @property
    def below(self) -> np.ndarray:
        """Which rates are below the edge."""
        return self.rates < self.edge


def problem(seed: int) -> tuple[jax.tree_util.Partial, Dataset]:
    """A network of two tanh layers, and points in the plane in two classes that no line separates."""
    keys = jax.random.split(jax.random.key(seed), 4)
    x = jax.random.normal(keys[0], (EXAMPLES, 2))
    w = {
        "in": jax.random.normal(keys[1], (2, HIDDEN)),
        "middle": 1.5 * jax.random.normal(keys[2], (HIDDEN, HIDDEN)) / HIDDEN**0.5,
        "out": jax.random.normal(keys[3], (HIDDEN, 2)) / HIDDEN**0.5,
    }
    network = lambda w, x: jnp.tanh(jnp.tanh(x @ w["in"]) @ w["middle"]) @ w["out"]
    return jax.tree_util.Partial(network, w), Dataset(x, (x[:, 0] * x[:, 1] > 0).astype(jnp.int32))


def sweep(rates: int, steps: int, seed: int) -> Sweep:
    """Train with each rate, and differentiate each training."""
    model, data = problem(seed)

    def outcome(log_rate: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        params = Params(
            steps,
            learning_rate=Constant(jnp.exp(log_rate)),
            momentum=Momentum(0.5),
            loss=CrossEntropyOnLinear(),
            regularization=L2Reg(0.01),
            return_best=False,
            track_sensitivity=True,
            silent=True,
        )
        result = train(model, data, params)
        assert result.sensitivity is not None  # it was asked for
        return result.loss, result.sensitivity.growth

    grid = np.geomspace(0.03, 8.0, rates)
    differentiate = jax.jit(jax.vmap(jax.value_and_grad(outcome, has_aux=True)))
    (losses, growth), hypergradients = differentiate(jnp.log(jnp.asarray(grid)))
    return Sweep(grid, *(np.asarray(x) for x in (losses, hypergradients, growth)))


def tell(result: Sweep) -> None:
    """Say what the sweep shows."""
    size, losses, wild = np.abs(result.hypergradients), result.losses, ~result.below
    print(f"The growth rate of perturbations crosses zero at a learning rate of {result.edge:.3g}.")
    print(f"Below it the hypergradient's size is at most {size[result.below].max():.3g}.")
    print(f"Above it, it is {np.nanmedian(size[wild]):.3g} in the median,")
    print(f"though the loss itself is only between {np.nanmin(losses[wild]):.3g} and {np.nanmax(losses[wild]):.3g}.")
    best = result.rates[np.nanargmin(result.losses)]
    print(f"The lowest loss is at a rate of {best:.3g}, {best / result.edge:.2f} times the edge.")


def draw(result: Sweep, out: Path) -> None:
    """Draw loss, hypergradient and growth rate over the learning rate into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (loss, gradient, growth) = plt.subplots(3, 1, figsize=(8, 8), sharex=True, layout="constrained")
    loss.plot(result.rates, result.losses, color="tab:blue", linewidth=1)
    loss.set(title="training loss at the end of the run", yscale="log")
    for sign, color, label in ((1, "tab:red", "positive"), (-1, "tab:orange", "negative")):
        of_sign = np.where(sign * result.hypergradients > 0, np.abs(result.hypergradients), np.nan)
        gradient.plot(result.rates, of_sign, ".", color=color, markersize=3, label=label)
    gradient.set(title="size of its derivative with respect to the logarithm of the learning rate", yscale="log")
    gradient.legend(loc="upper left")
    growth.plot(result.rates, result.growth, color="tab:green", linewidth=1)
    growth.axhline(0.0, color="black", linewidth=0.8)
    growth.set(title="growth rate of perturbations per step", xlabel="learning rate", xscale="log")
    growth.set_yscale("symlog", linthresh=0.01)
    for axes in (loss, gradient, growth):
        axes.axvspan(result.edge, result.rates[-1], color="tab:gray", alpha=0.15)
    growth.text(result.edge, growth.get_ylim()[0], " chaos", va="bottom", color="dimgray")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Sweep:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=int, default=400, help="learning rates to train with (default 400)")
    parser.add_argument("--steps", type=int, default=200, help="steps of a training (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="draws the weights and the data")
    parser.add_argument("--out", type=Path, default=Path("out/chaos.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    for name in ("rates", "steps"):
        if getattr(options, name) < 2:
            parser.error(f"--{name} must be at least 2, got {getattr(options, name)}")
    with jax.enable_x64(True):  # what grows beyond 1e38 is worth seeing too
        result = sweep(options.rates, options.steps, options.seed)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
