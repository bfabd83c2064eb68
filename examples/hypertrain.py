"""Train a network, then tune the schedule of learning rates that it is trained with.

A tanh network with one hidden layer is trained by stochastic gradient descent with Nesterov momentum. Its loss on
validation images after the last step is a function of the learning rates of all windows of steps, and the gradient with
respect to all of them at once (the hypergradient) comes from one reverse pass through the whole training. `tune`
follows it, each time with other first weights and another order of the data, so that it learns a schedule and not a
seed. It begins at the best of a sweep of constant, cosine and exponential schedules. What it finds is held against the
best of each kind by the loss and the error on test images, of trainings with new seeds.

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
    Params,
    StepSchedule,
    Tuned,
    WindowSchedule,
    load_mnist,
    positive,
    train,
    tune,
)
from jaxtyping import Array, Float, PRNGKeyArray

SEEDS = 12  # of trainings that judge a schedule


class Images(NamedTuple):
    """Images to train with, to tune with, and to look at only in the end."""

    training: Dataset
    validation: Dataset
    test: Dataset


class Judged(NamedTuple):
    """A schedule, and what networks trained with it at new seeds are worth on test images."""

    rates: Float[Array, " steps"]
    losses: Float[Array, " seeds"]
    errors: Float[Array, " seeds"]


class Comparison(NamedTuple):
    """The schedules by their names, the learned one last, and how that was tuned."""

    schedules: dict[str, Judged]
    tuned: Tuned


def load_digits(seed: int) -> Images:
    """800 training, 500 validation and 497 test images of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits))
    return Images(*data.split([800, 500, len(data) - 1300], key=jax.random.key(seed)))


def families(steps: int) -> dict[str, Float[Array, "schedules steps"]]:
    """The schedules that are tried: constant rates, cosines down to zero, and exponentials down to a part."""
    time = jnp.linspace(0, 1, steps)[None]
    peaks = jnp.geomspace(0.01, 2.0, 16)[:, None]
    cosine = peaks * (1 + jnp.cos(jnp.pi * time)) / 2 + 1e-6
    exponential = jnp.concatenate([peaks * part**time for part in (0.1, 0.01)])
    return {"constant": peaks * jnp.ones((1, steps)), "cosine": cosine, "exponential": exponential}


def hypertrain(images: Images, hidden: int, steps: int, outer_steps: int, seed: int) -> Comparison:
    """Find the best schedules of the families, tune a better one, and judge them all."""
    pixels, num_classes = images.training.x.shape[1], int(images.training.y.max()) + 1
    size = min(100, len(images.training))

    def trained(rates: WindowSchedule | StepSchedule, data: Dataset, key: PRNGKeyArray) -> FeedForward:
        first_key, last_key, shuffle_key = jax.random.split(key, 3)
        layers = [Linear(pixels, hidden, key=first_key), jnp.tanh, Linear(hidden, num_classes, key=last_key)]
        params = Params(
            learning_rate=rates,
            momentum=Nesterov(0.9),
            loss=CrossEntropyOnLinear(),
            regularization=NoReg(),
            batch=Minibatch(size),
            return_best=False,
            silent=True,
        )
        return train(FeedForward(layers), data, params, key=shuffle_key).w

    def loss(network: FeedForward, data: Dataset) -> Float[Array, ""]:
        return jnp.mean(jax.vmap(CrossEntropyOnLinear())(jax.vmap(network)(data.x), data.y))

    def loss_and_error(rates: Float[Array, " steps"], images: Images, key: PRNGKeyArray) -> tuple[Array, Array]:
        network = trained(StepSchedule(rates), images.training, key)
        wrong = jnp.argmax(jax.vmap(network)(images.test.x), axis=1) != images.test.y.astype(int)
        return loss(network, images.test), jnp.mean(wrong.astype(float))

    def validation_loss(images: Images, rates: WindowSchedule | StepSchedule, key: PRNGKeyArray) -> Float[Array, ""]:
        return loss(trained(rates, images.training, key), images.validation)

    tune_key, sweep_key, test_key = jax.random.split(jax.random.key(seed), 3)
    sizes = [f"{len(part):,} {name}" for part, name in zip(images, images._fields, strict=True)]
    print(f"{sizes[0]}, {sizes[1]} and {sizes[2]} images.")
    print(f"A {pixels}-{hidden}-{num_classes} network, {steps} steps of {size} images.\n")

    start = time.perf_counter()
    tried, keys = families(steps), jax.random.split(sweep_key, 2)

    @jax.jit
    def sweep(images: Images, schedules: Float[Array, "schedules steps"]) -> Float[Array, " schedules"]:
        at_seed = lambda rates, key: validation_loss(images, StepSchedule(rates), key)
        return jax.lax.map(lambda rates: jnp.mean(jax.vmap(lambda key: at_seed(rates, key))(keys)), schedules)

    values = np.asarray(sweep(images, jnp.concatenate(list(tried.values()))))
    values = np.split(np.where(np.isfinite(values), values, np.inf), np.cumsum(list(map(len, tried.values())))[:-1])
    best = {name: tried[name][np.argmin(found)] for name, found in zip(tried, values, strict=True)}
    winner = min(zip(tried, map(np.min, values), strict=True), key=lambda pair: pair[1])[0]
    print(f"Tried {sum(map(len, values))} schedules at {len(keys)} seeds each in one program ({seconds(start)}).")

    windows = min(20, steps)
    print(f"Tuning the rates of {windows} windows, from the best schedule ({winner}), in {outer_steps} steps:")
    first = jnp.stack([jnp.mean(window) for window in jnp.array_split(best[winner], windows)])
    objective = jax.tree_util.Partial(validation_loss, images)
    tuned = tune(objective, WindowSchedule(positive(first), steps), key=tune_key, steps=outer_steps, seeds=2)
    print(f"{tuned.summary()}\n")
    best["learned"] = jax.vmap(lambda step: tuned.values.at(step, step))(jnp.arange(steps))

    judge = jax.jit(jax.vmap(loss_and_error, (None, None, 0)))
    seeds = jax.random.split(test_key, SEEDS)
    schedules = {name: Judged(rates, *judge(rates, images, seeds)) for name, rates in best.items()}
    print(f"On test images, the mean over {SEEDS} new seeds and its standard error:\n")
    print(f"{'':20}{'loss':>18}{'error':>20}")
    for name, judged in schedules.items():
        label = "learned schedule" if name == "learned" else f"best {name}"
        print(f"{label:20}{with_error(judged.losses, '.4f'):>18}{with_error(judged.errors, '.2%'):>20}")
    return Comparison(schedules, tuned)


