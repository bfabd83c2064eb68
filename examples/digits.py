"""Classifiers of digits: 0 against 1 by logistic regression, and all ten by a feed-forward network.

Both are trained on one part of the images and judged on another, which they have never seen. Logistic regression is a
`Linear` layer with one output and the logarithm of the likelihood as its loss; its weights are themselves an image,
that of what speaks for a 1. The network has one hidden layer, and its epochs are chosen by a third part of the images.

    python examples/digits.py                                            # scikit-learn's handwritten digits
    python examples/digits.py --data /usr/share/datasets/fashion-mnist   # files in MNIST's format
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from hype_neural import FeedForward, InitReLU, Linear, LogisticClassifier, SoftmaxClassifier
from hype_optim import (
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    Minibatch,
    Nesterov,
    NoReg,
    Params,
    Result,
    RMSProp,
    load_mnist,
)
from jaxtyping import Array, Float, Int


class Classified(NamedTuple):
    """Two classifiers, and how often they are wrong on the test data."""

    pair: Result
    pair_error: float
    network: Result
    network_error: float
    confusion: Int[Array, "true predicted"]


def load_digits(seed: int) -> tuple[Dataset, Dataset]:
    """1,200 images to learn from and 597 to test, of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits))
    train_data, test_data = data.split([1200, 597], key=jax.random.key(seed))
    return train_data, test_data


def logistic_loss(logit: Float[Array, "1"], label: Int[Array, ""]) -> Float[Array, ""]:
    """Minus the logarithm of the probability that the label has."""
    return jax.nn.softplus(logit[0]) - label.astype(logit.dtype) * logit[0]


def tell_two_apart(train_data: Dataset, test_data: Dataset, epochs: int, seed: int) -> tuple[Result, float]:
    """Logistic regression on the images of classes 0 and 1."""
    pair, pair_test = (data.filter(lambda x, y: y < 2) for data in (train_data, test_data))
    params = Params(
        epochs, learning_rate=0.1, momentum=Nesterov(0.9), loss=logistic_loss, regularization=L2Reg(1e-3), silent=True
    )
    result = Linear(pair.x.shape[1], 1, key=jax.random.key(seed)).train(pair, params)
    error = float(LogisticClassifier(result.w, logits=True).error(pair_test))
    print(f"0 against 1: {len(pair):,} images to learn from, {len(pair_test):,} to test.")
    print(f"  Logistic regression, {epochs} steps: training loss {result.loss:.4f}, test error {error:.2%}.\n")
    return result, error


def tell_all_apart(
    train_data: Dataset, test_data: Dataset, hidden: int, epochs: int, seed: int
) -> tuple[Result, SoftmaxClassifier, float]:
    """A network with a hidden layer on the images of all classes."""
    keys = jax.random.split(jax.random.key(seed), 4)
    learned, valid = train_data.split(0.85, key=keys[0])
    classes = int(train_data.y.max()) + 1
    network = FeedForward(
        [
            Linear(train_data.x.shape[1], hidden, InitReLU(), key=keys[1]),
            jax.nn.relu,
            Linear(hidden, classes, key=keys[2]),
        ]
    )
    params = Params(
        epochs,
        learning_rate=RMSProp(0.002, 0.9),
        loss=CrossEntropyOnLinear(),
        regularization=NoReg(),
        batch=Minibatch(min(50, len(learned))),
        silent=True,
    )
    result = network.train(learned, params, valid=valid, key=keys[3])
    classifier = SoftmaxClassifier(result.w, logits=True)
    error = float(classifier.error(test_data))
    chances = 1 - np.bincount(np.asarray(test_data.y)).max() / len(test_data)
    sizes = f"{len(learned):,} images to learn from, {len(valid):,} to choose by, {len(test_data):,} to test"
    print(f"All {classes}: {sizes}.")
    print(f"  A network with {hidden} hidden units, {epochs} epochs: training loss {result.loss:.4f},")
    print(f"  validation loss {result.valid_loss:.4f}, test error {error:.2%} (one answer for all: {chances:.0%}).")
    return result, classifier, error


def classify(
    train_data: Dataset, test_data: Dataset, hidden: int, steps: int, epochs: int, seed: int
) -> tuple[Classified, SoftmaxClassifier]:
    """Train both classifiers, and say how good they are."""
    pair, pair_error = tell_two_apart(train_data, test_data, steps, seed)
    network, classifier, error = tell_all_apart(train_data, test_data, hidden, epochs, seed)
    confusion = classifier.confusion_matrix(test_data)
    wrong = np.asarray(confusion) * (1 - np.eye(len(confusion), dtype=int))
    if wrong.any():
        true, taken = np.unravel_index(wrong.argmax(), wrong.shape)
        print(f"  The most frequent error: {wrong.max()} times class {true} was taken for {taken}.")
    return Classified(pair, pair_error, network, error, confusion), classifier


def draw(result: Classified, classifier: SoftmaxClassifier, test_data: Dataset, out: Path) -> None:
    """Draw the regression's weights, the network's losses, its confusions and what it got wrong into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (weights, losses, confusion, errors) = plt.subplots(1, 4, figsize=(16, 4), layout="constrained")
    image = np.asarray(result.pair.w.weight[0])
    image = image.reshape(round(len(image) ** 0.5), -1)
    largest = abs(image).max()
    weights.imshow(image, cmap="coolwarm", vmin=-largest, vmax=largest)
    weights.set(title="what speaks for a 1 (red) or a 0 (blue)", xticks=[], yticks=[])
    losses.plot(result.network.valid_steps, result.network.valid_history, color="tab:red", label="validation")
    losses.plot(result.network.loss_history, color="tab:gray", alpha=0.5, label="minibatch", zorder=0)
    losses.set(title="loss of the network", xlabel="step", yscale="log")
    losses.legend()
    counts = np.asarray(result.confusion)
    confusion.imshow(np.log1p(counts), cmap="Blues")
    for place in np.argwhere(counts):
        color = "white" if counts[tuple(place)] > counts.max() / 8 else "black"
        confusion.text(place[1], place[0], counts[tuple(place)], ha="center", va="center", color=color, size="small")
    confusion.set(title=f"test error {result.network_error:.2%}", xlabel="taken for", ylabel="class")
    confusion.set(xticks=range(len(counts)), yticks=range(len(counts)))
    wrong = np.flatnonzero(classifier.classify_all(test_data.x) != test_data.y)
    errors.set(title=f"{min(len(wrong), 25)} images that it gets wrong", xticks=[], yticks=[])
    if len(wrong):
        errors.imshow(test_data[wrong[:25]].image_grid(image.shape[0]), cmap="gray_r")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Classified:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a directory with MNIST-format files")
    parser.add_argument("--rows", type=int, default=60_000, help="training images to use of those")
    parser.add_argument("--hidden", type=int, default=100, help="hidden units (default 100)")
    parser.add_argument("--steps", type=int, default=200, help="steps of the logistic regression (default 200)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the network (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="draws the weights and the order of the data")
    parser.add_argument("--out", type=Path, default=Path("out/digits.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    for name in ("rows", "hidden", "steps", "epochs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    try:
        train_data, test_data = load_digits(options.seed) if options.data is None else load_mnist(options.data)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    train_data = train_data[: options.rows]
    result, classifier = classify(train_data, test_data, options.hidden, options.steps, options.epochs, options.seed)
    draw(result, classifier, test_data, options.out)
    return result


if __name__ == "__main__":
    main()
