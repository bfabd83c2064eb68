"""Data attribution: what a test loss would be without some of the training images, predicted and found by training.

Every training example has a weight of one in the training loss. One reverse pass through a whole training gives the
derivative of a test loss with respect to all of these weights, and so a prediction of what any set of examples is worth
to it: the sum of their derivatives. The linear datamodeling score (LDS, Park et al. 2023, "TRAK: attributing model
behavior at scale") is the rank correlation, over random sets of examples that are left out, between what was predicted
and how the loss changes when the model is trained again, in the same order, without them; its mean over test images is
near 1 for the exact derivative of a smooth training and small sets (Ilyas & Engstrom 2025, "MAGIC: near-optimal data
attribution for deep learning"). Beside it are influence functions (Koh & Liang 2017, "Understanding black-box
predictions via influence functions"), derivatives of the minimum of the same objective, by `Implicit`: the minimum is
what a training tends to, not what it gives.

The exact derivative is that of what was run. Where steps are so long that a training jumps about, it is exact and says
nothing about what any change that can be made will do, which the highest rate shows.

    python examples/attribution.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import (
    CrossEntropyOnLinear,
    Dataset,
    Implicit,
    L2Reg,
    Minibatch,
    Momentum,
    NewtonCG,
    Params,
    train,
)
from jaxtyping import Array, Float

CLASSES = 10
RATES = 0.02, 0.1, 0.5
DROPPED = 0.01, 0.05, 0.2
LOSS, PENALTY = CrossEntropyOnLinear(), L2Reg(1e-3)


class Images(NamedTuple):
    """Images to train with, and to predict the losses of."""

    train: Dataset
    test: Dataset


class Scored(NamedTuple):
    """What was predicted, what came, and how well they agree.

    Attributes:
        exact: the score by the derivative through the training, for each rate and part of the examples left out.
        influence: that by influence functions.
        predicted: the change of the first test image's loss by the derivative, at the first and the last rate, for the
            smallest sets.
        actual: that after training again.
        losses: the mean test loss by the rate.
    """

    exact: Float[np.ndarray, "rates parts"]
    influence: Float[np.ndarray, "rates parts"]
    predicted: Float[np.ndarray, "2 subsets"]
    actual: Float[np.ndarray, "2 subsets"]
    losses: Float[np.ndarray, " rates"]


def load_images(rows: int, tests: int) -> Images:
    """Some of scikit-learn's handwritten digits."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits)).shuffle(jax.random.key(0))
    return Images(data[:rows], data[1200 : 1200 + tests])


def weighted(data: Dataset, weights: Float[Array, " rows"]) -> Dataset:
    """The data with a weight for each: the cross entropy is linear in class probabilities, so these can carry it."""
    return data.one_hot(CLASSES).map_y(lambda y: y * weights[:, None].astype(y.dtype))


def fit(
    weights: Float[Array, " rows"], rate: Float[Array, ""], images: Images, epochs: int, hidden: int
) -> FeedForward:
    """Train a network from the same first weights, in the same order."""
    keys = jax.random.split(jax.random.key(1))
    pixels = images.train.x.shape[1]
    network = FeedForward([Linear(pixels, hidden, key=keys[0]), jnp.tanh, Linear(hidden, CLASSES, key=keys[1])])
    params = Params(
        epochs,
        learning_rate=rate,
        momentum=Momentum(0.9),
        loss=LOSS,
        regularization=PENALTY,
        batch=Minibatch(50),
        return_best=False,
        silent=True,
    )
    return train(network, weighted(images.train, weights), params, key=jax.random.key(2)).w


def converge(weights: Float[Array, " rows"], start: FeedForward, images: Images) -> FeedForward:
    """The minimum near trained weights, of the same objective."""
    params = Params(
        300,
        NewtonCG(),
        loss=LOSS,
        regularization=PENALTY,
        tolerance=1e-9,
        return_best=False,
        adjoint=Implicit(lx.Cholesky()),
        silent=True,
    )
    return train(jax.lax.stop_gradient(start), weighted(images.train, weights), params).w


def losses(network: FeedForward, test: Dataset) -> Float[Array, " tests"]:
    """The loss of each test image."""
    return jax.vmap(lambda x, y: LOSS(network(x), y))(test.x, test.y)


def rank_correlation(predicted: np.ndarray, actual: np.ndarray) -> float:
    """Spearman's correlation over the sets, its mean over the test images."""
    from scipy.stats import rankdata

    a, b = (rankdata(changes, axis=0) - (len(changes) + 1) / 2 for changes in (predicted, actual))
    return float(np.mean(np.sum(a * b, axis=0) / np.sqrt(np.sum(a**2, axis=0) * np.sum(b**2, axis=0))))


