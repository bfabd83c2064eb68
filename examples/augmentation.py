"""How much to augment: noise, shifts and label smoothing, each with a strength that is tuned by its hypergradient.

A network learns to read digits from few images, each of which is shifted at random and gets random noise, anew for
every epoch, and whose labels are smoothed. A shift by a part of a pixel interpolates between pixels, so what is trained
on is a smooth function of how far images are shifted, as it is of how strong the noise is and of how much labels are
smoothed (the reparameterization trick: what is drawn at random has no parameters). `tune` follows the gradient of the
validation loss, which is that of images as they are, through drawing and training. Test images, at seeds that the
tuning has not seen, say what it is worth, beside no augmentation at all.

    python examples/augmentation.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import (
    CrossEntropyOnLinear,
    Dataset,
    Minibatch,
    Momentum,
    NoReg,
    Params,
    Tuned,
    interval,
    positive,
    train,
    tune,
)
from jaxtyping import Array, Float, Key

SIDE, CLASSES, BATCH = 8, 10, 50
Strengths = dict[str, Array]
OFF = {"noise": 0.0, "horizontal shift": 0.0, "vertical shift": 0.0, "label smoothing": 0.0}


def shift(image: Float[Array, "side side"], by: Float[Array, "2"]) -> Float[Array, "side side"]:
    """An image moved down and to the right by any number of pixels, by linear interpolation."""
    rows, columns = (jnp.arange(SIDE) - each for each in by)
    places = jnp.meshgrid(rows, columns, indexing="ij")
    return jax.scipy.ndimage.map_coordinates(image, list(places), order=1)


def augment(image: Float[Array, " pixels"], strengths: Strengths, key: Key[Array, ""]) -> Float[Array, " pixels"]:
    """A random variant of an image."""
    shift_key, noise_key = jax.random.split(key)
    far = jnp.stack([strengths["vertical shift"], strengths["horizontal shift"]])
    shifted = shift(image.reshape(SIDE, SIDE), far * jax.random.normal(shift_key, (2,))).ravel()
    return shifted + strengths["noise"] * jax.random.normal(noise_key, image.shape)


class Task(eqx.Module):
    """Train with augmented images, as a function of the strengths and a seed."""

    train: Dataset
    valid: Dataset
    hidden: int = eqx.field(static=True)
    epochs: int = eqx.field(static=True)

    def fit(self, strengths: Strengths, key: Key[Array, ""]) -> tuple[FeedForward, Float[Array, ""]]:
        """A network, and its validation loss."""
        first, second, drawn = jax.random.split(key, 3)
        rows, pixels = self.train.x.shape
        layers = Linear(pixels, self.hidden, key=first), jnp.tanh, Linear(self.hidden, CLASSES, key=second)
        keys = jax.random.split(drawn, (self.epochs, rows))
        variants = jax.vmap(jax.vmap(lambda x, key: augment(x, strengths, key)), in_axes=(None, 0))(self.train.x, keys)
        smoothing = strengths["label smoothing"]
        labels = (1 - smoothing) * jax.nn.one_hot(self.train.y, CLASSES) + smoothing / CLASSES
        seen = Dataset(variants.reshape(-1, pixels), jnp.tile(labels, (self.epochs, 1)))  # all epochs in a row
        params = Params(
            1,
            learning_rate=0.1,
            momentum=Momentum(0.9),
            loss=CrossEntropyOnLinear(),
            regularization=NoReg(),
            batch=Minibatch(BATCH),
            return_best=False,
            silent=True,
        )
        result = train(FeedForward(layers), seen, params, valid=self.valid)
        return result.w, jnp.asarray(result.valid_loss)

    def __call__(self, strengths: Strengths, key: Key[Array, ""]) -> Float[Array, ""]:
        """The validation loss."""
        return self.fit(strengths, key)[1]


class Tested(NamedTuple):
    """Test losses and errors at new seeds."""

    losses: Float[np.ndarray, " seeds"]
    errors: Float[np.ndarray, " seeds"]


class Augmented(NamedTuple):
    """What was tuned, what it is worth, and some images before and after augmentation."""

    tuned: Tuned
    tested: dict[str, Tested]
    images: Float[np.ndarray, "variants images pixels"]


@eqx.filter_jit
def tested_at(task: Task, strengths: Strengths, keys: Key[Array, " n"], test: Dataset) -> tuple[Array, Array]:
    """Test losses and errors of trainings at several seeds."""

    def one(key: Key[Array, ""]) -> tuple[Array, Array]:
        outputs = jax.vmap(task.fit(strengths, key)[0])(test.x)
        wrong = jnp.argmax(outputs, axis=1) != test.y
        return jnp.mean(jax.vmap(CrossEntropyOnLinear())(outputs, test.y)), jnp.mean(wrong)

    return jax.lax.map(one, keys)


def learn(task: Task, test: Dataset, steps: int, seeds: int) -> Augmented:
    """Tune the strengths, and test them."""
    start = {
        "noise": positive(0.05),
        "horizontal shift": positive(0.1, upper=3.0),
        "vertical shift": positive(0.1, upper=3.0),
        "label smoothing": interval(0.02, 0.0, 0.9),
    }
    print(f"{len(task.train)} images to learn from, {len(task.valid)} to tune by, {len(test)} to test.")
    tuned = tune(task, start, key=jax.random.key(1), steps=steps, silent=True)
    print(tuned.summary())
    numbers = {"no augmentation": {name: jnp.asarray(value) for name, value in OFF.items()}}
    numbers |= {"the start": {name: each.value for name, each in start.items()}, "tuned": tuned.values}
    keys = jax.random.split(jax.random.key(2), seeds)
    tested = {name: Tested(*map(np.asarray, tested_at(task, each, keys, test))) for name, each in numbers.items()}
    draws = jax.random.split(jax.random.key(3), (3, 8))
    some = jnp.asarray(task.train.x[:8])
    variants = [jax.vmap(lambda x, key: augment(x, tuned.values, key))(some, keys) for keys in draws]
    return Augmented(tuned, tested, np.stack([some, *variants]))


def load_images(rows: int) -> tuple[Dataset, Dataset, Dataset]:
    """Some of scikit-learn's handwritten digits to train with, 600 to validate and the last 897 to test."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits)).shuffle(jax.random.key(0))
    return data[:rows], data[rows : rows + 600], data[900:]


