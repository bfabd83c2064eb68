"""Clean a training set: find the wrong labels by learning a weight for each example from few images that one trusts.

Half of the labels of a training set are replaced by wrong ones. Each training example gets a weight between 0 and 1 in
the loss, and all weights are learned by the gradient of the validation loss, on images with right labels, through the
training (Franceschi et al. 2017, "Forward and reverse gradient-based hyperparameter optimization", section 5.1). What
ends below one half counts as wrong. Then softmax regressions are trained on the validation images and

- the training examples whose labels are right, which only an oracle knows,
- all training examples,
- those that were kept,

and compared on test images.

    python examples/hyper_cleaning.py                                            # scikit-learn's handwritten digits
    python examples/hyper_cleaning.py --data /usr/share/datasets/fashion-mnist   # files in MNIST's format
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import Linear
from hype_optim import (
    AbstractRange,
    Adam,
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    Nesterov,
    Params,
    Result,
    load_mnist,
    minimize,
    train,
    unit_interval,
)
from jaxtyping import Array, Bool, Float

CLASSES = 10


class Images(NamedTuple):
    """Images to train with, some of whose labels are wrong, to learn weights from, and to test with."""

    train: Dataset
    valid: Dataset
    test: Dataset
    wrong: Bool[np.ndarray, " rows"]


class Cleaning(NamedTuple):
    """The weights learned, the images, and test accuracies by what a model is trained on."""

    weights: Float[np.ndarray, " rows"]
    images: Images
    accuracies: dict[str, float]

    @property
    def found(self) -> Bool[np.ndarray, " rows"]:
        """Which examples count as wrong."""
        return self.weights < 0.5

    @property
    def precision(self) -> float:
        """Of the examples found, the part whose labels are wrong."""
        return float(self.images.wrong[self.found].mean()) if self.found.any() else 0.0

    @property
    def recall(self) -> float:
        """Of the wrong labels, the part that was found."""
        return float(self.found[self.images.wrong].mean())

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-12)


def load_images(directory: Path | None, rows: int, trusted: int) -> Images:
    """`rows` images to train with, half of them with wrong labels, `trusted` ones to validate, and others to test."""
    from sklearn.datasets import load_digits

    if directory is None:
        pixels, digits = load_digits(return_X_y=True)
        data = Dataset(np.asarray(pixels) / 16, np.asarray(digits)).shuffle(jax.random.key(0))
        train_data, valid, test = data[:rows], data[rows : rows + trusted], data[rows + trusted :]
    else:
        data, test = load_mnist(directory)
        train_data, valid = data[:rows], data[rows : rows + trusted]
    draw = np.random.default_rng(0)
    wrong = draw.permutation(len(train_data)) < len(train_data) // 2
    shift = np.where(wrong, draw.integers(1, CLASSES, len(train_data)), 0)
    return Images(train_data.map_y(lambda y: (np.asarray(y) + shift) % CLASSES), valid, test, wrong)


def weighted(data: Dataset, weights: Float[Array, " rows"]) -> Dataset:
    """The data with class probabilities that sum to an example's weight, by which the cross entropy is multiplied."""
    return data.one_hot(CLASSES).map_y(lambda y: y * weights[:, None].astype(y.dtype))


def fit(data: Dataset, valid: Dataset, steps: int) -> Result:
    """Train a softmax regression."""
    pixels = data.x.shape[1]
    model = jax.tree.map(jnp.zeros_like, Linear(pixels, CLASSES, key=jax.random.key(0)))
    params = Params(
        steps,
        learning_rate=32 / pixels,
        momentum=Nesterov(0.9),
        loss=CrossEntropyOnLinear(),
        regularization=L2Reg(0.003),
        return_best=False,
        silent=True,
    )
    return train(model, data, params, valid=valid)


