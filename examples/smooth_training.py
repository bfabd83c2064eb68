"""Smooth trainings: where a hypergradient says what a change of the settings does, and where `tune` gets somewhere.

A derivative through a training is exact however the training is made, but it is of use only as far as the loss after
training is nearly linear around the settings. That is itself a choice of settings (Engstrom et al. 2025, "Optimizing ML
training with metagradient descent", section 3: metasmoothness). Here the settings that are tuned are a weight for each
training example, of which 40 % are mislabeled, as in `hyper_cleaning.py`; the trainings differ in their learning rate,
momentum and activation. For each of them

- perturbations grow from step to step, or fade (`Result.sensitivity`; the sum over the steps, in logarithms),
- small random changes of all weights are predicted by the hypergradient, and compared with trainings under them,
- `tune` learns the weights in a few steps, and is judged by the validation loss at seeds that it has not seen.

    python examples/smooth_training.py
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import (
    AbstractRange,
    CrossEntropyOnLinear,
    Dataset,
    ExactGradient,
    L2Reg,
    Minibatch,
    Momentum,
    Params,
    Result,
    train,
    tune,
    unit_interval,
)
from jaxtyping import Array, Float, Key

CLASSES, WRONG = 10, 0.4
RATES = (0.02, 0.9), (0.2, 0.0), (0.1, 0.9), (0.5, 0.9)  # learning rate and momentum
ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}


class Training(eqx.Module):
    """A way of training, as a function of the weights of the examples and a seed."""

    data: Dataset
    valid: Dataset
    rate: Float[Array, ""]
    momentum: Float[Array, ""]
    activation: Callable[[Array], Array] = eqx.field(static=True)
    hidden: int = eqx.field(static=True)
    epochs: int = eqx.field(static=True)

    def run(self, weights: Float[Array, " rows"], key: Key[Array, ""], track: bool = False) -> Result:
        """Train a network with a weight for each example."""
        first, second, order = jax.random.split(key, 3)
        pixels = self.data.x.shape[1]
        layers = Linear(pixels, self.hidden, key=first), self.activation, Linear(self.hidden, CLASSES, key=second)
        params = Params(
            self.epochs,
            learning_rate=self.rate,
            momentum=Momentum(self.momentum),
            loss=CrossEntropyOnLinear(),
            regularization=L2Reg(1e-3),
            batch=Minibatch(min(50, len(self.data))),
            return_best=False,
            validation_interval=self.epochs,  # once, in the end
            track_sensitivity=track,
            silent=True,
        )
        weighted = self.data.one_hot(CLASSES).map_y(lambda y: y * weights[:, None].astype(y.dtype))
        return train(FeedForward(layers), weighted, params, valid=self.valid, key=order)

    def __call__(self, weights: Float[Array, " rows"], key: Key[Array, ""]) -> Float[Array, ""]:
        """The validation loss."""
        return jnp.asarray(self.run(weights, key).valid_loss)


class Seen(NamedTuple):
    """What one way of training shows.

    Attributes:
        growth: how perturbations have grown after all steps, in logarithms.
        predicted: by how much the validation loss changes with random changes of the weights, by the hypergradient.
        actual: by how much it does.
        before: the validation loss at held-out seeds with equal weights.
        after: the same with those that `tune` has found.
        f1: how well weights below one half find wrong labels: the harmonic mean of precision and recall.
    """

    growth: float
    predicted: Float[np.ndarray, " directions"]
    actual: Float[np.ndarray, " directions"]
    before: float
    after: float
    f1: float

    @property
    def correlation(self) -> float:
        """Between what was predicted and what came."""
        return float(np.corrcoef(self.predicted, self.actual)[0, 1])


def load_images(rows: int) -> tuple[Dataset, Dataset, np.ndarray]:
    """Images to train with, some of whose labels are wrong, images to validate, and which labels are wrong."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits)).shuffle(jax.random.key(0))
    draw = np.random.default_rng(0)
    wrong = draw.permutation(rows) < WRONG * rows
    shift = np.where(wrong, draw.integers(1, CLASSES, rows), 0)
    return data[:rows].map_y(lambda y: (np.asarray(y) + shift) % CLASSES), data[rows : rows + 600], wrong


@eqx.filter_jit
def changes(
    training: Training, start: AbstractRange, directions: Float[Array, "n rows"], key: Key[Array, ""]
) -> tuple[Array, Array, Array]:
    """How perturbations grow, and predicted and actual changes of the validation loss in some directions."""
    loss = lambda raw: training(eqx.tree_at(lambda range: range.raw, start, raw).value, key)
    value, slope = jax.value_and_grad(loss)(start.raw)
    actual = jax.vmap(lambda direction: loss(start.raw + direction) - value)(directions)
    sensitivity = training.run(start.value, key, track=True).sensitivity
    assert sensitivity is not None
    return jnp.nansum(sensitivity.history), directions @ slope, actual


