"""Adam's rate and both of its betas, tuned by their exact hypergradients.

The people who tried this with other libraries got zeros (the optimizer cut its own hyperparameters out of the graph),
NaN (the square root of a second moment that is zero) or ran out of memory. Here a training under `Adam(rate, beta1,
beta2)` is a function of three numbers like any other: rate in logarithms, betas in logits, the loss on validation
data at the end of the run minimized by Adam itself.

    python examples/adam_betas.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import (
    Adam,
    CrossEntropyOnLinear,
    Dataset,
    Minibatch,
    NoReg,
    NormClip,
    Params,
    Result,
    minimize,
    positive,
    train,
    unit_interval,
)
from jaxtyping import Array, Float
from sklearn.datasets import load_digits


class Tuned(NamedTuple):
    """Adam as the paper sets it and as it was tuned, with the loss on validation and on test data under each."""

    default: Adam
    tuned: Adam
    valid_losses: tuple[float, ...]
    test_losses: tuple[float, ...]
    outer: Result
    curves: tuple[Float[Array, " steps"], ...]


def solve(rows: int, hidden: int, epochs: int, outer_steps: int) -> Tuned:
    """Tune, and compare on data that neither the training nor the tuning has seen."""
    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits)).shuffle(key=jax.random.key(0))
    parts = data[:rows], data[rows : 2 * rows], data[2 * rows : 3 * rows]
    train_data, valid_data, test_data = parts
    keys = jax.random.split(jax.random.key(1), 3)
    network = FeedForward([Linear(64, hidden, key=keys[0]), jnp.tanh, Linear(hidden, 10, key=keys[1])])

    def run(adam: Adam) -> Result:
        params = Params(
            epochs,
            learning_rate=adam,
            loss=CrossEntropyOnLinear(),
            regularization=NoReg(),
            batch=Minibatch(min(50, rows)),
            return_best=False,
            silent=True,
        )
        return train(network, train_data, params, key=keys[2])

    def loss_on(data: Dataset, adam: Adam) -> Float[Array, ""]:
        predictions = jax.vmap(run(adam).w)(data.x)
        return jnp.mean(jax.vmap(CrossEntropyOnLinear())(predictions, data.y))

    default = Adam(positive(0.001), unit_interval(0.9), unit_interval(0.999))
    gradient = jax.jit(jax.grad(lambda adam: loss_on(valid_data, adam)))(default)
    print("Derivative of the validation loss at the paper's setting, in logarithm and logits:")
    print(f"  rate {gradient.rate.raw:+.4f}, beta1 {gradient.beta1.raw:+.4f}, beta2 {gradient.beta2.raw:+.4f}\n")
    params = Params(
        outer_steps, learning_rate=Adam(0.3), gradient_clipping=NormClip(1.0), keep_w_history=True, silent=True
    )
    outer = minimize(lambda adam: loss_on(valid_data, adam), default, params)
    losses = [[float(loss_on(part, adam)) for adam in (default, outer.w)] for part in (valid_data, test_data)]
    print(f"{'':16}  {'rate':>8}  {'beta1':>8}  {'beta2':>8}  validation loss  test loss")
    for name, adam, valid, test in zip(("the paper's", "tuned"), (default, outer.w), *losses, strict=True):
        values = f"{adam.rate.value:8.5f}  {adam.beta1.value:8.5f}  {adam.beta2.value:8.5f}"
        print(f"{name:16}  {values}  {valid:15.4f}  {test:9.4f}")
    print(f"After {epochs} epochs the tuned test loss is {losses[1][0] / losses[1][1]:.2f} times lower.")
    curves = tuple(run(adam).loss_history for adam in (default, outer.w))
    return Tuned(default, outer.w, tuple(losses[0]), tuple(losses[1]), outer, curves)


def draw(result: Tuned, out: Path) -> None:
    """Draw the paths of the three hyperparameters and the loss curves."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    path, best = result.outer.w_history, int(np.argmin(result.outer.loss_history))
    for axes, values, label, color in (
        (left, path.rate.value, "rate", "tab:blue"),
        (middle, 1 - path.beta1.value, r"$1 - \beta_1$", "tab:orange"),
        (middle, 1 - path.beta2.value, r"$1 - \beta_2$", "tab:green"),
    ):
        axes.plot(values, label=label, color=color)
        axes.plot(best, values[best], "*", color="tab:red", markersize=12)
    left.set(title="rate (star: the best, taken as tuned)", xlabel="outer step", ylabel="rate", yscale="log")
    middle.set(title="betas", xlabel="outer step", ylabel="one minus beta", yscale="log")
    middle.legend()
    for name, color, curve in zip(("the paper's", "tuned"), ("tab:gray", "tab:red"), result.curves, strict=True):
        right.plot(curve, label=name, color=color)
    right.set(title="training loss of a minibatch", xlabel="step", ylabel="cross entropy", yscale="log")
    right.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Tuned:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500, help="images for training, for validation and for test each")
    parser.add_argument("--hidden", type=int, default=50, help="hidden units")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of a training")
    parser.add_argument("--outer-steps", type=int, default=40, help="steps of the tuning")
    parser.add_argument("--out", type=Path, default=Path("out/adam_betas.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    result = solve(options.rows, options.hidden, options.epochs, options.outer_steps)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
