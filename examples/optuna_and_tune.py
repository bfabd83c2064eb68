"""Search and gradients together: Optuna picks what is discrete, and each of its trials is a short `tune` of the rest.

A width and a kind of steps have no derivative: trying is all that one can do, and Optuna does it well. A
learning rate, a momentum, a penalty and a scale of first weights for each layer have one. So a trial draws the discrete
choices, and `tune` follows the hypergradient of the others for some steps. From the `logging_function` each step
reports the mean of the last values, and a trial that is worse there than most others were is pruned: `TrialPruned` ends
the tuning.

Beside it Optuna's TPE (Bergstra et al. 2011, "Algorithms for hyper-parameter optimization") searches everything,
with one training for each trial, also from where `tune` starts, and as many plain trainings in all, of which the last
ones judge its ten best trials again at four other seeds. Both are judged by test images, at new seeds.

    pip install optuna && python examples/optuna_and_tune.py
"""

import argparse
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optuna
from hype_neural import FeedForward, InitTanh, Linear
from hype_optim import (
    Adam,
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    Minibatch,
    Momentum,
    Params,
    Tuned,
    Unrolled,
    positive,
    train,
    tune,
)
from jaxtyping import Array, Float, Key

WIDTHS, KINDS = (8, 32), ("momentum", "adam")
RANGES = {  # where Optuna searches; `tune` starts in the middle, by the logarithm
    "rate": (1e-4, 1.0),
    "friction": (0.01, 1.0),  # one minus momentum
    "penalty 1": (1e-6, 1e-1),
    "penalty 2": (1e-6, 1e-1),
    "gain 1": (0.01, 10.0),
    "gain 2": (0.01, 10.0),
}
START = {name: float(np.sqrt(low * high)) for name, (low, high) in RANGES.items()}
EPOCHS, CHECKED, CHECKS = 15, 10, 4
COST_OF_STEP, COST_OF_START = 4, 8  # in plain trainings
Floats = dict[str, Array]
Images = tuple[Dataset, Dataset, Dataset]


class Task(eqx.Module):
    """Train with discrete choices, which are part of the program: trials that share them share it."""

    train: Dataset
    valid: Dataset
    width: int = eqx.field(static=True)
    kind: str = eqx.field(static=True)

    def fit(self, settings: Floats, key: Key[Array, ""]) -> tuple[FeedForward, Float[Array, ""]]:
        """A network, and its validation loss."""
        *keys, order = jax.random.split(key, 3)
        first = Linear(self.train.x.shape[1], self.width, InitTanh(settings["gain 1"]), key=keys[0])
        second = Linear(self.width, 10, InitTanh(settings["gain 2"]), key=keys[1])
        rate, momentum = settings["rate"], 1 - settings["friction"]
        kinds = {
            "momentum": lambda: {"learning_rate": rate, "momentum": Momentum(momentum)},
            "adam": lambda: {"learning_rate": Adam(rate, momentum)},
        }
        params = Params(
            EPOCHS,
            **kinds[self.kind](),
            loss=CrossEntropyOnLinear(),
            regularization=L2Reg([settings["penalty 1"], settings["penalty 2"]], where=weights_of),
            batch=Minibatch(25),
            return_best=False,
            validation_interval=EPOCHS,  # once, in the end
            adjoint=Unrolled(),  # short trainings: the least to compile
            silent=True,
        )
        result = train(FeedForward([first, jnp.tanh, second]), self.train, params, valid=self.valid, key=order)
        return result.w, jnp.asarray(result.valid_loss)

    def __call__(self, settings: Floats, key: Key[Array, ""]) -> Float[Array, ""]:
        """The validation loss, which is what `tune` minimizes."""
        return self.fit(settings, key)[1]


def weights_of(network: FeedForward) -> list[Array]:
    return [layer.weight for layer in network if isinstance(layer, Linear)]


class Found(NamedTuple):
    """The best choices of a search, its cost in plain trainings, and test losses and errors at new seeds."""

    choices: dict[str, Any]
    trainings: float
    pruned: int
    losses: Float[np.ndarray, " seeds"]
    errors: Float[np.ndarray, " seeds"]


class Comparison(NamedTuple):
    """Both searches, and the values that each trial of the first reported."""

    together: Found
    alone: Found
    reported: list[list[float]]


@eqx.filter_jit
def loss(task: Task, settings: Floats, key: Key[Array, ""]) -> Float[Array, ""]:
    """The validation loss, compiled once for each of the discrete choices."""
    return task(settings, key)


@eqx.filter_jit
def tested(task: Task, settings: Floats, keys: Key[Array, " n"], test: Dataset) -> tuple[Array, Array]:
    """Test losses and errors at several seeds."""

    def one(key: Key[Array, ""]) -> tuple[Array, Array]:
        outputs = jax.vmap(task.fit(settings, key)[0])(test.x)
        wrong = jnp.argmax(outputs, axis=1) != test.y
        return jnp.mean(jax.vmap(CrossEntropyOnLinear())(outputs, test.y)), jnp.mean(wrong)

    return jax.vmap(one)(keys)


def choose(trial: optuna.Trial, images: Images) -> Task:
    """The discrete choices of a trial."""
    return Task(
        images[0], images[1], trial.suggest_categorical("width", WIDTHS), trial.suggest_categorical("kind", KINDS)
    )


