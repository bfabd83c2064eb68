"""Sweeps: whole trainings, a few hundred of them, as one compiled program.

A `Params` is a pytree, so `jax.vmap` runs a training for each entry of a batch of them. Here a network learns to tell
benign from malignant tumors (scikit-learn's breast cancer data)

- for every pair of a learning rate and an L2 penalty (of the weight matrices, not of the biases),
- for several seeds, each with initial weights and an order of the data of its own, at the best pair,

and each sweep is one call. Other rates and penalties of the same number do not compile again.

    python examples/sweep.py
"""

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import CrossEntropyOnLinear, Dataset, L2Reg, Minibatch, Nesterov, Params, Result, train
from jaxtyping import Array, Float, Key


class Sweeps(NamedTuple):
    """What the two sweeps gave.

    Attributes:
        rates: those of the grid.
        penalties: those of the grid.
        grid: a batch of results, with axes for rates and penalties.
        seeds: a batch of results, with an axis for seeds.
        seconds: how long the grid took, with compiling and without.
    """

    rates: Float[np.ndarray, " rates"]
    penalties: Float[np.ndarray, " penalties"]
    grid: Result
    seeds: Result
    seconds: tuple[float, float]


def load_tumors() -> tuple[Dataset, Dataset]:
    """398 examples to learn from and 171 to validate with, 30 features each, scaled by what the former need."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    train_data, valid_data = Dataset(np.asarray(x), np.asarray(y)).split(0.7, key=jax.random.key(0), stratify=True)
    train_data, scaling = train_data.standardize()
    return train_data, valid_data.map_x(scaling)


def matrices(network: Any) -> list[Array]:
    """What is penalized: everything but the biases."""
    return [network.layers[0].weight, network.layers[2].weight]


def run(seed: Key[Array, ""], rate: Array, penalty: Array, data: Dataset, valid: Dataset, epochs: int) -> Result:
    """One training."""
    keys = jax.random.split(seed, 3)
    network = FeedForward([Linear(30, 16, key=keys[0]), jnp.tanh, Linear(16, 2, key=keys[1])])
    params = Params(
        epochs,
        learning_rate=rate,
        momentum=Nesterov(0.9),
        loss=CrossEntropyOnLinear(),
        regularization=L2Reg(penalty, where=matrices),
        batch=Minibatch(100),
        silent=True,
    )
    return train(network, data, params, valid=valid, key=keys[2])


def sweep(side: int, num_seeds: int, epochs: int) -> Sweeps:
    """Run both sweeps, and say what they gave."""
    data, valid = load_tumors()
    rates, penalties = np.geomspace(0.001, 1.0, side), np.geomspace(1e-5, 0.1, side)
    over_penalties = jax.vmap(run, in_axes=(None, None, 0, None, None, None))
    over_grid = jax.jit(jax.vmap(over_penalties, in_axes=(None, 0, None, None, None, None)), static_argnums=5)
    over_seeds = jax.jit(jax.vmap(run, in_axes=(0, None, None, None, None, None)), static_argnums=5)

    print(f"{len(data)} training and {len(valid)} validation examples; {epochs} epochs a run.")
    run_grid = lambda: jax.block_until_ready(over_grid(jax.random.key(1), rates, penalties, data, valid, epochs))
    start = time.perf_counter()
    run_grid()
    compiled = time.perf_counter()
    grid = run_grid()
    seconds = compiled - start, time.perf_counter() - compiled
    losses = np.asarray(grid.valid_loss)
    row, column = np.unravel_index(np.nanargmin(losses), losses.shape)
    rate, penalty = rates[row], penalties[column]
    print(
        f"{losses.size} trainings, one for each rate and penalty, took {seconds[0]:.1f} s, {seconds[1]:.1f} s of that"
    )
    print("without tracing and compiling.")
    print(f"The lowest validation loss is {losses[row, column]:.4f}, at rate {rate:.3g} and penalty {penalty:.2g};")
    print(f"the highest is {np.nanmax(losses):.4f}.")

    keys = jax.random.split(jax.random.key(2), num_seeds)
    seeds = over_seeds(keys, jnp.asarray(rate), jnp.asarray(penalty), data, valid, epochs)
    spread = np.asarray(seeds.valid_loss)
    print(f"Over {num_seeds} seeds the validation loss there is {spread.mean():.4f}, give or take {spread.std():.4f}.")
    return Sweeps(rates, penalties, grid, seeds, seconds)


def draw(result: Sweeps, out: Path) -> None:
    """Draw the validation losses of the grid and the curves of both sweeps into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    figure, (grid, curves, seeds) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    losses = np.asarray(result.grid.valid_loss)
    mesh = grid.pcolormesh(result.penalties, result.rates, losses, norm=LogNorm(), shading="nearest", cmap="viridis_r")
    row, column = np.unravel_index(np.nanargmin(losses), losses.shape)
    grid.plot(result.penalties[column], result.rates[row], "r*", markersize=12, label="lowest")
    grid.set(title="validation loss", xlabel="L2 penalty", ylabel="learning rate", xscale="log", yscale="log")
    grid.legend()
    figure.colorbar(mesh, ax=grid)
    colors = plt.get_cmap("plasma")(np.linspace(0, 0.9, len(result.rates)))
    grid_history, seeds_history = np.asarray(result.grid.valid_history), np.asarray(result.seeds.valid_history)
    epochs = np.arange(1, grid_history.shape[-1] + 1)
    for rate, history, color in zip(result.rates, grid_history[:, column], colors, strict=True):
        curves.plot(epochs, history, color=color, label=f"{rate:.2g}")
    curves.set(
        title=f"at penalty {result.penalties[column]:.2g}, for each rate", xlabel="epoch", ylabel="validation loss"
    )
    curves.set_yscale("log")
    curves.legend(title="learning rate", fontsize="small", ncols=2)
    seeds.plot(epochs, seeds_history.T, color="tab:blue", alpha=0.4)
    seeds.set(title="the best pair with other seeds", xlabel="epoch", yscale="log", ylim=curves.get_ylim())
    seeds.set_ylabel("validation loss")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Sweeps:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=12, help="rates, and penalties, of the grid (default 12)")
    parser.add_argument("--seeds", type=int, default=16, help="seeds (default 16)")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of each training (default 40)")
    parser.add_argument("--out", type=Path, default=Path("out/sweep.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    for name in ("side", "seeds", "epochs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    result = sweep(options.side, options.seeds, options.epochs)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
