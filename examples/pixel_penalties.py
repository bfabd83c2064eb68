"""A penalty for every weight of a logistic regression: as many hyperparameters as parameters.

A logistic regression learns to read digits from few images, and each of its weights (a pixel and a class) has an L2
penalty of its own. All penalties together are learned from the loss on validation images, whose gradient comes from one
reverse pass through the training (Maclaurin et al. 2015, "Gradient-based hyperparameter optimization through reversible
learning", section 3.2). They are compared, on test images that neither has seen, with the best penalty that is the same
for all weights.

    python examples/pixel_penalties.py                                            # 640 penalties: 8 x 8 pixels
    python examples/pixel_penalties.py --data /usr/share/datasets/fashion-mnist   # 7,840 penalties: 28 x 28 pixels
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import Linear
from hype_optim import (
    Adam,
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    Nesterov,
    Params,
    Result,
    load_mnist,
    minimize,
    positive,
    train,
)
from jaxtyping import Array, Float

SHARED_PENALTIES = np.geomspace(1e-5, 0.1, 17)
CLASSES = 10


class Images(NamedTuple):
    """Images to train with, to learn penalties from, and to test with."""

    train: Dataset
    valid: Dataset
    test: Dataset


class Comparison(NamedTuple):
    """The best penalty that all weights share, the learned ones, and the runs under them with their test errors."""

    shared_penalty: float
    penalties: Float[np.ndarray, "classes pixels"]
    shared: Result
    learned: Result
    errors: tuple[float, ...]
    mean_images: Float[np.ndarray, "classes pixels"]


def load_images(directory: Path | None) -> Images:
    """Scikit-learn's handwritten digits (200 to train with), or files in MNIST's format (1,000)."""
    from sklearn.datasets import load_digits

    if directory is None:
        pixels, digits = load_digits(return_X_y=True)
        data = Dataset(np.asarray(pixels) / 16, np.asarray(digits))
        return Images(*data.split([200, 800, len(data) - 1000], key=jax.random.key(0)))
    data, test = load_mnist(directory)
    return Images(data[:1000], data[1000:5000], test)


def run(penalty: Array, images: Images, steps: int) -> Result:
    """A training from weights that are zero, with steps that suit the number of pixels."""
    pixels = images.train.x.shape[1]
    model = jax.tree.map(jnp.zeros_like, Linear(pixels, CLASSES, key=jax.random.key(0)))
    params = Params(
        steps,
        learning_rate=32 / pixels,
        momentum=Nesterov(0.9),
        loss=CrossEntropyOnLinear(),
        regularization=L2Reg(penalty, where=lambda model: model.weight),  # a bias is free
        return_best=False,
        silent=True,
    )
    return train(model, images.train, params, valid=images.valid)


def learn(images: Images, steps: int, outer_steps: int) -> Comparison:
    """Find the best penalty for all, and go on from there with one for each weight."""
    pixels = images.train.x.shape[1]
    sizes = ", ".join(
        f"{len(data):,} to {name}" for data, name in zip(images, ("train", "validate", "test"), strict=True)
    )
    print(f"Images of {pixels} pixels: {sizes} with. {steps} steps a training.")
    validation_loss = lambda penalty, images: run(penalty, images, steps).valid_loss
    losses = jax.jit(jax.vmap(validation_loss, in_axes=(0, None)))(jnp.asarray(SHARED_PENALTIES), images)
    shared_penalty = SHARED_PENALTIES[np.nanargmin(np.asarray(losses))]

    print(f"Training {CLASSES * pixels:,} penalties, from the best one for all weights, {shared_penalty:.2g}, on.")
    objective = jax.tree_util.Partial(lambda images, penalties: validation_loss(penalties, images), images)
    first = jnp.full((CLASSES, pixels), shared_penalty)
    outer = minimize(objective, positive(first), Params(outer_steps, learning_rate=Adam(0.1)))

    shared, learned = (run(penalty, images, steps) for penalty in (first, outer.w))
    errors = tuple(float(jnp.mean(jnp.argmax(r.w(images.test.x), axis=1) != images.test.y)) for r in (shared, learned))
    means = [np.mean(np.asarray(images.train.x)[np.asarray(images.train.y) == k], axis=0) for k in range(CLASSES)]
    return Comparison(float(shared_penalty), np.asarray(outer.w.value), shared, learned, errors, np.stack(means))


def tell(result: Comparison) -> None:
    """Say what the penalties have gained."""
    print(f"\n{'':26}validation loss   test error")
    runs = zip(
        ("one penalty for all", "a penalty for each weight"),
        (result.shared, result.learned),
        result.errors,
        strict=True,
    )
    for name, run, error in runs:
        print(f"{name:26}{run.valid_loss:15.4f}   {error:10.2%}")
    low, high = np.quantile(result.penalties, (0.1, 0.9))
    print(f"\nA tenth of the learned penalties is below {low:.2g}, a tenth above {high:.2g}.")


def draw(result: Comparison, out: Path) -> None:
    """Draw the mean image and the penalties of each class into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    side = int(result.penalties.shape[1] ** 0.5)
    figure, axes = plt.subplots(2, CLASSES, figsize=(13, 2.75), layout="constrained")
    low, high = np.quantile(result.penalties, (0.01, 0.99))
    shown = []
    for k, (above, below) in enumerate(axes.T):
        above.imshow(result.mean_images[k].reshape(side, side), cmap="gray_r", vmin=0, vmax=1)
        above.set_title(k)
        penalties = result.penalties[k].reshape(side, side)
        shown.append(below.imshow(penalties, cmap="viridis", norm=LogNorm(low, high)))
    for each in axes.flat:
        each.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("mean image")
    axes[1, 0].set_ylabel("penalties")
    figure.colorbar(shown[0], ax=axes[1], label="L2 penalty", extend="both", pad=0.01)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Comparison:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a directory with MNIST-format files")
    parser.add_argument("--steps", type=int, default=400, help="steps of a training (default 400)")
    parser.add_argument("--outer-steps", type=int, default=60, help="steps of the penalties' training (default 60)")
    parser.add_argument("--out", type=Path, default=Path("out/pixel_penalties.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    result = learn(load_images(options.data), options.steps, options.outer_steps)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
