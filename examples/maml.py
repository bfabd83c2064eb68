"""Weights to learn from: MAML (Finn, Abbeel & Levine 2017, section 5.1) on sine waves, 25 tasks at each step.

A task is a wave of random amplitude and phase, seen at ten points. What is learned are the first weights of a network
from which one step of gradient descent, of length 0.01, fits a wave best at ten other points: the derivative of the
error after a `minimize` with respect to where it begins, over 25 tasks by `vmap`. For new waves, table 1 of Li et al.
2017 ("Meta-SGD") has an error of 0.77 ± 0.11 for it, and 0.53 ± 0.09 where each weight has a learned rate of its own,
which is one argument more here; both with 4 tasks a step.

    python examples/maml.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import (
    AbstractLearningRate,
    Adam,
    Constant,
    Dataset,
    Minibatch,
    NoReg,
    Params,
    minimize,
    positive,
    train,
)
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure

GRID = jnp.linspace(-5, 5, 100)[:, None]


def wave(seed: Int[Array, ""], x: Float[Array, "points 1"]) -> Float[Array, "points 1"]:
    """A sine wave at some points."""
    amplitude, phase = jax.random.uniform(jax.random.key(seed), (2,))
    return (0.1 + 4.9 * amplitude) * jnp.sin(x - jnp.pi * phase)


def points(seed: Int[Array, ""], shots: int) -> Float[Array, "2 shots 1"]:
    """Where it is seen, and where what was learned is judged."""
    return jax.random.uniform(jax.random.fold_in(jax.random.key(seed), 1), (2, shots, 1), minval=-5, maxval=5)


def new_network(key: Array) -> FeedForward:
    """Two hidden layers of 40."""
    keys = jax.random.split(key, 3)
    layers = [Linear(1, 40, key=keys[0]), Linear(40, 40, key=keys[1]), Linear(40, 1, key=keys[2])]
    return FeedForward([layers[0], jax.nn.relu, layers[1], jax.nn.relu, layers[2]])


def error(seed: Int[Array, ""], x: Float[Array, "points 1"], network: FeedForward) -> Float[Array, ""]:
    """The mean squared error at some points of a wave."""
    return jnp.mean((jax.vmap(network)(x) - wave(seed, x)) ** 2)


def adapted(network: FeedForward, rate: AbstractLearningRate, seed: Int[Array, ""], shots: int) -> FeedForward:
    """The network after one step of learning a wave."""
    objective = jax.tree_util.Partial(error, seed, points(seed, shots)[0])
    params = Params(1, learning_rate=rate, return_best=False, silent=True)
    return minimize(objective, network, params).w


def main(steps: int = 20_000, shots: int = 10, tests: int = 1000, out: str = "out/maml.png") -> dict[str, list[Array]]:
    """Learn and draw; gives the error on each new wave after 1 to 10 steps."""
    network = new_network(jax.random.key(0))
    rates = jax.tree.map(lambda w: positive(jnp.full(w.shape, 0.01)), network)

    def judged(network: FeedForward, rates: FeedForward | float, seed: Int[Array, ""]) -> Float[Array, ""]:
        return error(seed, points(seed, shots)[1], adapted(network, Constant(rates), seed, shots))

    fixed = jax.tree_util.Partial(lambda network, seed: judged(network, 0.01, seed), network)
    outer = Params(1, None, Adam(0.001), regularization=NoReg(), batch=Minibatch(25), loss=lambda error, _: error)
    seeds = jnp.arange(25 * steps)
    learn = lambda model: train(model, Dataset(seeds, seeds), outer).w.args
    learned = {"MAML": (*learn(fixed), 0.01), "Meta-SGD": learn(jax.tree_util.Partial(judged, network, rates))}
    left, right = (figure := Figure(figsize=(10, 3.8), layout="constrained")).subplots(1, 2)
    new, errors = 10**9 + jnp.arange(tests), {}
    left.plot(GRID, wave(new[0], GRID), color="black", label="a new wave")
    left.plot(points(new[0], shots)[0], wave(new[0], points(new[0], shots)[0]), "o", color="black")
    for name, (w, rate) in learned.items():
        step = jax.jit(lambda w, seed, rate=rate: adapted(w, Constant(rate), seed, shots))
        networks, errors[name] = jax.tree.map(lambda leaf: jnp.tile(leaf, (tests, *[1] * leaf.ndim)), w), []
        for _ in range(10):
            networks = jax.vmap(step)(networks, new)
            errors[name].append(jax.vmap(lambda seed, w: error(seed, points(seed, shots)[1], w))(new, networks))
        mean, half = np.mean(errors[name], axis=1), 1.96 * np.std(errors[name], axis=1) / np.sqrt(tests)
        print(f"{name}: error {mean[0]:.2f} ± {half[0]:.2f} after one step, {mean[-1]:.2f} ± {half[-1]:.2f} after ten")
        left.plot(GRID, jax.vmap(step(w, new[0]))(GRID), label=f"{name}, one step")
        right.errorbar(range(1, 11), mean, half, label=name)
    left.set(title=f"{shots} points of a new wave", xlabel="x", ylabel="y")
    left.legend(fontsize="small")
    right.set(title=f"{tests:,} new waves", xlabel="steps of learning", ylabel="mean squared error")
    right.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    print(f"The picture is in {out}.")
    return errors


if __name__ == "__main__":
    main()