def look(training: Training, wrong: np.ndarray, steps: int, directions: int) -> Seen:
    """Predict, and tune, with one way of training."""
    start = unit_interval(jnp.full(len(wrong), 0.5))
    drawn = 0.3 * jax.random.normal(jax.random.key(1), (directions, len(wrong)))
    growth, predicted, actual = changes(training, start, drawn, jax.random.key(2))
    with warnings.catch_warnings(category=UserWarning, action="ignore"):  # where nothing is better than the start
        tuned = tune(
            training, start, key=jax.random.key(3), steps=steps, rate=0.5, gradient=ExactGradient(), silent=True
        )
    found = np.asarray(tuned.values) < 0.5
    f1 = 2 * (found & wrong).sum() / max(1, found.sum() + wrong.sum())
    losses = float(tuned.start_value), float(tuned.value)
    return Seen(float(growth), np.asarray(predicted), np.asarray(actual), losses[0], losses[1], f1)


def tell(seen: dict[str, Seen]) -> None:
    """Print a line for each way of training."""
    print(f"\n{'':34}  growth   correlation   validation loss    wrong labels")
    print(f"{'training':34}(in log)  of changes     before   tuned   found (F1)")
    for name, it in seen.items():
        line = f"{it.growth:8.2f}{it.correlation:12.3f}{it.before:12.3f}{it.after:8.3f}{it.f1:13.2f}"
        print(f"{name:34}{line}")


def draw(seen: dict[str, Seen], out: Path) -> None:
    """Draw predicted and actual changes, and what `tune` gains, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(seen) // len(RATES), len(RATES) + 1, figsize=(15, 6), layout="constrained", squeeze=False
    )
    for panel, (name, it) in zip(axes[:, :-1].flat, seen.items(), strict=True):
        panel.plot(it.predicted, it.actual, "o", markersize=4, color="tab:red")
        panel.axline((0, 0), slope=1, color="tab:gray", linewidth=1)
        panel.set_title(f"{name}\ncorrelation {it.correlation:.3f}", fontsize="small")
        panel.locator_params(nbins=4)
    axes[0, 0].set_ylabel("actual change of the loss")
    axes[-1, 0].set(xlabel="predicted change", ylabel="actual change of the loss")
    for panel, activation in zip(axes[:, -1], dict.fromkeys(name.split(",")[0] for name in seen), strict=True):
        ways = [it for name, it in seen.items() if name.startswith(activation)]
        places, labels = np.arange(len(ways)), [f"{rate:g}, {momentum:g}" for rate, momentum in RATES]
        panel.bar(places - 0.2, [it.before for it in ways], 0.4, color="tab:gray", label="equal weights")
        panel.bar(places + 0.2, [it.after for it in ways], 0.4, color="tab:red", label="after `tune`")
        panel.set_title(f"{activation}: validation loss at held-out seeds", fontsize="small")
        panel.set_xticks(places, labels, fontsize="small")
        panel.legend(fontsize="x-small")
    axes[-1, -1].set_xlabel("learning rate, momentum")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=90)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> dict[str, Seen]:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300, help="training images (default 300)")
    parser.add_argument(
        "--activations", nargs="+", choices=ACTIVATIONS, default=list(ACTIVATIONS), help="(default all)"
    )
    parser.add_argument("--hidden", type=int, default=32, help="hidden units (default 32)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of a training (default 20)")
    parser.add_argument("--steps", type=int, default=20, help="steps of `tune` (default 20)")
    parser.add_argument("--directions", type=int, default=32, help="changes to predict (default 32)")
    parser.add_argument("--out", type=Path, default=Path("out/smooth_training.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    data, valid, wrong = load_images(options.rows)
    print(f"{options.rows} training images, {wrong.sum()} of them mislabeled, each with a weight to tune.")
    seen = {}
    for name in options.activations:
        for rate, momentum in RATES:
            numbers = jnp.asarray(rate), jnp.asarray(momentum)  # not part of the program, which all rates share
            training = Training(data, valid, *numbers, ACTIVATIONS[name], options.hidden, options.epochs)
            label = f"{name}, rate {rate:g}, momentum {momentum:g}"
            seen[label] = look(training, wrong, options.steps, options.directions)
    tell(seen)
    draw(seen, options.out)
    return seen


if __name__ == "__main__":
    main()
