"""A learning rate for every step and every array of a deep network: 800 of them, trained by their hypergradient.

A network of four layers is trained for 100 steps of stochastic gradient descent, with momentum and clipped gradients.
Each of its eight arrays (four matrices, four biases) has a learning rate of its own at each step, as in the experiment
of Maclaurin et al. 2015, "Gradient-based hyperparameter optimization through reversible learning", section 3.1. What is
minimized is the training loss at the end. Its hypergradient is exact for one seed, one draw of the first weights and of
the order of the data, but differs much from seed to seed. So the rates are trained like a model whose examples are
seeds: on a minibatch of new ones at each step. They start well below the best constant rate, where trainings are not
chaotic, and are compared with it on other seeds.

    python examples/layer_schedules.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, InitTanh, Linear
from hype_optim import (
    AbstractRange,
    Adam,
    CrossEntropyOnLinear,
    Dataset,
    Minibatch,
    Momentum,
    NoReg,
    NormClip,
    Params,
    Result,
    StepSchedule,
    positive,
    train,
)
from jaxtyping import Array, Float, Int, Key

CONSTANT_RATES = np.geomspace(0.003, 1.0, 8)


class Schedules(NamedTuple):
    """What the best constant rate and the learned ones lead to, on seeds that the learned ones have not seen.

    Attributes:
        constant: the best rate that is the same at each step for all arrays.
        rates: the learned ones, in a `FeedForward` with one array of them in the place of each array of weights.
        before: the trainings under `constant`, a batch of results with one for each seed.
        after: those under `rates`.
        history: the mean logarithm of the training loss at the end, at each step of the rates' training.
    """

    constant: float
    rates: FeedForward
    before: Result
    after: Result
    history: Float[np.ndarray, " outer_steps"]

    @property
    def factor(self) -> float:
        """How many times lower the learned rates end, in the geometric mean over seeds."""
        return float(jnp.exp(jnp.mean(jnp.log(self.before.loss) - jnp.log(self.after.loss))))


def load_images() -> Dataset:
    """1,200 of scikit-learn's handwritten digits, 8 x 8 pixels each."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return Dataset(np.asarray(pixels, np.int32), np.asarray(digits)).shuffle(jax.random.key(0))[:1200]


def new_network(seed: Key[Array, ""], hidden: int) -> FeedForward:
    """Four layers with new weights."""
    sizes, keys = (64, hidden, hidden, hidden, 10), jax.random.split(seed, 4)
    layers = [Linear(sizes[i], sizes[i + 1], InitTanh(), key=keys[i]) for i in range(4)]
    return FeedForward([layers[0], jnp.tanh, layers[1], jnp.tanh, layers[2], jnp.tanh, layers[3]])


class Training(eqx.Module):
    """A training as a model: it maps a seed to the loss at the end, and its weights are the learning rates.

    Attributes:
        rates: a `positive` for each array of the network.
        images: as integers, so that whoever trains the rates leaves them alone.
        hidden: the size of the network's layers.
    """

    rates: FeedForward
    images: Dataset
    hidden: int = eqx.field(static=True)

    def run(self, seed: Key[Array, ""]) -> Result:
        """Train a network."""
        init_key, shuffle_key = jax.random.split(seed)
        params = Params(
            learning_rate=StepSchedule(self.rates),
            momentum=Momentum(0.9),
            loss=CrossEntropyOnLinear(),
            regularization=NoReg(),
            gradient_clipping=NormClip(1.0),
            batch=Minibatch(min(100, len(self.images))),
            return_best=False,
            silent=True,
        )
        return train(
            new_network(init_key, self.hidden),
            self.images.map_x(lambda x: x.astype(float) / 16),
            params,
            key=shuffle_key,
        )

    def __call__(self, seed: Int[Array, ""]) -> Float[Array, ""]:
        """The training loss at the end."""
        return self.run(jax.random.key(seed)).loss


@jax.jit
def runs(training: Training, seeds: Int[Array, " seeds"]) -> Result:
    """A training for each seed."""
    return jax.vmap(lambda seed: training.run(jax.random.key(seed)))(seeds)


