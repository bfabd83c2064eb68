"""Training of a `FeedForward` against a loop written by hand in plain JAX.

The job is that of training_loop.py: a 784-300-10 tanh network, 10,000 rows, batches of 100, Nesterov momentum. There
the model is a function; here it is made of layers, which must cost nothing. Both sides run on the same threads,
interleaved in one process; a row shows the ratio of the medians.

    python benchmarks/feed_forward.py
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import CrossEntropyOnLinear, Dataset, Minibatch, Nesterov, NoReg, Params
from training_loop import BATCH, DECAY, ROWS, compare, compiled, hand_written, medians

RATE = 0.05


def layers(return_best, steps, network, x, y):
    params = Params(
        steps * BATCH // ROWS,
        learning_rate=RATE,
        momentum=Nesterov(DECAY),
        loss=CrossEntropyOnLinear(),
        regularization=NoReg(),
        batch=Minibatch(BATCH),
        silent=True,
        return_best=return_best,
    )
    result = network.train(Dataset(x, y), params)
    return result.w, result.loss_history


def main(steps=1000, repeats=7):
    keys = jax.random.split(jax.random.key(0), 4)
    x, y = jax.random.normal(keys[0], (ROWS, 784)), jax.random.randint(keys[1], (ROWS,), 0, 10)
    network = FeedForward([Linear(784, 300, key=keys[2]), jnp.tanh, Linear(300, 10, key=keys[3])])
    first, last = network[0], network[2]
    w = {"W1": first.weight.T, "b1": first.bias, "W2": last.weight.T, "b2": last.bias}
    hand = lambda w, x, y: hand_written(False, jnp.full(steps, RATE), w, x, y)
    sides = {
        "hand": compiled(hand, w, x, y)[0],
        "last": compiled(partial(layers, False, steps), network, x, y)[0],
        "best": compiled(partial(layers, True, steps), network, x, y)[0],
    }
    np.testing.assert_allclose(sides["last"]()[1], sides["hand"]()[1], rtol=1e-3, atol=1e-5)
    times = medians(sides, repeats)
    for name in ("last", "best"):
        compare(f"training, {steps} steps, return {name}", times[name], times["hand"], 1.05, "s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000, help="a multiple of 100, the steps of an epoch")
    parser.add_argument("--repeats", type=int, default=7)
    main(**vars(parser.parse_args()))
