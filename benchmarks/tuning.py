"""`tune` beside search at equal compute: what it finds is worth what it is worth at new training seeds.

Peers are Optuna's TPE, the same with its ten best points tried again at four other seeds, CMA-ES, random search, and
the start as it is. They search all settings in the unconstrained coordinates in which `tune` moves, each within a
factor of 100 about the start, and at one training seed, as is usual. Compute is counted in plain trainings (a gradient
as four) and in seconds, with what it takes to compile beside. Every result is judged at eight training seeds that no
search has seen, by validation loss and test error; rows are medians over searches. `tune` may take as many trainings
as TPE with its recheck, and a third of them where settings are many.

    python benchmarks/tuning.py
    python benchmarks/tuning.py --tasks a --searches 5 --budgets 90 240
    python benchmarks/tuning.py --tasks e --data /usr/share/datasets/fashion-mnist   # files in MNIST's format
"""

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import cmaes
import jax
import jax.numpy as jnp
import numpy as np
import optuna
from hype_optim import AbstractRange, Sweep, tune
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree
from tuning_tasks import TASKS, Task, fashion

WIDTH = np.log(100.0)
FAILED = 1e3
FEW = 20  # settings
RECHECK = 40  # trainings that ten points at four seeds take
TPE, RECHECKED = "TPE", "TPE, ten best rechecked"
Point = Float[np.ndarray, " settings"]


class Found(NamedTuple):
    """What a search came to, and what it took."""

    method: str
    budget: int
    settings: PyTree
    trainings: float
    seconds: float
    compiling: float


def values(settings: PyTree) -> PyTree:
    is_range = lambda part: isinstance(part, AbstractRange)
    return jax.tree.map(lambda part: part.value, settings, is_leaf=is_range)


class Trial:
    """A plain training at a point in unconstrained coordinates, compiled once."""

    def __init__(self, task: Task):
        self.origin, self.settings = ravel_pytree(task.start)
        began = time.perf_counter()
        run = jax.jit(lambda x, key: task.loss(values(self.settings(x)), key))
        self.run = run.lower(self.origin, jax.random.key(0)).compile()
        self.compiling = time.perf_counter() - began

    def __call__(self, x: Point, key: Array) -> float:
        value = float(self.run(jnp.asarray(x, self.origin.dtype), key))
        return value if np.isfinite(value) else FAILED


class Parzen:
    """Optuna's TPE, with its defaults."""

    def __init__(self, center: Point, seed: int):
        self.study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self.ranges = {
            str(i): optuna.distributions.FloatDistribution(x - WIDTH, x + WIDTH) for i, x in enumerate(center)
        }

    def ask(self) -> Point:
        self.asked = self.study.ask(self.ranges)
        params = self.asked.params
        return np.array([params[name] for name in self.ranges])

    def tell(self, x: Point, value: float) -> None:
        self.study.tell(self.asked, value)


class Evolution:
    """CMA-ES from the start, with a diagonal covariance where settings are many."""

    def __init__(self, center: Point, seed: int):
        bounds = np.stack([center - WIDTH, center + WIDTH], axis=1)
        optimizer = cmaes.CMA if center.size < 100 else cmaes.SepCMA
        self.optimizer = optimizer(mean=center, sigma=WIDTH / 3, bounds=bounds, seed=seed, n_max_resampling=10)
        self.generation: list[tuple[Point, float]] = []

    def ask(self) -> Point:
        return self.optimizer.ask()

    def tell(self, x: Point, value: float) -> None:
        self.generation.append((x, value))
        if len(self.generation) == self.optimizer.population_size:
            self.optimizer.tell(self.generation)
            self.generation = []


class Uniform:
    """Random search."""

    def __init__(self, center: Point, seed: int):
        self.center, self.rng = center, np.random.default_rng(seed)

    def ask(self) -> Point:
        return self.center + self.rng.uniform(-WIDTH, WIDTH, self.center.size)

    def tell(self, x: Point, value: float) -> None:
        pass


SAMPLERS = {TPE: Parzen, "CMA-ES": Evolution, "random": Uniform}


def searched(trial: Trial, method: str, budgets: list[int], seed: int) -> Iterator[Found]:
    """What one of the samplers has found after each number of trainings, all of one training seed."""
    key, others = jax.random.key(seed), jax.random.split(jax.random.key(10_000 + seed), 4)
    began = time.perf_counter()
    sampler, tried = SAMPLERS[method](np.asarray(trial.origin, float), seed), []
    seconds = time.perf_counter() - began
    for budget in sorted(budgets):
        began = time.perf_counter()
        while len(tried) < budget:
            x = sampler.ask()
            tried.append((trial(x, key), x))
            sampler.tell(x, tried[-1][0])
        seconds += time.perf_counter() - began
        best = [x for _, x in sorted(tried, key=lambda one: one[0])[:10]]
        found = lambda x: trial.settings(jnp.asarray(x, trial.origin.dtype))
        yield Found(method, budget, found(best[0]), budget, seconds, trial.compiling)
        if method == TPE:
            began = time.perf_counter()
            means = [np.mean([trial(x, other) for other in others]) for x in best]
            again, cost = time.perf_counter() - began, budget + 4 * len(best)
            yield Found(RECHECKED, budget, found(best[np.argmin(means)]), cost, seconds + again, trial.compiling)