def learn(steps: int, outer_steps: int, num_seeds: int, hidden: int) -> Schedules:
    """Find the best constant rate, and learn one for each step and array."""
    images = load_images()
    arrays = eqx.filter_eval_shape(new_network, jax.random.key(0), hidden)
    other_seeds, seeds = jnp.arange(16), 16 + jnp.arange(outer_steps * num_seeds)

    def with_rate(rate: float) -> Training:
        return Training(jax.tree.map(lambda _: positive(jnp.full(steps, rate)), arrays), images, hidden)

    losses = [float(jnp.mean(jnp.log(runs(with_rate(rate), other_seeds).loss))) for rate in CONSTANT_RATES]
    constant = float(CONSTANT_RATES[np.nanargmin(losses)])
    print(f"{len(images):,} images, {steps} steps a training. The best constant rate is {constant:.3g}.")
    print(f"Training {8 * steps:,} learning rates, from {0.3 * constant:.3g} on: {steps} for each of 8 arrays.")
    outer_params = Params(
        epochs=1,
        learning_rate=Adam(0.05),
        gradient_clipping=NormClip(1.0),
        loss=lambda loss, _: jnp.log(loss),
        regularization=NoReg(),
        batch=Minibatch(num_seeds),
        return_best=False,
    )
    outer = train(with_rate(0.3 * constant), Dataset(seeds, seeds), outer_params)
    before, after = runs(with_rate(constant), other_seeds), runs(outer.w, other_seeds)
    rates = jax.tree.map(lambda x: x.value, outer.w.rates, is_leaf=lambda x: isinstance(x, AbstractRange))
    return Schedules(constant, rates, before, after, np.asarray(outer.loss_history))


def tell(result: Schedules) -> None:
    """Say what the rates have gained."""
    print(f"\nTraining loss at the end, over {len(result.before.loss)} other seeds:   geometric mean       highest")
    for name, run in (("best constant rate", result.before), ("learned rates", result.after)):
        print(f"{name:50}{jnp.exp(jnp.mean(jnp.log(run.loss))):14.5f}{jnp.max(run.loss):14.5f}")
    print(f"The learned rates end {result.factor:.2f} times lower.")


def smooth(rates: Float[Array, " steps"], width: int = 7) -> Float[np.ndarray, " steps"]:
    """The geometric mean over a few steps around each."""
    padded = np.pad(np.log(np.asarray(rates)), width // 2, mode="edge")
    return np.exp(np.convolve(padded, np.full(width, 1 / width), mode="valid"))


def draw(result: Schedules, out: Path) -> None:
    """Draw the rates of each layer, and the loss curves, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.9, 4))
    for panel, name, plural in zip(axes, ("weight", "bias"), ("weights", "biases"), strict=False):
        for k, layer in enumerate(result.rates.layers[::2]):
            panel.plot(getattr(layer, name), ".", color=colors[k], markersize=2, alpha=0.5)
            panel.plot(smooth(getattr(layer, name)), color=colors[k], label=f"layer {k + 1}")
        panel.axhline(result.constant, color="tab:gray", linestyle="--", label="best constant")
        panel.set(title=f"learning rates of the {plural}", xlabel="step", yscale="log")
    axes[1].sharey(axes[0])
    axes[0].legend(ncols=2, fontsize="small")
    runs = ("best constant", "tab:gray", result.before), ("learned", "tab:red", result.after)
    for label, color, run in runs:
        curves = np.sort(np.asarray(run.loss_history), axis=0)
        axes[2].plot(np.exp(np.log(curves).mean(axis=0)), color=color, label=label)
        axes[2].fill_between(np.arange(curves.shape[1]), curves[0], curves[-1], color=color, alpha=0.2, linewidth=0)
    axes[2].set(
        title=f"loss of the step's minibatch, {len(result.after.loss_history)} other seeds", xlabel="step", yscale="log"
    )
    axes[2].legend(title="mean and range")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Schedules:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=32, help="size of the three hidden layers (default 32)")
    parser.add_argument("--steps", type=int, default=100, help="steps of a training (default 100)")
    parser.add_argument("--outer-steps", type=int, default=60, help="steps of the rates' training (default 60)")
    parser.add_argument("--seeds", type=int, default=8, help="seeds that each of those looks at (default 8)")
    parser.add_argument("--out", type=Path, default=Path("out/layer_schedules.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    result = learn(options.steps, options.outer_steps, options.seeds, options.hidden)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
