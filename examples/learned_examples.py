"""Ten training images, learned so that a model trained on nothing else does well on real ones.

A softmax regression is trained on ten images, one for each digit, for some steps from small random weights. The images
themselves are what is optimized: the loss of the trained model on real images is differentiated with respect to each
pixel, through the training (Maclaurin et al. 2015, "Gradient-based hyperparameter optimization through reversible
learning", section 3.3; Wang et al. 2018, "Dataset distillation"). They start blank. The model is compared with those
trained in the same way on ten real images, drawn at random many times, and with one trained on all real images.

    python examples/learned_examples.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import InitNormal, Linear
from hype_optim import Adam, CrossEntropyOnLinear, Dataset, NoReg, Params, minimize, train
from jaxtyping import Array, Float, Int, Key

CLASSES = 10


class Distilled(NamedTuple):
    """The learned images, and test errors of the models trained on them, on ten random ones, and on all real ones."""

    images: Float[np.ndarray, "classes pixels"]
    history: Float[np.ndarray, " outer_steps"]  # the loss on real images, at each step of the images' training
    learned: float
    random: Float[np.ndarray, " draws"]
    everything: float


def load_images() -> tuple[Dataset, Dataset]:
    """1,200 of scikit-learn's handwritten digits to learn the images from, and 597 to test with."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits)).shuffle(jax.random.key(0))
    return data[:1200], data[1200:]


def fit(data: Dataset, steps: int) -> Linear:
    """Train a softmax regression."""
    model = Linear(data.x.shape[1], CLASSES, InitNormal(0.0, 0.01), key=jax.random.key(1))
    params = Params(
        steps,
        learning_rate=0.5,
        loss=CrossEntropyOnLinear(),
        regularization=NoReg(),
        return_best=False,
        silent=True,
    )
    return train(model, data, params).w


def error(model: Linear, data: Dataset) -> Float[Array, ""]:
    """The part of the images that the model gets wrong."""
    return jnp.mean(jnp.argmax(model(data.x), axis=1) != data.y)


def loss(model: Linear, data: Dataset) -> Float[Array, ""]:
    """The mean loss of the images."""
    return jnp.mean(jax.vmap(CrossEntropyOnLinear())(model(data.x), data.y))


def one_each(key: Key[Array, ""], data: Dataset) -> Int[Array, " classes"]:
    """The rows of a random image of each class."""
    scores = jax.random.uniform(key, (CLASSES, len(data)))
    return jnp.argmax(jnp.where(data.y[None] == jnp.arange(CLASSES)[:, None], scores, -1.0), axis=1)


def distill(steps: int, outer_steps: int, draws: int) -> Distilled:
    """Learn the images, and compare."""
    data, test = load_images()
    labels = jnp.arange(CLASSES)
    print(f"{len(data):,} images to learn from, {len(test):,} to test with; {steps} steps a training.")
    objective = jax.tree_util.Partial(lambda data, x: loss(fit(Dataset(x, labels), steps), data), data)
    blank = jnp.zeros((CLASSES, data.x.shape[1]))
    outer = minimize(objective, blank, Params(outer_steps, learning_rate=Adam(0.05)))

    on_random = lambda key: error(fit(Dataset(data.x[one_each(key, data)], labels), steps), test)
    random = jax.jit(jax.vmap(on_random))(jax.random.split(jax.random.key(2), draws))
    learned, everything = (float(error(fit(examples, steps), test)) for examples in (Dataset(outer.w, labels), data))
    return Distilled(np.asarray(outer.w), np.asarray(outer.loss_history), learned, np.asarray(random), everything)


def tell(result: Distilled) -> None:
    """Say how good the images are."""
    print("\nTest error of a model trained on")
    print(f"  ten learned images          {result.learned:7.2%}")
    print(f"  ten random real images      {result.random.mean():7.2%}, in the mean over {len(result.random)} draws;")
    print(f"                              {result.random.min():7.2%} with the best of them")
    print(f"  all real images             {result.everything:7.2%}, in as many steps")


def draw(result: Distilled, out: Path) -> None:
    """Draw the ten images, and the errors, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 3.7), layout="constrained")
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(3, 2)))
    side = int(result.images.shape[1] ** 0.5)
    limit = np.abs(result.images).max()
    grid = left.subplots(2, CLASSES // 2)
    look = {"cmap": "RdBu", "vmin": -limit, "vmax": limit}
    shown = [
        axes.imshow(image.reshape(side, side), **look) for axes, image in zip(grid.flat, result.images, strict=True)
    ]
    for k, axes in enumerate(grid.flat):
        axes.set(title=k, xticks=[], yticks=[])
    left.colorbar(shown[0], ax=grid, label="pixel (0 is blank, 1 is ink)", shrink=0.8)
    left.suptitle("the learned training images")
    axes = right.subplots()
    axes.hist(100 * result.random, 20, color="tab:gray", alpha=0.7, label="ten random real images")
    axes.axvline(100 * result.learned, color="tab:red", linewidth=2, label="ten learned images")
    axes.axvline(
        100 * result.everything, color="tab:blue", linewidth=2, linestyle="--", label="all real images, as many steps"
    )
    axes.set(title="models by what they are trained on", xlabel="test error, percent", ylabel="draws of ten images")
    axes.set(xlim=(0, None), ylim=(0, 1.4 * axes.get_ylim()[1]))
    axes.legend(loc="upper right")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Distilled:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50, help="steps of a training (default 50)")
    parser.add_argument("--outer-steps", type=int, default=300, help="steps of the images' training (default 300)")
    parser.add_argument("--draws", type=int, default=300, help="draws of ten random real images (default 300)")
    parser.add_argument("--out", type=Path, default=Path("out/learned_examples.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    result = distill(options.steps, options.outer_steps, options.draws)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
