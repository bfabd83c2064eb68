"""A long training that survives being killed.

It goes in chunks of some epochs and saves after each, in one file, which is written beside and then moved: whenever the
process is killed, the file is that of the last chunk or of the one before. Started again, it goes on from there, and
the network that comes out is the same, bit for bit, as that of a run that nobody stopped.

    python examples/long_run.py     # stop it with Ctrl-C, or with kill -9, as often as you like, and start it again
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import (
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    Minibatch,
    Nesterov,
    Params,
    Result,
    load,
    save,
    train,
)
from jax import lax
from jaxtyping import Array, Float


class Progress(NamedTuple):
    """All that is saved.

    Attributes:
        result: that of the last chunk, with the state to go on from.
        losses: of all steps, NaN where they are still to be made.
        valid_losses: of all epochs.
    """

    result: Result
    losses: Float[Array, " steps"]
    valid_losses: Float[Array, " epochs"]


def load_digits() -> tuple[Dataset, Dataset]:
    """1,200 training and 597 validation images of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels) / 16, np.asarray(digits))
    train_data, valid_data = data.split([1200, len(data) - 1200], key=jax.random.key(0))
    return train_data, valid_data


def matrices(network: Any) -> list[Array]:
    """What is penalized: everything but the biases."""
    return [network.layers[0].weight, network.layers[2].weight]


def long_run(file: Path, epochs: int, chunk: int) -> Progress:
    """Train for `epochs` epochs, `chunk` at a time, from the start or from where `file` says."""
    train_data, valid_data = load_digits()
    keys = jax.random.split(jax.random.key(1), 3)
    network = FeedForward([Linear(64, 40, key=keys[0]), jnp.tanh, Linear(40, 10, key=keys[1])])
    params = Params(
        chunk,  # always the same number, so that every chunk but the first is one compiled program
        learning_rate=0.05,
        momentum=Nesterov(0.9),
        loss=CrossEntropyOnLinear(),
        regularization=L2Reg(1e-4, where=matrices),
        batch=Minibatch(100),
        silent=True,
    )

    def next_chunk(progress: Progress | None) -> Progress:
        state = None if progress is None else progress.result.state
        result = train(network, train_data, params, valid=valid_data, key=keys[2], state=state)
        steps, checks = len(result.loss_history), result.valid_history
        assert checks is not None  # there are validation data
        if progress is None:
            progress = Progress(result, jnp.full(epochs // chunk * steps, jnp.nan), jnp.full(epochs, jnp.nan))
        first = result.steps - steps
        return Progress(
            result,
            lax.dynamic_update_slice(progress.losses, result.loss_history, (first,)),
            lax.dynamic_update_slice(progress.valid_losses, checks, (first // steps * chunk,)),
        )

    progress = None
    if file.exists():
        # What a chunk would give, without computing it, says what is to be found in the file.
        like = eqx.filter_eval_shape(next_chunk, None)
        try:
            progress = load(file, like)
        except ValueError as error:
            raise SystemExit(f"{error}\nTo begin anew, remove the file or name another with --file.") from error
        print(f"Going on from epoch {epochs_done(progress)} of {epochs}, found in {file}.", flush=True)
    while progress is None or epochs_done(progress) < epochs:
        progress = next_chunk(progress)
        save(file, progress)
        done = epochs_done(progress)
        valid_loss = progress.valid_losses[done - 1]
        print(f"epoch {done:4} of {epochs}: validation loss {valid_loss:.5f}, saved", flush=True)
    error = np.mean(np.argmax(jax.vmap(progress.result.w)(valid_data.x), axis=1) != np.asarray(valid_data.y))
    print(f"The best network has validation loss {progress.result.valid_loss:.5f} and error {error:.2%}.")
    return progress


def epochs_done(progress: Progress) -> int:
    """How many epochs a run has behind it."""
    return int(np.sum(np.isfinite(progress.valid_losses)))


def draw(progress: Progress, out: Path) -> None:
    """Draw the loss curves into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.8), layout="constrained")
    steps, epochs = len(progress.losses), len(progress.valid_losses)
    axes.plot(progress.losses, color="tab:blue", alpha=0.5, label="training, a step's minibatch")
    axes.plot(np.arange(1, epochs + 1) * steps / epochs, progress.valid_losses, color="tab:orange", label="validation")
    axes.set(title="loss", xlabel="step", yscale="log")
    axes.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Progress:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1000, help="epochs in all (default 1000)")
    parser.add_argument("--chunk", type=int, default=20, help="epochs from one save to the next (default 20)")
    parser.add_argument("--file", type=Path, default=Path("out/long_run.npz"), help="where to save")
    parser.add_argument("--out", type=Path, default=Path("out/long_run.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    if options.chunk < 1 or options.epochs < options.chunk or options.epochs % options.chunk:
        parser.error(f"--epochs must be a multiple of --chunk, got {options.epochs} and {options.chunk}")
    options.file.parent.mkdir(parents=True, exist_ok=True)
    progress = long_run(options.file, options.epochs, options.chunk)
    draw(progress, options.out)
    return progress


if __name__ == "__main__":
    main()
