"""A small LeNet: Equinox's convolutions and dropout inside of a `FeedForward`, trained on images.

Any layer of `equinox.nn` and any function can be an element of a `FeedForward`. Convolution, ReLU and pooling, twice,
then two linear layers with dropout between (LeCun et al. 1998, with today's activations). Dropout draws at random, so
training takes `keyed=True` and a key; validation and the final losses are computed in inference mode by `train`
itself, and so must the model be put for use: `eqx.nn.inference_mode(result.w)`.

    python examples/lenet.py                                                       # scikit-learn's handwritten digits
    python examples/lenet.py --data /usr/share/datasets/fashion-mnist --epochs 5   # files in MNIST's format
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear, SoftmaxClassifier, summary
from hype_optim import CrossEntropyOnLinear, Dataset, Minibatch, NoReg, Params, Result, RMSProp, load_mnist
from jaxtyping import Array, Key


class Trained(NamedTuple):
    """A network, and how often it is wrong on the test data."""

    result: Result
    error: float
    wrong_in_training: float


def load_digits(seed: int) -> tuple[Dataset, Dataset]:
    """1,200 images to learn from and 597 to test, of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels).reshape(-1, 8, 8) / 16, np.asarray(digits))
    train_data, test_data = data.split([1200, 597], key=jax.random.key(seed))
    return train_data, test_data


def as_channel(image: Array) -> Array:
    """The image as the only channel of what a convolution takes."""
    return image[None]


def lenet(side: int, classes: int, key: Key[Array, ""]) -> FeedForward:
    """A network for images of `side` times `side` pixels, which need not be large."""
    keys = jax.random.split(key, 4)
    kernel, padding = (5, 0) if side >= 28 else (3, 1)
    after = lambda side: (side + 2 * padding - kernel + 1) // 2
    return FeedForward(
        [
            as_channel,
            eqx.nn.Conv2d(1, 6, kernel, padding=padding, key=keys[0]),
            jax.nn.relu,
            eqx.nn.MaxPool2d(2, 2),
            eqx.nn.Conv2d(6, 16, kernel, padding=padding, key=keys[1]),
            jax.nn.relu,
            eqx.nn.MaxPool2d(2, 2),
            jnp.ravel,
            Linear(16 * after(after(side)) ** 2, 84, key=keys[2]),
            jax.nn.relu,
            eqx.nn.Dropout(0.3),
            Linear(84, classes, key=keys[3]),
        ]
    )


def fit(train_data: Dataset, test_data: Dataset, epochs: int, seed: int) -> Trained:
    """Train the network, and say how good it is."""
    keys = jax.random.split(jax.random.key(seed), 3)
    learned, valid = train_data.split(0.85, key=keys[0])
    classes = int(train_data.y.max()) + 1
    network = lenet(train_data.x.shape[1], classes, keys[1])
    params = Params(
        epochs,
        learning_rate=RMSProp(0.003, 0.9),
        loss=CrossEntropyOnLinear(),
        regularization=NoReg(),
        batch=Minibatch(min(50, len(learned))),
        silent=True,
    )
    print(f"{len(learned):,} images to learn from, {len(valid):,} to choose by, {len(test_data):,} to test.\n")
    print(summary(network, train_data.x[0]))
    start = time.perf_counter()
    result = network.train(learned, params, valid=valid, key=keys[2], keyed=True)
    jax.block_until_ready(result.loss)
    print(f"\n{epochs} epochs took {time.perf_counter() - start:.1f} s, compiling included.")
    classifier = SoftmaxClassifier(eqx.nn.inference_mode(result.w), logits=True)
    error, before = float(classifier.error(test_data)), float(classifier.error(learned))
    print(f"Training loss {result.loss:.4f}, validation loss {result.valid_loss:.4f}.")
    print(f"Training error {before:.2%}, test error {error:.2%}.")
    return Trained(result, error, before)


def draw(trained: Trained, test_data: Dataset, out: Path) -> None:
    """Draw the losses, the first kernels and what they make of an image into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (losses, *images) = plt.subplots(1, 4, figsize=(15, 4), layout="constrained")
    result, network = trained.result, eqx.nn.inference_mode(trained.result.w)
    losses.plot(result.loss_history, color="tab:gray", alpha=0.5, label="minibatch, with dropout")
    losses.plot(result.valid_steps, result.valid_history, color="tab:red", label="validation, without")
    losses.set(title=f"loss; test error {trained.error:.2%} in the end", xlabel="step", yscale="log")
    losses.legend()
    grid = lambda stack: Dataset(stack, np.zeros(len(stack))).image_grid()
    pictures = {
        "six kernels": (grid(network[1].module.weight[:, 0]), "coolwarm"),
        "an image": (test_data.x[0], "gray_r"),
        "what the first convolution makes of it": (grid(network[:3](test_data.x[0])), "gray_r"),
    }
    for axes, (title, (picture, colors)) in zip(images, pictures.items(), strict=True):
        axes.imshow(picture, cmap=colors)
        axes.set(title=title, xticks=[], yticks=[])
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Trained:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a directory with MNIST-format files")
    parser.add_argument("--rows", type=int, default=10_000, help="training images to use of those")
    parser.add_argument("--epochs", type=int, default=30, help="epochs (default 30)")
    parser.add_argument(
        "--seed", type=int, default=0, help="draws the weights, the order of the data and what is dropped"
    )
    parser.add_argument("--out", type=Path, default=Path("out/lenet.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    for name in ("rows", "epochs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    try:
        files = options.data
        train_data, test_data = load_digits(options.seed) if files is None else load_mnist(files, flatten=False)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    trained = fit(train_data[: options.rows], test_data, options.epochs, options.seed)
    draw(trained, test_data, options.out)
    return trained


if __name__ == "__main__":
    main()