def together(images: Images, trials: int, steps: int, seed: int) -> tuple[Task, Tuned, float, list[list[float]]]:
    """Optuna over the discrete choices, and `tune` for the floats of each."""
    start = {name: positive(value) for name, value in START.items()}
    reported: list[list[float]] = []
    kept: dict[int, tuple[Task, Tuned]] = {}

    def objective(trial: optuna.Trial) -> float:
        task, values = choose(trial, images), []
        reported.append(values)

        def log(step: int, settings: Any, value: float) -> None:
            values.append(value)
            trial.report(float(np.mean(values[-3:])), step)  # each value is at a seed of its own
            if trial.should_prune():
                raise optuna.TrialPruned

        key = jax.random.key(1000 * seed + trial.number)
        tuned = tune(task, start, key=key, steps=steps, judges=4, logging_function=log, silent=True)
        kept[trial.number] = task, tuned
        return float(tuned.value)

    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=steps // 3)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
    study.optimize(objective, n_trials=trials)
    finished = sum(float(tuned.trainings) for _, tuned in kept.values())
    cut = sum(COST_OF_START + COST_OF_STEP * len(values) for i, values in enumerate(reported) if i not in kept)
    return *kept[study.best_trial.number], finished + cut, reported


def alone(images: Images, trainings: int, seed: int) -> tuple[Task, Floats, dict[str, Any]]:
    """Optuna over everything."""
    drawn: list[tuple[float, Task, Floats, dict[str, Any]]] = []

    def objective(trial: optuna.Trial) -> float:
        task = choose(trial, images)
        settings = {name: jnp.asarray(trial.suggest_float(name, *span, log=True)) for name, span in RANGES.items()}
        value = float(loss(task, settings, jax.random.key(10_000 * seed + trial.number)))
        value = value if np.isfinite(value) else 1e3
        drawn.append((value, task, settings, trial.params))
        return value

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    for choices in itertools.product(WIDTHS, KINDS):  # `tune` starts there, too
        study.enqueue_trial(dict(zip(("width", "kind"), choices, strict=True)) | START)
    study.optimize(objective, n_trials=max(1, trainings - CHECKED * CHECKS))
    keys = jax.random.split(jax.random.key(10**6), CHECKS)
    again = lambda entry: float(np.mean([loss(entry[1], entry[2], key) for key in keys]))
    return min(sorted(drawn, key=lambda entry: entry[0])[:CHECKED], key=again)[1:]


def compare(images: Images, trials: int, steps: int, seeds: int, seed: int) -> Comparison:
    """Both searches, and what they are worth at new seeds."""
    new = jax.random.split(jax.random.key(2 * 10**6), seeds)
    print(f"{trials} trials, each a tuning of {len(RANGES)} floats in {steps} steps for discrete choices of Optuna's.")
    task, tuned, cost, reported = together(images, trials, steps, seed)
    print(tuned.summary())
    choices = {"width": task.width, "kind": task.kind}
    pruned = sum(len(values) < steps for values in reported)
    first = Found(choices, cost, pruned, *map(np.asarray, tested(task, tuned.values, new, images[2])))
    print(f"\nOptuna over everything, in as many trainings: {cost:.0f}.")
    task, settings, choices = alone(images, round(cost), seed)
    other = Found(choices, round(cost), 0, *map(np.asarray, tested(task, settings, new, images[2])))
    return Comparison(first, other, reported)


def load_images() -> Images:
    """150 of scikit-learn's handwritten digits to train with, 750 to validate and 897 to test."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits)).shuffle(jax.random.key(0))
    return data[:150], data[150:900], data[900:]


def tell(result: Comparison) -> None:
    """Say what each search found."""
    print(f"\n{result.together.pruned} trials of `tune` were pruned.")
    print(f"At {len(result.together.losses)} new seeds:{'test loss':>26}{'highest':>10}{'test error':>18}")
    for name, found in (("Optuna and `tune`", result.together), ("Optuna alone", result.alone)):
        mean, spread = found.losses.mean(), found.losses.std()
        error = f"{found.errors.mean():.1%} ± {found.errors.std():.1%}"
        print(f"{name:22}{mean:15.3f} ± {spread:.3f}{found.losses.max():10.3f}{error:>18}")
        print("   ", {k: v if isinstance(v, str | int) else float(f"{v:.3g}") for k, v in found.choices.items()})


def draw(result: Comparison, out: Path) -> None:
    """Draw what the trials reported, and the test losses at new seeds, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (trials, ends) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", width_ratios=(3, 2))
    longest = max(map(len, result.reported))
    for i, values in enumerate(result.reported):
        trials.plot(values, label=f"trial {i}", color=f"C{i}")
        if len(values) < longest:
            trials.plot(len(values) - 1, values[-1], "x", color=f"C{i}", markersize=9)
    trials.set(title="trials of `tune`; a cross: pruned", xlabel="step", ylabel="validation loss", yscale="log")
    trials.legend(fontsize="small")
    searches = {"Optuna\nand `tune`": result.together, "Optuna\nalone": result.alone}
    for i, found in enumerate(searches.values()):
        ends.plot(
            np.full(len(found.losses), i), found.losses, "o", alpha=0.5, color="tab:red" if i == 0 else "tab:gray"
        )
    ends.set(title="test loss at new seeds", xlim=(-0.6, 1.6), yscale="log")
    ends.set_xticks(range(2), list(searches))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Comparison:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=6, help="trials of `tune` (default 6)")
    parser.add_argument("--steps", type=int, default=20, help="steps of each (default 20)")
    parser.add_argument("--seeds", type=int, default=16, help="new seeds to judge by (default 16)")
    parser.add_argument("--seed", type=int, default=0, help="what both searches draw from (default 0)")
    parser.add_argument("--out", type=Path, default=Path("out/optuna_and_tune.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    result = compare(load_images(), options.trials, options.steps, options.seeds, options.seed)
    tell(result)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
