"""A small residual network with batch normalization: a model that has a state beside its weights.

Equinox makes weights and state together; `train(..., model_state=state)` threads the state through the steps, returns
the one that belongs to the best weights, and judges in inference mode. A derivative goes through it like through all
else: the last line is that of the validation loss with respect to the learning rate, through the first steps of the
training, beside a difference.

    python examples/resnet.py                                                        # scikit-learn's handwritten digits
    python examples/resnet.py --data /usr/share/datasets/fashion-mnist --epochs 10   # files in MNIST's format
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import (
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    Minibatch,
    Momentum,
    Params,
    Result,
    StepSchedule,
    load_mnist,
    train,
)
from jaxtyping import Array, Float, Key

Normed = tuple[Array, eqx.nn.State]
conv = partial(eqx.nn.Conv2d, padding="SAME", use_bias=False)
norm = partial(eqx.nn.BatchNorm, axis_name="batch", mode="batch", momentum=0.9)


class Block(eqx.Module):
    """Two convolutions with batch normalization, and a shortcut around them (He et al. 2016)."""

    convolutions: list[eqx.nn.Conv2d]
    norms: list[eqx.nn.BatchNorm]
    shortcut: eqx.nn.Conv2d

    def __init__(self, before: int, after: int, stride: int, key: Key[Array, ""]):
        one, two, three = jax.random.split(key, 3)
        self.convolutions = [conv(before, after, 3, stride, key=one), conv(after, after, 3, key=two)]
        self.norms = [norm(after), norm(after)]
        self.shortcut = conv(before, after, 1, stride, key=three)

    def __call__(self, x: Array, state: eqx.nn.State) -> Normed:
        """The block's output for one image, and the next state."""
        y, state = self.norms[0](self.convolutions[0](x), state)
        y, state = self.norms[1](self.convolutions[1](jax.nn.relu(y)), state)
        return jax.nn.relu(y + self.shortcut(x)), state


class ResNet(eqx.Module):
    """Three blocks, each half as wide and twice as deep as the one before, and a linear layer on their means."""

    blocks: list[Block]
    last: eqx.nn.Linear

    def __init__(self, width: int, classes: int, key: Key[Array, ""]):
        keys = jax.random.split(key, 4)
        channels = [1, width, 2 * width, 4 * width]
        self.blocks = [Block(channels[i], channels[i + 1], 1 if i == 0 else 2, keys[i]) for i in range(3)]
        self.last = eqx.nn.Linear(4 * width, classes, key=keys[3])

    def __call__(self, image: Array, state: eqx.nn.State) -> Normed:
        """The scores of the classes for one image, and the next state."""
        x = image[None]
        for block in self.blocks:
            x, state = block(x, state)
        return self.last(jnp.mean(x, axis=(1, 2))), state


class Trained(NamedTuple):
    """The run, the test error, and the derivative beside its difference."""

    result: Result
    error: float
    derivative: float
    difference: float


def load_digits(seed: int) -> tuple[Dataset, Dataset]:
    """1,200 images to learn from and 597 to test, of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels).reshape(-1, 8, 8) / 16, np.asarray(digits))
    learned, tested = data.split([1200, 597], key=jax.random.key(seed))
    return learned, tested


def schedule(peak: Float[Array, ""] | float, steps: int) -> StepSchedule:
    """A short rise to `peak`, then half a cosine down to 0."""
    t = jnp.arange(steps) / steps
    return StepSchedule(peak * jnp.minimum(1, t / 0.1) * (1 + jnp.cos(jnp.pi * t)) / 2)


def test_error(result: Result, data: Dataset) -> float:
    """How often the network is wrong, by its running statistics."""
    network = eqx.nn.inference_mode(result.w)
    classify = jax.vmap(lambda image: jnp.argmax(network(image, result.model_state)[0]))
    wrong = jax.lax.map(lambda piece: classify(piece[0][None])[0] != piece[1], (data.x, data.y), batch_size=500)
    return float(jnp.mean(wrong))


def fit(learned: Dataset, tested: Dataset, width: int, epochs: int, peak: float, seed: int) -> Trained:
    """Train the network, and say how good it is."""
    keys = jax.random.split(jax.random.key(seed), 3)
    learned, valid = learned.split(0.9, key=keys[0])
    network, state = eqx.nn.make_with_state(ResNet)(width, int(learned.y.max()) + 1, keys[1])
    size = min(100, len(learned))
    steps = epochs * (len(learned) // size)
    settings = partial(
        Params,
        momentum=Momentum(0.9),
        loss=CrossEntropyOnLinear(),
        regularization=L2Reg(2e-4),
        batch=Minibatch(size, drop_last=True),
        silent=True,
    )
    run = partial(train, network, learned, valid=valid, model_state=state, key=keys[2])
    start = time.perf_counter()
    result = run(settings(learning_rate=schedule(peak, steps)))
    jax.block_until_ready(result.loss)
    seconds, error = time.perf_counter() - start, test_error(result, tested)
    print(f"{epochs} epochs of {steps // epochs} steps took {seconds:.1f} s, compiling included.")
    print(f"Validation loss {result.valid_loss:.4f}, test error {error:.2%}.")
    few = partial(settings, return_best=False)
    loss = eqx.filter_jit(lambda rate: jnp.asarray(run(few(learning_rate=StepSchedule(jnp.full(5, rate)))).valid_loss))
    derivative = float(eqx.filter_jit(jax.grad(loss))(peak / 10))
    difference = float((loss(peak * 0.11) - loss(peak * 0.09)) / (peak * 0.02))
    print(f"d(validation loss) / d(rate) through 5 steps: {derivative:.3f}, by a difference {difference:.3f}.")
    return Trained(result, error, derivative, difference)


def draw(trained: Trained, out: Path) -> None:
    """Draw the losses and the running statistics of the first normalization into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (losses, statistics) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    result, first = trained.result, trained.result.w.blocks[0].norms[0]
    losses.plot(result.loss_history, color="tab:gray", alpha=0.5, label="minibatch and penalty, normalized by itself")
    losses.plot(result.valid_steps, result.valid_history, color="tab:red", label="validation, by running statistics")
    losses.set(title=f"loss; test error {trained.error:.2%} in the end", xlabel="step", yscale="log")
    losses.legend()
    mean, variance = result.model_state.get(first.batch_state_index)
    statistics.errorbar(np.arange(len(mean)), mean, np.sqrt(variance), fmt="o", capsize=3)
    statistics.set(title="state: mean and deviation of each channel of the first layer", xlabel="channel")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Trained:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a directory with MNIST-format files")
    parser.add_argument("--rows", type=int, default=10_000, help="training images to use of those")
    parser.add_argument("--width", type=int, default=8, help="channels of the first block (default 8)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs (default 20)")
    parser.add_argument("--rate", type=float, default=0.1, help="the highest learning rate (default 0.1)")
    parser.add_argument("--seed", type=int, default=0, help="draws the weights and the order of the data")
    parser.add_argument("--out", type=Path, default=Path("out/resnet.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    for name in ("rows", "width", "epochs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    try:
        files = options.data
        learned, tested = load_digits(options.seed) if files is None else load_mnist(files, flatten=False)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    trained = fit(learned[: options.rows], tested, options.width, options.epochs, options.rate, options.seed)
    draw(trained, options.out)
    return trained


if __name__ == "__main__":
    main()
