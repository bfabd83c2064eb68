"""Everything for each layer of a LeNet: learning rates, momenta, penalties and scales of first weights, all tuned.

A small LeNet (LeCun et al. 1998) has four layers with weights, and each of them its own learning rate, momentum, L2
penalty and scale of the first weights: sixteen settings, too many for a grid. They start equal, and `tune` follows the
hypergradient of the validation loss, through drawing and training, each step at a seed of its own. Test images, at
seeds that the tuning has not seen, say what it is worth: beside the best of a sweep of learning rates that all layers
share, which is where the tuning starts.

    python examples/lenet_layers.py
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
    Constant,
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    Minibatch,
    Momentum,
    Params,
    Tuned,
    positive,
    train,
    tune,
)
from jaxtyping import Array, Float, Key

LAYERS = "convolution 1", "convolution 2", "linear 1", "linear 2"
START = {"friction": 0.1, "penalty": 1e-4, "scale": 1.73}  # friction is one minus momentum
SWEPT = np.geomspace(0.01, 1, 9)
Settings = dict[str, Float[Array, " layers"]]


def lenet(key: Key[Array, ""], scales: Float[Array, " layers"]) -> FeedForward:
    """A network for images of 8 x 8 pixels, with weights that are scaled layer by layer."""
    keys = jax.random.split(key, len(LAYERS))
    layers = [
        eqx.nn.Conv2d(1, 4, 3, padding=1, key=keys[0]),
        eqx.nn.Conv2d(4, 8, 3, padding=1, key=keys[1]),
        Linear(32, 24, key=keys[2]),
        Linear(24, 10, key=keys[3]),
    ]
    scaled = [
        eqx.tree_at(lambda layer: layer.weight, layer, scales[i] * layer.weight) for i, layer in enumerate(layers)
    ]
    pool = eqx.nn.AvgPool2d(2, 2)
    first, second, third, fourth = scaled
    return FeedForward([as_channel, first, jnp.tanh, pool, second, jnp.tanh, pool, jnp.ravel, third, jnp.tanh, fourth])


def as_channel(image: Float[Array, "side side"]) -> Float[Array, "1 side side"]:
    """The image as the only channel of what a convolution takes."""
    return image[None]


class Task(eqx.Module):
    """Train, as a function of settings and a seed."""

    train: Dataset
    valid: Dataset
    epochs: int = eqx.field(static=True)

    def fit(self, settings: Settings, key: Key[Array, ""]) -> tuple[FeedForward, Float[Array, ""]]:
        """A network, and its validation loss."""
        init_key, order = jax.random.split(key)
        network = lenet(init_key, settings["scale"])
        structure = jax.tree.structure(network)  # each layer has two arrays
        by_layer = lambda numbers: jax.tree.unflatten(structure, [each for each in numbers for _ in range(2)])
        params = Params(
            self.epochs,
            learning_rate=Constant(by_layer(settings["learning rate"])),
            momentum=Momentum(by_layer(1 - settings["friction"])),
            loss=CrossEntropyOnLinear(),
            regularization=L2Reg(by_layer(settings["penalty"])),
            batch=Minibatch(min(50, len(self.train))),
            return_best=False,
            validation_interval=self.epochs,  # once, in the end
            silent=True,
        )
        result = train(network, self.train, params, valid=self.valid, key=order)
        return result.w, jnp.asarray(result.valid_loss)

    def __call__(self, settings: Settings, key: Key[Array, ""]) -> Float[Array, ""]:
        """The validation loss."""
        return self.fit(settings, key)[1]


class Tested(NamedTuple):
    """Validation losses, test losses and test errors at some seeds."""

    valid: Float[Array, " seeds"]
    losses: Float[Array, " seeds"]
    errors: Float[Array, " seeds"]


class Tuning(NamedTuple):
    """What was tuned, the best learning rate that all layers share, and tests at new seeds."""

    tuned: Tuned
    swept: float
    tested: dict[str, Tested]


@eqx.filter_jit
def tested_at(task: Task, settings: Settings, keys: Key[Array, " n"], test: Dataset) -> Tested:
    """Trainings at several seeds, one after another: batched convolutions with weights of their own are slow."""

    def one(key: Key[Array, ""]) -> Tested:
        network, valid_loss = task.fit(settings, key)
        outputs = jax.vmap(network)(test.x)
        losses = jax.vmap(CrossEntropyOnLinear())(outputs, test.y)
        return Tested(valid_loss, jnp.mean(losses), jnp.mean(jnp.argmax(outputs, axis=1) != test.y))

    return jax.lax.map(one, keys)


def learn(task: Task, test: Dataset, steps: int, seeds: int) -> Tuning:
    """Sweep the shared learning rate, tune all settings from its best, and test."""
    shared = {name: jnp.full(len(LAYERS), value) for name, value in START.items()}
    with_rate = lambda rate: shared | {"learning rate": jnp.full(len(LAYERS), rate)}
    found_at, new = (jax.random.split(jax.random.key(seed), seeds) for seed in (1, 2))
    means = [float(np.mean(tested_at(task, with_rate(rate), found_at, test).valid)) for rate in SWEPT]
    swept = float(SWEPT[np.nanargmin(means)])
    print(f"The best of {len(SWEPT)} learning rates that all layers share is {swept:.3g}. {steps} steps from there:")
    limits = {"friction": 1.0}
    start = {name: positive(value, limits.get(name)) for name, value in with_rate(swept).items()}
    tuned = tune(task, start, key=jax.random.key(3), steps=steps, silent=True)
    print(tuned.summary())
    found = {"shared": with_rate(swept), "for each layer": tuned.values}
    tested = {name: tested_at(task, settings, new, test) for name, settings in found.items()}
    return Tuning(tuned, swept, tested)


def load_images(rows: int) -> tuple[Dataset, Dataset, Dataset]:
    """Some of scikit-learn's handwritten digits to train with, 600 to validate and the last 897 to test."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    images = (np.asarray(pixels) - np.mean(pixels)) / np.std(pixels)
    data = Dataset(images.reshape(-1, 8, 8), np.asarray(digits)).shuffle(jax.random.key(0))
    return data[:rows], data[rows : rows + 600], data[900:]


