"""Many tunings of unequal length on the workers of a cluster, here two processes of this machine.

Ten classifiers each tell one handwritten digit from the others, on more or fewer examples, and each has a learning rate
and a penalty of its own that `tune` finds. Nothing is shared between them, so nothing needs to run in step: Dask gives
the next tuning to whichever worker is free. Ray does the same with `ray.remote` in the place of `Client.submit`, and on
a cluster the address of its scheduler takes the place of the two workers.

    python examples/many_tunings.py
    python examples/many_tunings.py --scheduler tcp://scheduler:8786
"""

import argparse
import logging
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from hype_neural import Linear
from hype_optim import CrossEntropyOnLinear, Dataset, L2Reg, Minibatch, Params, positive, train, tune
from jaxtyping import Array, Float, PRNGKeyArray


class Job(NamedTuple):
    """One tuning."""

    digit: int
    examples: int
    steps: int


class Done(NamedTuple):
    """What came of it: validation losses at the start and at what was found, where and when it ran."""

    job: Job
    before: float
    after: float
    rate: float
    penalty: float
    worker: int
    began: float
    ended: float


def tuned(job: Job) -> Done:
    """Tune a classifier. This is what runs on a worker; what it takes and gives is small."""
    from sklearn.datasets import load_digits

    began = time.time()
    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits == job.digit, int))
    data, valid, _ = data.split([job.examples, 400, len(data) - job.examples - 400], key=jax.random.key(job.digit))

    def loss(settings: dict[str, Array], key: PRNGKeyArray) -> Float[Array, ""]:
        first, order = jax.random.split(key)
        params = Params(
            epochs=20,
            learning_rate=settings["rate"],
            regularization=L2Reg(settings["penalty"]),
            loss=CrossEntropyOnLinear(),
            batch=Minibatch(50),
            return_best=False,
            silent=True,
        )
        result = train(Linear(64, 2, key=first), data, params, valid=valid, key=order)
        assert result.valid_loss is not None
        return result.valid_loss

    start = {"rate": positive(0.01), "penalty": positive(0.01)}
    found = tune(loss, start, key=jax.random.key(0), steps=job.steps, silent=True)
    rate, penalty = float(found.values["rate"]), float(found.values["penalty"])
    return Done(job, float(found.start_value), float(found.value), rate, penalty, os.getpid(), began, time.time())


def draw(results: list[Done], out: str) -> None:
    """A picture: when which worker ran what, and what it gained."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    workers, zero = sorted({done.worker for done in results}), min(done.began for done in results)
    for done in results:
        row = workers.index(done.worker)
        left.barh(row, done.ended - done.began, left=done.began - zero, edgecolor="white", color=f"C{row}")
        left.text((done.began + done.ended) / 2 - zero, row, str(done.job.digit), ha="center", va="center")
    left.set(xlabel="seconds", yticks=range(len(workers)), title="digits by the worker that tuned for them")
    left.set_yticklabels([f"worker {row + 1}" for row in range(len(workers))])
    digits = [done.job.digit for done in results]
    right.plot(digits, [done.before for done in results], "o", color="0.6", label="at the start")
    right.plot(digits, [done.after for done in results], "o", color="C2", label="tuned")
    right.set(xlabel="digit", ylabel="validation loss", xticks=sorted(digits), yscale="log")
    right.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)


def main(argv: list[str] | None = None) -> list[Done]:
    """Tune for all digits, and draw what came of it."""
    from distributed import Client, as_completed

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scheduler", help="the address of a running Dask scheduler; two processes here if not given")
    parser.add_argument("--digits", type=int, default=10, help="tune for the first so many")
    parser.add_argument(
        "--steps", type=int, default=10, help="of the shortest tuning; the longest makes three times as many"
    )
    parser.add_argument("--out", default="out/many_tunings.png")
    args = parser.parse_args(argv)

    local: dict[str, Any] = (
        {} if args.scheduler else {"n_workers": 2, "threads_per_worker": 1, "silence_logs": logging.ERROR}
    )
    jobs = [Job(d, 200 + 80 * d, args.steps * (1 + d % 3)) for d in range(args.digits)]
    results: list[Done] = []
    with Client(args.scheduler, **local) as client:
        client.upload_file(__file__)
        print("digit examples steps   before    after    rate  penalty     s")
        for future in as_completed([client.submit(tuned, job, pure=False) for job in jobs]):
            done = future.result()
            results.append(done)
            losses, settings = f"{done.before:8.4f} {done.after:8.4f}", f"{done.rate:7.3f} {done.penalty:8.1e}"
            job = f"{done.job.digit:5d} {done.job.examples:8d} {done.job.steps:5d}"
            print(f"{job} {losses} {settings} {done.ended - done.began:5.1f}", flush=True)
    draw(results, args.out)
    workers = len({done.worker for done in results})
    seconds = max(done.ended for done in results) - min(done.began for done in results)
    work = sum(done.ended - done.began for done in results)
    print(f"{len(results)} tunings on {workers} workers in {seconds:.0f} s, {work:.0f} s of work.")
    return results


if __name__ == "__main__":
    main()
