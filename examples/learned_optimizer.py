"""A learned optimizer: a small network says each weight's step, and is trained through trainings of 50 steps.

The network sees, for each weight by itself, its gradient and three running means of it, in units of the gradient's
root mean square, and which step it is; it says the direction of the weight's step and the logarithm of its length (as
in Metz et al. 2019, "Understanding and correcting pathologies in the training of learned optimizers"). To Hype it is
a learning rate like any other. It is learned on the ten problems of telling apart three of the digits 0 to 4, with new
first weights at each step, by the exact derivative of where 50 steps lead. It is tested on the ten problems of three
of the digits 5 to 9, beside Adam with the best of 24 rates for those very problems.

    python examples/learned_optimizer.py
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import (
    AbstractLearningRate,
    Adam,
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    NormClip,
    Params,
    Stochastic,
    train,
)
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

STEPS, RATES = 50, jnp.geomspace(0.002, 0.3, 24)
DECAYS = jnp.array([0.5, 0.9, 0.99, 0.95])  # of the means of gradients, and of their squares


class Learned(AbstractLearningRate):
    """Each weight's step by a network that sees its gradients."""

    network: FeedForward

    def init(self, w: Any) -> Any:
        """Four running means for each weight, and the number of steps."""
        return jax.tree.map(lambda x: jnp.zeros((*x.shape, 4)), w), jnp.array(0.0)

    def update(self, direction: Any, memory: Any, iterate: Any) -> Any:
        """What the network says."""
        mean = lambda g, m: DECAYS * m + (1 - DECAYS) * jnp.stack([g, g, g, g**2], axis=-1)
        means, step = jax.tree.map(mean, direction, memory[0]), memory[1] + 1

        def one(g: Float[Array, ""], means: Float[Array, "4"]) -> Float[Array, ""]:
            unbiased = means / (1 - DECAYS**step)
            seen = jnp.append(unbiased[:3], g) / jnp.sqrt(unbiased[3] + 1e-16)
            along, length = self.network(jnp.append(seen, 2 * step / STEPS - 1))
            return 0.02 * along * jnp.exp(length)

        return jax.tree.map(jnp.vectorize(one, signature="(),(k)->()"), direction, means), (means, step)


def network(inputs: int, hidden: int, outputs: int, key: Any) -> FeedForward:
    """Two layers with new weights."""
    first, last = jax.random.split(key)
    return FeedForward([Linear(inputs, hidden, key=first), jnp.tanh, Linear(hidden, outputs, key=last)])


def losses(digits: range, rate: AbstractLearningRate, seed: Any) -> Float[Array, "problems steps"]:
    """The loss before each step and at the end, in learning to tell apart each three of some digits."""
    x, y = load_digits(return_X_y=True)
    rows = [np.concatenate([np.flatnonzero(y == d)[:40] for d in three]) for three in combinations(digits, 3)]

    settings = {"loss": CrossEntropyOnLinear(), "regularization": L2Reg(1e-3), "return_best": False, "silent": True}

    def one(x: Float[Array, "120 64"], key: Any) -> Float[Array, " steps"]:
        data = Dataset(x, jnp.repeat(jnp.arange(3), 40))
        result = train(network(64, 10, 3, key), data, Params(STEPS, None, rate, **settings))
        return jnp.append(result.loss_history, result.loss)

    return jax.vmap(one)(jnp.asarray(x[np.array(rows)] / 16, float), jax.random.split(jax.random.key(seed), 10))


def main(meta_steps: int = 300, draws: int = 10, out: str = "out/learned_optimizer.png") -> tuple[Array, Array]:
    """Learn, compare and draw; gives the losses of the learned optimizer, and those of Adam with its best rate."""
    end = lambda w, seed: jnp.mean(jnp.log(losses(range(5), Learned(w), seed)[:, -1]))
    params = Params(1, None, Adam(0.003), gradient_clipping=NormClip(1.0), batch=Stochastic(), loss=lambda x, _: x)
    model, seeds = jax.tree_util.Partial(end, network(5, 20, 2, jax.random.key(0))), jnp.arange(meta_steps)
    outer = train(model, Dataset(seeds, seeds), params)
    each = jax.jit(lambda rate: jax.lax.map(lambda seed: losses(range(5, 10), rate, seed), 10**6 + jnp.arange(draws)))
    test = lambda rate: each(rate).reshape(-1, STEPS + 1)
    rate, adam = min(((rate, test(Adam(rate))) for rate in RATES), key=lambda pair: pair[1][:, -1].mean())
    learned = test(Learned(outer.w.args[0]))
    axes = (figure := Figure(layout="constrained")).subplots()
    for name, runs in (("learned", learned), (f"Adam({rate:.3f})", adam)):
        print(f"{name}: loss {runs[:, -1].mean():.4f}, standard deviation over runs {runs[:, -1].std():.4f}")
        axes.fill_between(range(STEPS + 1), *jnp.quantile(runs, jnp.array([0.1, 0.9]), axis=0), alpha=0.3)
        axes.plot(runs.mean(axis=0), label=name)
    print(f"The learned one ends lower in {(learned[:, -1] < adam[:, -1]).mean():.0%} of the runs.")
    print(f"It is where Adam ends after {jnp.argmax(learned.mean(axis=0) < adam[:, -1].mean())} of {STEPS} steps.")
    axes.set(title="Three digits never seen: mean and 80 % of the runs", xlabel="step", ylabel="loss", yscale="log")
    axes.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    print(f"The picture is in {out}.")
    return learned, adam


if __name__ == "__main__":
    main()