def tell(result: Tuning) -> None:
    """Say what the settings are, and what they are worth."""
    print("".join(f"{name:>16}" for name in ("", *LAYERS)))
    for name, values in result.tuned.values.items():
        print(f"{name:>16}" + "".join(f"{float(value):16.3g}" for value in values))
    print(f"\nMean and standard deviation over {len(result.tested['shared'].losses)} new seeds:")
    for name, it in result.tested.items():
        loss, error = (f"{x.mean():.{n}} ± {x.std():.{n}}" for x, n in ((it.losses, "3f"), (it.errors, "2%")))
        print(f"settings {name:16}test loss {loss}   test error {error}")


def draw(result: Tuning, out: Path) -> None:
    """Draw the settings of the layers, and the test losses, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(START) + 2, figsize=(15, 3.5), layout="constrained")
    for panel, (name, values) in zip(axes, result.tuned.values.items(), strict=False):
        panel.plot(result.tuned.start[name].value, "o--", color="tab:gray", label="shared")
        panel.plot(values, "o-", color="tab:red", label="tuned")
        panel.set(title=name, yscale="log")
        panel.set_xticks(range(len(LAYERS)), [layer.replace("olution", ".") for layer in LAYERS], rotation=30)
    axes[0].legend()
    for i, it in enumerate(result.tested.values()):
        axes[-1].plot(np.full(len(it.losses), i), it.losses, "o", alpha=0.5, color=("tab:gray", "tab:red")[i])
    axes[-1].set_xticks(range(2), ["shared", "tuned"])
    axes[-1].set(title="test loss at new seeds", xlim=(-0.5, 1.5))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Tuning:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200, help="training images, at most 300 (default 200)")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of a training (default 30)")
    parser.add_argument("--steps", type=int, default=40, help="steps of `tune` (default 40)")
    parser.add_argument("--seeds", type=int, default=8, help="new seeds to test at (default 8)")
    parser.add_argument("--out", type=Path, default=Path("out/lenet_layers.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    train_data, valid, test = load_images(options.rows)
    print(f"{len(train_data)} images to learn from, {len(valid)} to tune by, {len(test)} to test.")
    result = learn(Task(train_data, valid, options.epochs), test, options.steps, options.seeds)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
