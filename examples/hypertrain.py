"""Train a network, then train the schedule of learning rates that it is trained with.

A tanh network with one hidden layer is trained by stochastic gradient descent with Nesterov momentum, under a schedule
with one learning rate per step. The training loss at the end of the run is a function of that schedule, and its
gradient with respect to all of the rates at once (the hypergradient) comes from one reverse pass through the whole
training. So the schedule is trained like weights are. It is compared with the best constant rate, found by trying two
dozen of them in one `vmap`.

    python examples/hypertrain.py                                            # scikit-learn's handwritten digits
    python examples/hypertrain.py --data /usr/share/datasets/fashion-mnist   # files in MNIST's format
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import (
    CrossEntropyOnLinear,
    Dataset,
    Minibatch,
    Nesterov,
    NoReg,
    NormClip,
    Params,
    Result,
    RMSProp,
    Status,
    StepSchedule,
    load_mnist,
    minimize,
    positive,
    train,
)
from jaxtyping import Array, Float

RATES = np.geomspace(0.003, 3.0, 24)


class Comparison(NamedTuple):
    """The run under the best constant rate and the run under the learned schedule."""

    constant: Result
    constant_rates: Float[Array, " steps"]
    learned: Result
    learned_rates: Float[Array, " steps"]
    outer: Result
    errors: tuple[float, float]  # of the two runs, on the test data

    @property
    def factor(self) -> float:
        """How many times smaller the learned schedule's training loss is."""
        return float(self.constant.loss / self.learned.loss)


def load_digits(seed: int) -> tuple[Dataset, Dataset]:
    """1,200 training and 597 test images of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits))
    train_data, test_data = data.split([1200, len(data) - 1200], key=jax.random.key(seed))
    return train_data, test_data


def hypertrain(
    train_data: Dataset, test_data: Dataset, hidden: int, steps: int, outer_steps: int, seed: int
) -> Comparison:
    """Find the best constant rate, then a better schedule, and say so."""
    init_key, shuffle_key = jax.random.split(jax.random.key(seed))
    keys = jax.random.split(init_key, 2)
    pixels, num_classes = train_data.x.shape[1], int(train_data.y.max()) + 1
    network = FeedForward([Linear(pixels, hidden, key=keys[0]), jnp.tanh, Linear(hidden, num_classes, key=keys[1])])

    def run(schedule: StepSchedule, data: Dataset) -> Result:
        params = Params(
            learning_rate=schedule,
            momentum=Nesterov(0.9),
            loss=CrossEntropyOnLinear(),
            regularization=NoReg(),
            batch=Minibatch(min(100, len(train_data))),
            return_best=False,
            silent=True,
        )
        return train(network, data, params, key=shuffle_key)

    def final_loss(schedule: StepSchedule, data: Dataset) -> Float[Array, ""]:
        return run(schedule, data).loss

    def test_error(result: Result) -> float:
        predicted = jnp.argmax(jax.vmap(result.w)(test_data.x), axis=1)
        return float(np.mean(np.asarray(predicted) != np.asarray(test_data.y)))

    print(f"{len(train_data):,} training and {len(test_data):,} test images.")
    print(f"A {pixels}-{hidden}-{num_classes} network, {steps} steps of {min(100, len(train_data))} images.\n")
    start = time.perf_counter()
    constant = lambda rate, data: final_loss(StepSchedule(jnp.full(steps, rate)), data)
    losses = jax.jit(jax.vmap(constant, in_axes=(0, None)))(jnp.asarray(RATES), train_data)
    best_rate = RATES[np.nanargmin(np.asarray(losses))]
    print(f"Tried {len(RATES)} constant rates from {RATES[0]:g} to {RATES[-1]:g} in one program ({seconds(start)}):")
    print(f"  the best is {best_rate:.3g}, with training loss {np.nanmin(losses):.5f}.\n")

    print(f"Training the {steps} rates of a schedule, from that constant rate, for {outer_steps} outer steps:")
    start = time.perf_counter()
    rates = positive(jnp.full(steps, best_rate))  # moved in logarithms, so they stay positive
    # A hypergradient can explode where a training is close to diverging, so its length is clipped.
    outer_params = Params(outer_steps, learning_rate=RMSProp(0.03, 0.9), gradient_clipping=NormClip(1.0))
    objective = jax.tree_util.Partial(lambda data, schedule: final_loss(schedule, data), train_data)
    outer = minimize(objective, StepSchedule(rates), outer_params)
    history = np.asarray(outer.loss_history)[: int(outer.steps)]
    worse = int(np.sum(np.diff(history) > 0))
    print(
        f"  done in {seconds(start)}. {worse} of {len(history)} steps made the loss larger; the best schedule was kept."
    )
    if outer.status == Status.DIVERGED:
        print(f"  {Status[outer.status]}")

    schedules = jnp.full(steps, best_rate), outer.w.rates.value
    before, after = (run(StepSchedule(rates), train_data) for rates in schedules)
    result = Comparison(before, schedules[0], after, schedules[1], outer, (test_error(before), test_error(after)))
    print(f"\n{'':24}training loss   test error")
    print(f"best constant rate       {before.loss:12.5f}   {result.errors[0]:9.2%}")
    print(f"learned schedule         {after.loss:12.5f}   {result.errors[1]:9.2%}")
    print(f"The learned schedule ends {result.factor:.2f} times lower than the best constant rate.")
    return result


def seconds(start: float) -> str:
    """How long it has been since `start`."""
    return f"{time.perf_counter() - start:.1f} s"


def draw(result: Comparison, out: Path) -> None:
    """Draw the two schedules, the two loss curves and the progress of the outer loss into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (schedules, losses, progress) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for label, color, rates, run in (
        ("best constant", "tab:gray", result.constant_rates, result.constant),
        ("learned", "tab:red", result.learned_rates, result.learned),
    ):
        schedules.plot(rates, color=color, label=label)
        losses.plot(run.loss_history, color=color, label=f"{label}: {run.loss:.4g} at the end", alpha=0.8)
    progress.plot(result.outer.loss_history, color="tab:red")
    progress.axhline(float(result.constant.loss), color="tab:gray", linestyle="--", label="best constant")
    schedules.set(title="learning rate", xlabel="step", yscale="log")
    losses.set(title="loss of the step's minibatch", xlabel="step", yscale="log")
    progress.set(title="training loss at the end of a run", xlabel="outer step", yscale="log")
    for axes in (schedules, losses, progress):
        axes.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Comparison:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a directory with MNIST-format files")
    parser.add_argument("--rows", type=int, default=10_000, help="training images to use of those")
    parser.add_argument("--steps", type=int, default=200, help="steps of a training (default 200)")
    parser.add_argument("--outer-steps", type=int, default=50, help="steps of the schedule's training (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="draws the weights and the order of the data")
    parser.add_argument("--out", type=Path, default=Path("out/hypertrain.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    for name in ("rows", "steps", "outer_steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(options, name)}")
    if options.data is None:
        train_data, test_data, hidden = *load_digits(options.seed), 100
    else:
        try:
            train_data, test_data = load_mnist(options.data)
        except (OSError, ValueError) as error:
            parser.error(str(error))
        train_data, hidden = train_data[: options.rows], 300
    result = hypertrain(train_data, test_data, hidden, options.steps, options.outer_steps, options.seed)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
