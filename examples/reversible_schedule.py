"""A learning rate for every step and every array of a network, by a training that is run backwards.

The experiment of Maclaurin et al. 2015, "Gradient-based hyperparameter optimization through reversible learning",
section 3.1, with their adjoint: a network of four layers is trained for 100 steps with momentum 0.9, each of its eight
arrays (four matrices, four biases) has a learning rate of its own at each step, and the hypergradient with respect to
all 800 comes from the training run backwards bit for bit, which keeps a seventh of a bit of each weight and step.
The training loss at the end is minimized for one seed, as there; what the rates are worth at others is shown too
(`layer_schedules.py` learns rates for all seeds).

    python examples/reversible_schedule.py                                            # scikit-learn's digits
    python examples/reversible_schedule.py --data /usr/share/datasets/fashion-mnist   # files in MNIST's format
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, InitTanh, Linear
from hype_optim import (
    AbstractAdjoint,
    Adam,
    Checkpointed,
    CrossEntropyOnLinear,
    Dataset,
    Minibatch,
    Momentum,
    NoReg,
    NormClip,
    Params,
    Result,
    Reversible,
    StepSchedule,
    load_mnist,
    minimize,
    train,
)
from jaxtyping import Array, Float, Key

REVERSIBLE = Reversible(least_momentum=0.89)
OTHER_SEEDS = 8


class Schedule(NamedTuple):
    """Learned rates, and the trainings with the first ones and with these.

    Attributes:
        start: the rate that all begin with.
        rates: the learned ones, in a `FeedForward` with one array of them in the place of each array of weights.
        before: the training with the first rates.
        after: that with the learned ones.
        others: the training losses at the end for other seeds, with the first rates and with the learned ones.
        difference: by how much the first hypergradient differs from that of `Checkpointed`, relative to it.
        memory: the temporary bytes of the hypergradient, by adjoint.
    """

    start: float
    rates: FeedForward
    before: Result
    after: Result
    others: Float[np.ndarray, "2 seeds"]
    difference: float
    memory: dict[str, int]


def load_images(folder: Path | None) -> Dataset:
    """Some images and their classes."""
    if folder is not None:
        return load_mnist(folder)[0][:2_000]
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return Dataset(np.asarray(pixels) / 16, np.asarray(digits)).shuffle(jax.random.key(0))[:1200]


def new_network(seed: Key[Array, ""], pixels: int, hidden: int) -> FeedForward:
    """Four layers with new weights."""
    sizes, keys = (pixels, hidden, hidden, hidden, 10), jax.random.split(seed, 4)
    layers = [Linear(sizes[i], sizes[i + 1], InitTanh(), key=keys[i]) for i in range(4)]
    return FeedForward([layers[0], jnp.tanh, layers[1], jnp.tanh, layers[2], jnp.tanh, layers[3]])


def learn(images: Dataset, steps: int, outer_steps: int, hidden: int, start: float) -> Schedule:
    """Learn the rates of the training of one seed."""
    pixels = images.x.shape[1]

    def run(logarithms: FeedForward, adjoint: AbstractAdjoint, seed: Key[Array, ""]) -> Result:
        init_key, shuffle_key = jax.random.split(seed)
        params = Params(
            learning_rate=StepSchedule(jax.tree.map(jnp.exp, logarithms)),
            momentum=Momentum(0.9),
            loss=CrossEntropyOnLinear(),
            regularization=NoReg(),
            batch=Minibatch(min(100, len(images))),
            adjoint=adjoint,
            return_best=False,
            silent=True,
        )
        return train(new_network(init_key, pixels, hidden), images, params, key=shuffle_key)

    seed = jax.random.key(0)
    arrays = jax.eval_shape(lambda seed: new_network(seed, pixels, hidden), seed)
    first = jax.tree.map(lambda _: jnp.full(steps, np.log(start)), arrays)

    def compiled(adjoint: AbstractAdjoint) -> jax.stages.Compiled:
        return jax.jit(jax.grad(lambda logarithms: run(logarithms, adjoint, seed).loss)).lower(first).compile()

    programs = {"Reversible": compiled(REVERSIBLE), "Checkpointed": compiled(Checkpointed())}
    mine, other = (jax.flatten_util.ravel_pytree(program(first))[0] for program in programs.values())
    analyses = {name: program.memory_analysis() for name, program in programs.items()}
    memory = {name: analysis.temp_size_in_bytes for name, analysis in analyses.items() if analysis}

    params = Params(outer_steps, learning_rate=Adam(0.05), gradient_clipping=NormClip(1.0))
    learned = minimize(lambda logarithms: jnp.log(run(logarithms, REVERSIBLE, seed).loss), first, params).w
    at = jax.jit(lambda logarithms, seed: run(logarithms, REVERSIBLE, seed))
    seeds = jax.random.split(jax.random.key(1), OTHER_SEEDS)
    others = np.array([[at(logarithms, other).loss for other in seeds] for logarithms in (first, learned)])
    rates = jax.tree.map(jnp.exp, learned)
    difference = float(jnp.linalg.norm(mine - other) / jnp.linalg.norm(other))
    return Schedule(start, rates, at(first, seed), at(learned, seed), others, difference, memory)


def tell(result: Schedule) -> None:
    """Say what the rates have gained, and what the reversible training is worth."""
    before, after = result.others
    print(f"\nTraining loss at the end: {result.before.loss:.4f} with the rate {result.start:g} for all,")
    print(f"{result.after.loss:.4f} with the learned ones; for {len(before)} other seeds in the geometric mean")
    print(f"{np.exp(np.log(before).mean()):.4f} and {np.exp(np.log(after).mean()):.4f}.")
    print(f"The first hypergradient differs from that of Checkpointed() by {result.difference:.1e} of it,")
    memory = " and ".join(f"{size / 1e6:.1f} MB ({name})" for name, size in result.memory.items())
    print(f"and needs {memory}.")


def draw(result: Schedule, out: Path) -> None:
    """Draw the rates of each layer, and the loss curves, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.9, 4))
    axes[1].sharey(axes[0])
    for panel, name, plural in zip(axes, ("weight", "bias"), ("weights", "biases"), strict=False):
        for k, layer in enumerate(result.rates.layers[::2]):
            panel.plot(getattr(layer, name), color=colors[k], label=f"layer {k + 1}")
        panel.axhline(result.start, color="tab:gray", linestyle="--", label="start")
        panel.set(title=f"learning rates of the {plural}", xlabel="step", yscale="log")
    axes[0].legend(ncols=2, fontsize="small")
    for label, color, run in (("first rates", "tab:gray", result.before), ("learned", "tab:red", result.after)):
        axes[2].plot(run.loss_history, color=color, label=label)
    axes[2].set(title="loss of the step's minibatch", xlabel="step", yscale="log")
    axes[2].legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Schedule:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with files in MNIST's format")
    parser.add_argument("--hidden", type=int, default=50, help="size of the three hidden layers (default 50)")
    parser.add_argument("--steps", type=int, default=100, help="steps of a training (default 100)")
    parser.add_argument("--outer-steps", type=int, default=50, help="steps of the rates' training (default 50)")
    parser.add_argument("--rate", type=float, default=0.03, help="what all rates begin with (default 0.03)")
    parser.add_argument(
        "--out", type=Path, default=Path("out/reversible_schedule.png"), help="where to put the picture"
    )
    options = parser.parse_args(argv)
    result = learn(load_images(options.data), options.steps, options.outer_steps, options.hidden, options.rate)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