def clean(images: Images, steps: int, outer_steps: int) -> Cleaning:
    """Learn the weights, and compare models."""
    rows = len(images.train)
    print(f"{rows:,} training images, {images.wrong.sum():,} of them with wrong labels.")
    print(f"{len(images.valid):,} validation images and {len(images.test):,} test images with right ones.")

    def validation_loss(images: Images, weights: AbstractRange) -> Float[Array, ""] | None:
        return fit(weighted(images.train, weights.value), images.valid, steps).valid_loss

    objective = jax.tree_util.Partial(validation_loss, images)
    outer = minimize(objective, unit_interval(jnp.full(rows, 0.5)), Params(outer_steps, learning_rate=Adam(0.1)))
    weights = np.asarray(outer.w.value)

    noisy, trusted = images.train, images.valid
    both = Dataset(jnp.concatenate([noisy.x, trusted.x]), jnp.concatenate([noisy.y, trusted.y]))

    def accuracy(kept: Bool[np.ndarray, " rows"]) -> float:
        used = np.concatenate([kept, np.ones(len(trusted), bool)])  # weights of 0 and 1: one program for all subsets
        model = fit(weighted(both, jnp.asarray(used / used.mean())), trusted, steps).w
        return float(jnp.mean(jnp.argmax(model(images.test.x), axis=1) == images.test.y))

    kept = {
        "oracle: right labels only": ~images.wrong,
        "cleaned: labels kept": weights >= 0.5,
        "baseline: all labels": np.ones(rows, bool),
        "validation images alone": np.zeros(rows, bool),
    }
    return Cleaning(weights, images, {name: accuracy(rows) for name, rows in kept.items()})


def tell(result: Cleaning) -> None:
    """Say what was found, and what it is worth."""
    found, right = result.found.sum(), (result.found & result.images.wrong).sum()
    print(f"\n{found:,} labels count as wrong, {right:,} of them rightly:")
    print(f"precision {result.precision:.3f}, recall {result.recall:.3f}, F1 {result.f1:.3f}.")
    print(f"\n{'trained on':28}test accuracy")
    for name, accuracy in result.accuracies.items():
        print(f"{name:28}{accuracy:13.2%}")


def draw(result: Cleaning, out: Path) -> None:
    """Draw the weights, the accuracies and those images whose labels are the most suspect into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(13, 3.4), layout="constrained")
    left, middle, right = np.asarray(figure.subfigures(1, 3, width_ratios=(4, 4, 5)))
    weights, points = left.subplots(), middle.subplots()
    for rows, color, label in ((~result.images.wrong, "tab:blue", "right"), (result.images.wrong, "tab:red", "wrong")):
        weights.hist(result.weights[rows], np.linspace(0, 1, 31), color=color, alpha=0.6, label=f"{label} label")
    weights.axvline(0.5, color="black", linewidth=0.8, linestyle="--")
    weights.set(title=f"learned weights: F1 {result.f1:.3f}", xlabel="weight in the loss", ylabel="training examples")
    weights.legend(loc="upper center")
    names, accuracies = [name.replace(": ", "\n") for name in result.accuracies], list(result.accuracies.values())
    points.scatter(accuracies, names, s=80, c=["tab:gray", "tab:blue", "tab:red", "tab:gray"])
    for name, accuracy in zip(names, accuracies, strict=True):
        points.annotate(f"{accuracy:.2%}", (accuracy, name), (0, 8), textcoords="offset points", ha="center")
    points.set(
        title="test accuracy",
        xlabel="of the test images",
        xlim=(min(accuracies) - 0.02, max(accuracies) + 0.02),
        ylim=(3.5, -0.7),
    )
    points.grid(axis="x", alpha=0.4)
    points.xaxis.set_major_formatter("{x:.1%}")
    data = result.images.train
    side = int(data.x.shape[1] ** 0.5)
    for axes, row in zip(right.subplots(2, 5).flat, np.argsort(result.weights), strict=False):
        axes.imshow(np.asarray(data.x[row]).reshape(side, side), cmap="gray_r")
        axes.set(title=f"{data.y[row]}?", xticks=[], yticks=[])
    right.suptitle("the most suspect labels")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Cleaning:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a directory with MNIST-format files")
    parser.add_argument("--rows", type=int, default=1000, help="training images (default 1000)")
    parser.add_argument("--trusted", type=int, default=100, help="validation images (default 100)")
    parser.add_argument("--steps", type=int, default=100, help="steps of a training (default 100)")
    parser.add_argument("--outer-steps", type=int, default=80, help="steps of the weights' training (default 80)")
    parser.add_argument("--out", type=Path, default=Path("out/hyper_cleaning.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    images = load_images(options.data, options.rows, options.trusted)
    result = clean(images, options.steps, options.outer_steps)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
