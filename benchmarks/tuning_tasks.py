"""Five tasks of tuning, with 7 to 900 settings each: what is minimized is the validation loss after a training.

All are small enough for hundreds of trainings in a minute. Data are scikit-learn's handwritten digits; those of the
last task are Fashion-MNIST, if its files are there.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, InitNormal, Linear
from hype_optim import (
    CrossEntropyOnLinear,
    Dataset,
    ExpDecay,
    L2Reg,
    Minibatch,
    Momentum,
    NoReg,
    Params,
    WindowSchedule,
    load_mnist,
    minimize,
    positive,
    train,
    unit_interval,
)
from jaxtyping import Array, Float, PyTree
from sklearn.datasets import load_digits

WINDOWS = 20


class Split(NamedTuple):
    """What is learned from, what settings are tuned on, and what neither has seen."""

    train: Dataset
    valid: Dataset
    test: Dataset


class Task(NamedTuple):
    """Settings to tune, all of them ranges, and the training that maps their values and a key to a model."""

    start: PyTree
    train: Callable[[PyTree, Array], Callable]
    data: Split

    def loss(self, settings: PyTree, key: Array) -> Float[Array, ""]:
        """The validation loss, which is minimized."""
        return mean_loss(self.train(settings, key), self.data.valid)

    def loss_and_error(self, settings: PyTree, key: Array) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The validation loss, and the part of the test images with another digit than the model says."""
        model, test = self.train(settings, key), self.data.test
        wrong = jnp.argmax(jax.vmap(model)(test.x), axis=1) != test.y
        return mean_loss(model, self.data.valid), jnp.mean(wrong.astype(jnp.float32))


def losses(model: Callable, data: Dataset) -> Float[Array, " rows"]:
    return jax.vmap(CrossEntropyOnLinear())(jax.vmap(model)(data.x), data.y)


def mean_loss(model: Callable, data: Dataset) -> Float[Array, ""]:
    return jnp.mean(losses(model, data))


def digits(seed: int, *sizes: int) -> Split:
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    parts = np.split(order, np.cumsum(sizes))
    return Split(*(Dataset(jnp.asarray(pixels[part] / 16, jnp.float32), labels[part]) for part in parts))


def train_network(data: Split, length: dict, rate_of: Callable, settings: PyTree, key: Array) -> FeedForward:
    """A hidden layer of 50, trained on minibatches of 100, with a penalty and a scale of first weights a layer."""
    first_key, last_key, order_key = jax.random.split(key, 3)
    (low, high), inputs = settings["scales"], data.train.x.shape[1]
    first = Linear(inputs, 50, InitNormal(0.0, low), key=first_key)
    last = Linear(50, 10, InitNormal(0.0, high), key=last_key)
    model = FeedForward([first, jnp.tanh, last])
    params = Params(
        **length,
        learning_rate=rate_of(settings, model),
        momentum=Momentum(settings["momentum"]),
        loss=CrossEntropyOnLinear(),
        regularization=L2Reg(settings["penalties"], where=lambda m: [m.layers[0].weight, m.layers[2].weight]),
        batch=Minibatch(100),
        return_best=False,
        silent=True,
    )
    return train(model, data.train, params, key=order_key).w


def shared() -> dict[str, PyTree]:
    return {
        "momentum": unit_interval(0.5),
        "penalties": [positive(1e-4), positive(1e-4)],
        "scales": [positive(0.1), positive(0.1)],
    }


def few() -> Task:
    """7 settings of a network: rate and decay, momentum, penalties and first weights' scales of two layers."""
    data = digits(0, 1000, 400)
    start = {"rate": positive(0.1), "decay": positive(0.001), **shared()}
    rate = lambda settings, model: ExpDecay(settings["rate"], settings["decay"])
    return Task(start, partial(train_network, data, {"epochs": 30}, rate), data)


def schedule(data: Split, steps: int) -> Task:
    """27: a rate for each of 20 windows of steps and a factor for each layer, and all else as in the first task."""
    start = {"rates": positive(jnp.full(WINDOWS, 0.1)), "layers": [positive(1.0), positive(1.0)], **shared()}

    def rate(settings: PyTree, model: FeedForward) -> WindowSchedule:
        of_layers = tuple(settings["rates"] * factor for factor in settings["layers"])
        return WindowSchedule(eqx.tree_at(lambda m: (m.layers[0], m.layers[2]), model, of_layers), steps)

    return Task(start, partial(train_network, data, {}, rate), data)


def penalties() -> Task:
    """640: a penalty for each weight of a softmax regression of 100 images."""
    data = digits(1, 100, 500)

    def run(settings: PyTree, key: Array) -> Linear:
        params = Params(
            epochs=100,
            learning_rate=0.3,
            momentum=Momentum(0.9),
            loss=CrossEntropyOnLinear(),
            regularization=L2Reg(settings["penalties"], where=lambda m: m.weight),
            return_best=False,
            silent=True,
        )
        return train(Linear(64, 10, InitNormal(0.0, 0.01), key=key), data.train, params).w

    return Task({"penalties": positive(jnp.full((10, 64), 1e-3))}, run, data)


def weights() -> Task:
    """900: a weight for each example of a softmax regression, 40% of which have a label drawn at random."""
    data, rng = digits(2, 900, 200), np.random.default_rng(3)
    drawn = np.where(rng.random(900) < 0.4, rng.integers(0, 10, 900), data.train.y)
    images = Dataset(data.train.x, drawn)
    params = Params(
        100, learning_rate=0.5, momentum=Momentum(0.9), regularization=NoReg(), return_best=False, silent=True
    )

    def run(settings: PyTree, key: Array) -> Linear:
        def loss(weight: Array, model: Linear) -> Float[Array, ""]:
            return jnp.mean(weight * losses(model, images)) + 1e-3 * jnp.sum(model.weight**2)

        model = Linear(64, 10, InitNormal(0.0, 0.01), key=key)
        return minimize(jax.tree_util.Partial(loss, settings["weights"]), model, params).w

    return Task({"weights": unit_interval(jnp.full(900, 0.5))}, run, data)


def fashion(directory: str) -> Task:
    """The 27 settings on 2,000 images of Fashion-MNIST, with 1,000 more to tune on and 2,000 to test."""
    images, test = load_mnist(directory)
    return schedule(Split(images[:2000], images[2000:3000], test[:2000]), 200)


TASKS = {
    "a": few,
    "b": lambda: schedule(digits(0, 1000, 400), 300),
    "c": penalties,
    "d": weights,
}
