"""How large first weights should be: the scale of each layer, learned by its hypergradient.

The first weights of a deep tanh network are drawn from normal distributions, one for each layer, whose standard
deviations are what is learned: the floats of an initializer are leaves of a pytree, and what it draws is a smooth
function of them. The validation loss after a few steps of gradient descent, averaged over several seeds, is
differentiated with respect to them, through the training and the drawing (as Maclaurin et al. 2015, "Gradient-based
hyperparameter optimization through reversible learning", section 3.1, do with the training loss). One search starts
with scales that are far too small, one with scales that are far too large. They are compared with the rule of thumb
that a standard deviation be one over the root of the number of inputs (LeCun et al. 1998, "Efficient BackProp", section
4.6).

    python examples/initialization_scales.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, InitRBM, Linear
from hype_optim import (
    Adam,
    CrossEntropyOnLinear,
    Dataset,
    Momentum,
    NoReg,
    Params,
    minimize,
    positive,
    train,
)
from jaxtyping import Array, Float, Key

STARTS = {"small": 0.02, "large": 0.6}
Images = tuple[Dataset, Dataset]


class Search(NamedTuple):
    """What one search went through: the scales and the loss after training, at each of its steps."""

    scales: Float[np.ndarray, "outer_steps layers"]
    losses: Float[np.ndarray, " outer_steps"]


class Scales(NamedTuple):
    """The two searches, by where they start; the rule of thumb; and the loss after training under the latter."""

    searches: dict[str, Search]
    rule: Float[np.ndarray, " layers"]
    rule_loss: float


def load_images() -> Images:
    """300 of scikit-learn's handwritten digits to train with and 900 to validate, with mean 0 and variance 1."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset((np.asarray(pixels) - np.mean(pixels)) / np.std(pixels), np.asarray(digits))
    data = data.shuffle(jax.random.key(0))
    return data[:300], data[300:1200]


def loss_after_training(
    initializers: list[InitRBM], seed: Key[Array, ""], data: Images, sizes: tuple[int, ...], steps: int
) -> Float[Array, ""]:
    """Draw a network, train it, and give its validation loss."""
    keys = jax.random.split(seed, len(initializers))
    linear = [Linear(sizes[i], sizes[i + 1], initializer, key=keys[i]) for i, initializer in enumerate(initializers)]
    network = FeedForward([layer for each in linear[:-1] for layer in (each, jnp.tanh)] + linear[-1:])
    params = Params(
        steps,
        learning_rate=0.1,
        momentum=Momentum(0.9),
        loss=CrossEntropyOnLinear(),
        regularization=NoReg(),
        return_best=False,
        silent=True,
    )
    return jnp.asarray(train(network, data[0], params, valid=data[1]).valid_loss)


def search(hidden: int, steps: int, outer_steps: int, num_seeds: int) -> Scales:
    """Learn the scales from both starts."""
    data, seeds = load_images(), jax.random.split(jax.random.key(1), num_seeds)
    sizes = (data[0].x.shape[1], hidden, hidden, hidden, 10)
    rule = np.array(sizes[:-1]) ** -0.5

    def mean_loss(data: Images, initializers: list[InitRBM]) -> Float[Array, ""]:
        each = lambda seed: loss_after_training(initializers, seed, data, sizes, steps)
        return jnp.mean(jax.vmap(each)(seeds))

    print(
        f"A network of {len(rule)} layers, {' - '.join(map(str, sizes))}; {steps} steps a training; {num_seeds} seeds."
    )
    objective = jax.tree_util.Partial(mean_loss, data)
    params = Params(outer_steps, learning_rate=Adam(0.1), keep_w_history=True, return_best=False)
    searches = {}
    for name, std in STARTS.items():
        outer = minimize(objective, [InitRBM(positive(std)) for _ in rule], params)
        scales = np.stack([initializer.std.value for initializer in outer.w_history], axis=1)
        searches[name] = Search(scales, np.asarray(outer.loss_history))
    rule_loss = float(jax.jit(objective)([InitRBM(std) for std in rule]))
    return Scales(searches, rule, rule_loss)


def tell(result: Scales) -> None:
    """Say where the searches ended."""
    print("\nstandard deviations times the root of the number of inputs:")
    print(f"{'':24}{'  '.join(f'layer {k + 1}' for k in range(len(result.rule)))}   loss after training")
    print(f"{'rule of thumb':24}{'  '.join(f'{1:7.2f}' for _ in result.rule)}   {result.rule_loss:19.4f}")
    for name, found in result.searches.items():
        for when, row in (("start", 0), ("end", -1)):
            relative = "  ".join(f"{x:7.2f}" for x in found.scales[row] / result.rule)
            print(f"{f'{name}, at the {when}':24}{relative}   {found.losses[row]:19.4f}")


def draw(result: Scales, out: Path) -> None:
    """Draw the scales and the loss over the steps of the searches into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (scales, losses) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(result.rule)))
    for (name, found), style, color in zip(result.searches.items(), ("-", "--"), ("tab:blue", "tab:red"), strict=True):
        for k, layer_color in enumerate(colors):
            label = f"layer {k + 1}" if style == "-" else None
            scales.plot(found.scales[:, k] / result.rule[k], style, color=layer_color, label=label)
        losses.plot(found.losses, style, color=color, label=f"from scales that are too {name}")
    scales.axhline(1, color="black", linewidth=0.8, label="rule of thumb")
    losses.axhline(result.rule_loss, color="black", linewidth=0.8, label="rule of thumb")
    scales.set(title="standard deviation, relative to the rule of thumb", xlabel="outer step", yscale="log")
    losses.set(title="validation loss after a training", xlabel="outer step", yscale="log")
    scales.legend(ncols=2, loc="lower right", title="dashed: from scales that are too large")
    losses.legend()
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2, 5]
    for axes in (scales, losses):
        axes.set_yticks(ticks, map(str, ticks))
        axes.minorticks_off()
    scales.set_ylim(0.1, 6)
    losses.set_ylim(bottom=0.15)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Scales:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=50, help="size of the three hidden layers (default 50)")
    parser.add_argument("--steps", type=int, default=30, help="steps of a training (default 30)")
    parser.add_argument("--outer-steps", type=int, default=60, help="steps of a search (default 60)")
    parser.add_argument("--seeds", type=int, default=4, help="first weights to average over (default 4)")
    parser.add_argument(
        "--out", type=Path, default=Path("out/initialization_scales.png"), help="where to put the picture"
    )
    options = parser.parse_args(argv)
    result = search(options.hidden, options.steps, options.outer_steps, options.seeds)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
