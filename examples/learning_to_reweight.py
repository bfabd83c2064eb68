"""Learning to reweight examples, and the online loop: one step of the settings for each step of the weights.

Of 1,000 digits 40 % have a wrong label, and 100 more are known to be right. Before each step on a batch, the derivative
of the loss on the 100 after that step, in the weights of the batch's examples at zero, says which of them help; the
step is made with these weights alone (Ren et al. 2018, "Learning to reweight examples for robust deep learning",
algorithm 1). A step is a `minimize` that goes on from `state=`, and the state passes through a `lax.scan` as the
weights do. What the loop begins with is the state after a first step.

    python examples/learning_to_reweight.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import Momentum, Params, first_state, minimize
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

STEP = Params(1, learning_rate=0.15, momentum=Momentum(0.5), return_best=False, silent=True)
Examples = tuple[Float[Array, "rows 64"], Int[Array, " rows"]]


def new_network(key: Array) -> FeedForward:
    """Two layers with new weights."""
    first, last = jax.random.split(key)
    return FeedForward([Linear(64, 40, key=first), jnp.tanh, Linear(40, 10, key=last)])


def losses(data: Examples, network: FeedForward) -> Float[Array, " rows"]:
    """The cross entropy of each example."""
    return -jnp.take_along_axis(jax.nn.log_softmax(jax.vmap(network)(data[0])), data[1][:, None], axis=1)[:, 0]


def weighted(weights: Float[Array, " rows"], batch: Examples, network: FeedForward) -> Float[Array, ""]:
    """The loss of a batch whose examples have weights."""
    return weights @ losses(batch, network)


def learned_weights(network: FeedForward, batch: Examples, trusted: Examples) -> Float[Array, " rows"]:
    """How much each example of a batch helps with the trusted ones; none less than zero, of sum 1."""

    def after(weights: Float[Array, " rows"]) -> Float[Array, ""]:
        looked_ahead = minimize(jax.tree_util.Partial(weighted, weights, batch), network, STEP)
        return jnp.mean(losses(trusted, looked_ahead.w))

    helps = jax.nn.relu(-jax.grad(after)(jnp.zeros(len(batch[1]))))
    return helps / jnp.maximum(jnp.sum(helps), 1e-12)


def run(data: Examples, trusted: Examples | None, test: Examples, steps: int) -> tuple[Array, Array]:
    """Train for some steps; gives the test error after each, and the sum of the weights that each example has had."""
    network = new_network(jax.random.key(1))
    rows = jax.random.randint(jax.random.key(2), (steps, 100), 0, len(data[1]))
    equal = jnp.full(100, 0.01)
    begin = first_state(jax.tree_util.Partial(weighted, equal, (data[0][rows[0]], data[1][rows[0]])), network, STEP)

    def step(carry: tuple, rows: Int[Array, "100"]) -> tuple:
        network, state, total = carry
        batch = data[0][rows], data[1][rows]
        weights = equal if trusted is None else learned_weights(network, batch, trusted)
        result = minimize(jax.tree_util.Partial(weighted, weights, batch), network, STEP, state=state)
        error = jnp.mean(jnp.argmax(jax.vmap(result.w)(test[0]), axis=1) != test[1])
        return (result.w, result.state, total.at[rows].add(weights)), error

    (_, _, total), errors = jax.lax.scan(step, (network, begin, jnp.zeros(len(data[1]))), rows)
    return errors, total


def main(steps: int = 1000, out: str = "out/learning_to_reweight.png") -> tuple[dict[str, Array], Array, Array]:
    """Train in three ways and draw; gives test errors, the weights of examples, and which have a wrong label."""
    x, y = load_digits(return_X_y=True)
    order, rng = np.random.default_rng(0).permutation(len(y)), np.random.default_rng(1)
    x, y = jnp.asarray(x[order] / 16, float), jnp.asarray(y[order])
    noisy = jnp.where(jnp.asarray(rng.random(1000) < 0.4), (y[:1000] + rng.integers(1, 10, 1000)) % 10, y[:1000])
    data, trusted, test = (x[:1000], noisy), (x[1000:1100], y[1000:1100]), (x[1100:], y[1100:])
    train = jax.jit(lambda data, trusted: run(data, trusted, test, steps))
    found = {"all labels": train(data, None), "the 100 alone": train(trusted, None), "weights": train(data, trusted)}
    wrong, total = noisy != y[:1000], found["weights"][1]
    left, right = (figure := Figure(figsize=(10, 3.8), layout="constrained")).subplots(1, 2)
    for name, (errors, _) in found.items():
        print(f"{name}: test error {errors[-100:].mean():.1%} in the last 100 steps, {errors.min():.1%} at best")
        left.plot(errors, label=name)
    share = total[wrong].sum() / total.sum()
    print(f"Wrong labels, {wrong.mean():.0%} of all, have {share:.0%} of the weight.")
    left.set(xlabel="step", ylabel="test error", ylim=(0, 0.4))
    left.legend()
    right.hist(
        [total[~wrong], total[wrong]], bins=30, histtype="stepfilled", alpha=0.6, label=["right label", "wrong label"]
    )
    right.set(xlabel="sum of the weights that an example had", ylabel="examples", yscale="log")
    right.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    print(f"The picture is in {out}.")
    return {name: errors for name, (errors, _) in found.items()}, total, wrong


if __name__ == "__main__":
    main()