def score(images: Images, epochs: int, subsets: int, hidden: int) -> Scored:
    """Differentiate the test losses, leave out sets of examples, and compare."""
    rows, draw = len(images.train), np.random.default_rng(0)
    ones = jnp.ones(rows)

    def after(weights: Array, rate: Array, images: Images) -> Array:
        return losses(fit(weights, rate, images, epochs, hidden), images.test)

    derivative = jax.jit(jax.jacrev(after))
    again = jax.jit(jax.vmap(after, in_axes=(0, None, None)))

    print(f"Derivatives of {len(images.test)} test losses by {rows} weights, through {len(RATES)} trainings.")
    slopes = [np.asarray(derivative(ones, rate, images)) for rate in jnp.asarray(RATES)]
    before = [np.asarray(again(ones[None], rate, images))[0] for rate in jnp.asarray(RATES)]
    start = jax.jit(fit, static_argnames=("epochs", "hidden"))(ones, RATES[0], images, epochs, hidden)
    at_minimum = lambda weights, start, images: losses(converge(weights, start, images), images.test)
    influence = np.asarray(jax.jit(jax.jacrev(at_minimum))(ones, start, images))

    exact, other = np.zeros((2, len(RATES), len(DROPPED)))
    seen = []
    print(f"Training again {len(RATES) * len(DROPPED) * subsets} times, without random sets of examples.")
    for j, part in enumerate(DROPPED):
        left_out = np.zeros((subsets, rows))
        for each in left_out:
            each[draw.choice(rows, max(1, round(part * rows)), replace=False)] = 1
        for i, rate in enumerate(jnp.asarray(RATES)):
            actual = np.asarray(again(jnp.asarray(1 - left_out), rate, images)) - before[i]
            for slope, table in ((slopes[i], exact), (influence, other)):
                table[i, j] = rank_correlation(-left_out @ slope.T, actual)
            if j == 0 and i in (0, len(RATES) - 1):
                seen.append((-left_out @ slopes[i][0], actual[:, 0]))
    predicted, actual = map(np.stack, zip(*seen, strict=True))
    return Scored(exact, other, predicted, actual, np.stack(before).mean(axis=1))


def tell(result: Scored) -> None:
    """Print the table of scores."""
    parts = "".join(f"{part:>9.0%}" for part in DROPPED)
    print(f"\nLinear datamodeling score when so many are left out:{parts}")
    for name, table in (("derivative through training", result.exact), ("influence functions", result.influence)):
        for rate, scores, loss in zip(RATES, table, result.losses, strict=True):
            label = f"{name}, learning rate {rate:g}"
            print(f"{label:52}" + "".join(f"{score:9.3f}" for score in scores) + f"   (test loss {loss:.3f})")


def draw(result: Scored, out: Path) -> None:
    """Draw the scores, and predicted against actual changes, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (scores, *pairs) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.8, len(RATES)))
    for rate, color, exact, influence in zip(RATES, colors, result.exact, result.influence, strict=True):
        scores.plot(DROPPED, exact, "o-", color=color, label=f"through training, rate {rate:g}")
        scores.plot(DROPPED, influence, "s:", color=color, label=f"influence functions, rate {rate:g}")
    scores.axhline(1, color="black", linewidth=0.5)
    scores.set(
        title="linear datamodeling score", xlabel="part of the examples left out", xscale="log", ylim=(-0.2, 1.05)
    )
    scores.set_xticks(DROPPED, [f"{part:.0%}" for part in DROPPED])
    scores.minorticks_off()
    scores.legend(fontsize="x-small")
    seen = zip(pairs, result.predicted, result.actual, (RATES[0], RATES[-1]), strict=True)
    for axes, predicted, actual, rate in seen:
        axes.plot(predicted, actual, "o", markersize=4, color="tab:red")
        axes.axline((0, 0), slope=1, color="tab:gray", linewidth=1)
        axes.locator_params(nbins=5)
        axes.set(title=f"one test loss without {DROPPED[0]:.0%}, rate {rate:g}", xlabel="predicted change")
    pairs[0].set_ylabel("change after training again")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Scored:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500, help="training images, at most 1200 (default 500)")
    parser.add_argument("--tests", type=int, default=20, help="test images (default 20)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of a training (default 20)")
    parser.add_argument("--hidden", type=int, default=32, help="hidden units (default 32)")
    parser.add_argument("--subsets", type=int, default=100, help="sets left out, of each size (default 100)")
    parser.add_argument("--out", type=Path, default=Path("out/attribution.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    with jax.enable_x64(True):  # the minimum is flat: in single precision its place is not known well enough
        result = score(load_images(options.rows, options.tests), options.epochs, options.subsets, options.hidden)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