def tuned(task: Task, budget: int, total: int, seed: int) -> Found:
    """What `tune` comes to in so many trainings, all that it judges by counted in; few settings are swept first."""
    sweep = Sweep(16) if ravel_pytree(task.start)[0].size < FEW else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says so where the start is the best
        found = tune(
            task.loss,
            task.start,
            key=jax.random.key(seed),
            steps=total,
            judges=4,
            batch=4,
            sweep=sweep,
            max_trainings=total,
            silent=True,
        )
    costs = (float(x) for x in (found.trainings, found.seconds, found.compiling))
    return Found("tune", budget, found.settings, *costs)


def measured(task: Task, searches: int, budgets: list[int]) -> list[dict[str, Any]]:
    """A row for each method and budget."""
    keys = jax.random.split(jax.random.key(999), 8)
    judge = jax.jit(lambda settings: jax.vmap(lambda key: task.loss_and_error(values(settings), key))(keys))
    trial, third = Trial(task), max(budgets) // 3
    found = [Found("start", 0, task.start, 0.0, 0.0, 0.0)]
    for seed in range(searches):
        for method in SAMPLERS:
            found += searched(trial, method, budgets, seed)
        found += [tuned(task, budget, budget + RECHECK, seed) for budget in budgets]
        if trial.origin.size >= FEW:
            found.append(tuned(task, third, (max(budgets) + RECHECK) // 3, seed))
    groups: dict[tuple[int, str], list[Found]] = {}
    for one in found:
        groups.setdefault((one.budget, one.method), []).append(one)
    return [row(group, [judge(one.settings) for one in group]) for _, group in sorted(groups.items())]


def row(group: list[Found], judged: list[tuple[Array, Array]]) -> dict[str, Any]:
    losses = np.array([np.nan_to_num(np.mean(loss), nan=np.inf) for loss, _ in judged])
    cost = lambda name: float(np.median([getattr(one, name) for one in group]))
    return {
        "method": group[0].method,
        "budget": group[0].budget,
        **{name: cost(name) for name in ("trainings", "seconds")},
        "compiling": max(one.compiling for one in group),
        "loss": float(np.median(losses)),
        "losses": [float(x) for x in losses],
        "error": float(np.median([np.mean(error) for _, error in judged])),
    }


def bars(rows: list[dict[str, Any]], settings: int) -> Iterator[tuple[str, float]]:
    """What must hold of a task, each as a ratio that must be at most 1."""
    of = {(row["method"], row["budget"]): row for row in rows}
    budgets = sorted({row["budget"] for row in rows if row["method"] == TPE})
    worst = max(loss for row in rows if row["method"] == "tune" for loss in row["losses"])
    yield "worst end of `tune` over the start", worst / of["start", 0]["loss"]
    if settings < FEW:
        for budget in budgets:
            ratio = of["tune", budget]["loss"] / of[RECHECKED, budget]["loss"]
            yield f"`tune` over TPE, ten best rechecked, at {budget} trainings", ratio
        return
    best = min(of[method, budget]["loss"] for method in (TPE, RECHECKED) for budget in budgets)
    yield "`tune` at a third of the trainings over the best of TPE", of["tune", budgets[-1] // 3]["loss"] / best
    yield "`tune` at all trainings over the best of TPE", of["tune", budgets[-1]]["loss"] / best


def main(tasks: list[str], searches: int, budgets: list[int], data: str | None) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    makers = TASKS | ({} if data is None else {"e": lambda: fashion(data)})
    for name in tasks:
        task = makers[name]()
        settings = ravel_pytree(task.start)[0].size
        print(f"\ntask {name}, {settings} settings, {searches} searches")
        heads = f"{'trainings':>9} {'seconds':>8} {'compiling':>9} {'loss':>8} {'test error':>10}"
        print(f"{'method':24} {'budget':>6} {heads}   losses of all searches")
        rows = measured(task, searches, budgets)
        for row in rows:
            costs = f"{row['trainings']:9.0f} {row['seconds']:8.1f} {row['compiling']:9.1f}"
            spread = f"{min(row['losses']):.4g} to {max(row['losses']):.4g}"
            print(f"{row['method']:24} {row['budget']:6} {costs} {row['loss']:8.4f} {row['error']:10.1%}   {spread}")
        for what, ratio in bars(rows, settings):
            print(f"{what}: ratio {ratio:.3f} (limit 1)")
            print(json.dumps({"task": name, "what": what, "ratio": ratio, "limit": 1.0}))
        for row in rows:
            print(json.dumps({"task": name, "settings": settings, **row}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["a", "b", "c", "d"], choices=["a", "b", "c", "d", "e"])
    parser.add_argument("--searches", type=int, default=3)
    parser.add_argument("--budgets", type=int, nargs="+", default=[90, 240])
    parser.add_argument("--data", help="a directory with files in MNIST's format, for task e")
    given = parser.parse_args()
    if max(given.budgets) < 100:
        parser.error("the largest of --budgets must be at least 100: `tune` is given a third of it, too")
    if "e" in given.tasks and given.data is None:
        parser.error("task e needs --data")
    main(**vars(given))