def tell(result: Augmented) -> None:
    """Say what the strengths are worth."""
    seeds = len(result.tested["tuned"].losses)
    print(f"\nMean and standard deviation over {seeds} new seeds:")
    for name, it in result.tested.items():
        loss, error = (f"{x.mean():.{n}} ± {x.std():.{n}}" for x, n in ((it.losses, "3f"), (it.errors, "2%")))
        print(f"{name:18}test loss {loss}   test error {error}")


def draw(result: Augmented, out: Path) -> None:
    """Draw variants of some images, and the test losses, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(13, 3.8), layout="constrained")
    left, middle, right = np.asarray(figure.subfigures(1, 3, width_ratios=(5, 4, 3)))
    rows, columns, pixels = result.images.shape
    for axes, image in zip(left.subplots(rows, columns).flat, result.images.reshape(-1, pixels), strict=True):
        axes.imshow(image.reshape(SIDE, SIDE), cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
    left.suptitle("images (above), and variants with the tuned strengths")
    history = middle.subplots()
    history.plot(result.tuned.history[:, 0], ".-", color="tab:gray")
    for label, value, color in (("start", result.tuned.start_value, "orange"), ("tuned", result.tuned.value, "green")):
        history.axhline(value, color=f"tab:{color}", linestyle="--", label=f"{label}, at held-out seeds")
    history.set(title="each step at a seed of its own", xlabel="step of `tune`", ylabel="validation loss")
    history.legend(fontsize="small")
    losses = right.subplots()
    for i, it in enumerate(result.tested.values()):
        losses.plot(np.full(len(it.losses), i), it.losses, "o", alpha=0.5)
    losses.set_xticks(range(len(result.tested)), [name.replace(" ", "\n") for name in result.tested])
    losses.set(title="new seeds", ylabel="test loss", xlim=(-0.5, len(result.tested) - 0.5))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Augmented:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=150, help="training images, at most 300 (default 150)")
    parser.add_argument("--hidden", type=int, default=32, help="hidden units (default 32)")
    parser.add_argument("--epochs", type=int, default=100, help="epochs of a training (default 100)")
    parser.add_argument("--steps", type=int, default=40, help="steps of `tune` (default 40)")
    parser.add_argument("--seeds", type=int, default=16, help="new seeds to test at (default 16)")
    parser.add_argument("--out", type=Path, default=Path("out/augmentation.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    train_data, valid, test = load_images(options.rows)
    task = Task(train_data, valid, options.hidden, options.epochs)
    result = learn(task, test, options.steps, options.seeds)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