def with_error(values: Float[Array, " seeds"], form: str) -> str:
    """A mean and its standard error."""
    return f"{jnp.mean(values):{form}} ± {jnp.std(values, ddof=1) / np.sqrt(len(values)):{form}}"


def seconds(start: float) -> str:
    """How long it has been since `start`."""
    return f"{time.perf_counter() - start:.1f} s"


def draw(result: Comparison, out: Path) -> None:
    """Draw the schedules, the test losses of all seeds and the progress of the tuning into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colors = {"constant": "tab:gray", "cosine": "tab:blue", "exponential": "tab:green", "learned": "tab:red"}
    figure, (schedules, losses, progress) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for place, (name, judged) in enumerate(result.schedules.items()):
        schedules.plot(judged.rates, color=colors[name], label=name)
        losses.plot(np.full(SEEDS, place), judged.losses, ".", color=colors[name], alpha=0.6)
        losses.plot([place - 0.3, place + 0.3], [np.mean(judged.losses)] * 2, color=colors[name])
    progress.plot(result.tuned.history, ".-", color="tab:red")
    for label, value, color in (("start", result.tuned.start_value, "gray"), ("tuned", result.tuned.value, "red")):
        progress.axhline(value, color=f"tab:{color}", linestyle="--", label=f"{label}, at held-out seeds: {value:.4f}")
    schedules.set(title="schedules", xlabel="step", ylabel="learning rate", yscale="log", ylim=(1e-3, None))
    losses.set(
        title=f"{SEEDS} new seeds, and their mean", ylabel="test loss", xticks=range(4), xticklabels=result.schedules
    )
    # A step that is taken back can be far above all others.
    top = 1.5 * float(np.nanmax([*np.ravel(result.tuned.history[0]), result.tuned.start_value]))
    progress.set(title="tuning", xlabel="outer step", ylabel="validation loss", yscale="log", ylim=(None, top))
    schedules.legend()
    progress.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"\nThe picture is in {out}.")


def main(argv: list[str] | None = None) -> Comparison:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a directory with MNIST-format files")
    parser.add_argument("--rows", type=int, default=10_000, help="training images to use of those")
    parser.add_argument("--steps", type=int, default=100, help="steps of a training (default 100)")
    parser.add_argument("--outer-steps", type=int, default=50, help="steps of the schedule's tuning (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="draws the weights and the order of the data")
    parser.add_argument("--out", type=Path, default=Path("out/hypertrain.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    for name in ("rows", "steps", "outer_steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(options, name)}")
    if options.data is None:
        images, hidden = load_digits(options.seed), 100
    else:
        try:
            training, test = load_mnist(options.data)
        except (OSError, ValueError) as error:
            parser.error(str(error))
        held = min(2000, len(training) // 5)
        images, hidden = Images(training[held : held + options.rows], training[:held], test), 300
    result = hypertrain(images, hidden, options.steps, options.outer_steps, options.seed)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
