"""A classifier that does not mind small rotations, trained with the sensitivity to them in its loss.

Tangent propagation (Simard et al. 1992): beside the cross entropy the loss has a penalty on the derivative of the
network's output with respect to the angle by which its input is rotated. That derivative (a `jvp` through the
rotation and the network) is differentiated again by the training, and the weight of the penalty is tuned by the
derivative of the validation loss through the whole training: three levels of differentiation in one program.

    python examples/invariance.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_neural import FeedForward, Linear
from hype_optim import AbstractRange, Adam, Params, Result, minimize, positive
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Int
from sklearn.datasets import load_digits

SIDE = 8
Digits = tuple[Float[Array, "rows 64"], Int[Array, " rows"]]


class Invariance(NamedTuple):
    """Test errors over angles without and with the penalty, its weight, and the tuning."""

    angles: Float[Array, " angles"]  # degrees
    plain: Float[Array, " angles"]
    invariant: Float[Array, " angles"]
    weight: float
    outer: Result


def rotated(image: Float[Array, " pixels"], angle: Float[Array, ""]) -> Float[Array, " pixels"]:
    """The image rotated by an angle in radians, by linear interpolation; differentiable in the angle."""
    center = (SIDE - 1) / 2
    row, column = jnp.meshgrid(jnp.arange(SIDE) - center, jnp.arange(SIDE) - center, indexing="ij")
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    places = [cosine * row - sine * column + center, sine * row + cosine * column + center]
    return map_coordinates(image.reshape(SIDE, SIDE), places, order=1).ravel()


def blurred(images: Float[Array, "rows pixels"]) -> Float[Array, "rows pixels"]:
    """Images smooth enough for the derivative of a rotation to mean something."""
    kernel = jnp.outer(jnp.array([1.0, 2.0, 1.0]), jnp.array([1.0, 2.0, 1.0])) / 16
    smooth = lambda image: jax.scipy.signal.convolve2d(image.reshape(SIDE, SIDE), kernel, mode="same").ravel()
    return jax.vmap(smooth)(images)


def cross_entropy(network: FeedForward, data: Digits) -> Float[Array, ""]:
    """The mean over the digits."""
    x, y = data
    scores = jax.vmap(network)(x)
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - jnp.take_along_axis(scores, y[:, None], axis=1)[:, 0])


def sensitivity(network: FeedForward, x: Float[Array, "rows pixels"]) -> Float[Array, ""]:
    """The mean squared derivative of the scores with respect to the angle."""
    one = lambda image: jax.jvp(lambda angle: network(rotated(image, angle)), (0.0,), (1.0,))[1]
    return jnp.mean(jax.vmap(one)(x) ** 2)


def solve(rows: int, hidden: int, steps: int, outer_steps: int) -> Invariance:
    """Train without and with the penalty, and compare on rotated test digits."""
    pixels, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    x, y = blurred(jnp.asarray(pixels[order] / 16, jnp.float32)), jnp.asarray(digits[order])
    train_data, valid, test = (
        (x[part], y[part]) for part in (slice(rows), slice(rows, 2 * rows), slice(2 * rows, 4 * rows))
    )
    turns = jax.random.uniform(jax.random.key(1), (rows,), minval=-0.5, maxval=0.5)
    valid = jax.vmap(rotated)(valid[0], turns), valid[1]
    keys = jax.random.split(jax.random.key(0), 2)
    network = FeedForward([Linear(SIDE**2, hidden, key=keys[0]), jnp.tanh, Linear(hidden, 10, key=keys[1])])

    def trained(weight: Float[Array, ""]) -> FeedForward:
        loss = lambda network: cross_entropy(network, train_data) + weight * sensitivity(network, train_data[0])
        params = Params(steps, learning_rate=Adam(0.02), return_best=False, silent=True)
        return minimize(loss, network, params).w

    def valid_loss(weight: AbstractRange) -> Float[Array, ""]:
        return cross_entropy(trained(weight.value), valid)

    outer = minimize(valid_loss, positive(0.003), Params(outer_steps, learning_rate=Adam(0.4), silent=True))
    weight = outer.w.value

    angles = jnp.linspace(-50, 50, 21)

    @jax.jit
    def errors(weight: Float[Array, ""]) -> Float[Array, " angles"]:
        network = trained(weight)

        def error(angle: Float[Array, ""]) -> Float[Array, ""]:
            turned = jax.vmap(rotated, in_axes=(0, None))(test[0], jnp.deg2rad(angle))
            return jnp.mean(jnp.argmax(jax.vmap(network)(turned), axis=1) != test[1])

        return jax.lax.map(error, angles)

    result = Invariance(angles, errors(jnp.zeros(())), errors(weight), float(weight), outer)
    print(f"{rows} training digits; the weight of the penalty was tuned to {float(weight):.4f} in {outer_steps} steps.")
    print(f"{'rotated by':>12}  {'0 degrees':>10}  {'20 degrees':>10}  {'40 degrees':>10}")
    for name, each in (("plain", result.plain), ("invariant", result.invariant)):
        print(f"{name:>12}  {each[10]:10.1%}  {each[14]:10.1%}  {each[18]:10.1%}")
    print(f"The mean test error over all angles falls from {result.plain.mean():.1%} to {result.invariant.mean():.1%}.")
    return result


def draw(result: Invariance, out: Path) -> None:
    """Draw the errors over the angle, and the progress of the tuning."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    left.plot(result.angles, 100 * result.plain, "o-", color="tab:gray", label="cross entropy alone")
    left.plot(result.angles, 100 * result.invariant, "o-", color="tab:red", label="with the sensitivity penalty")
    left.set(title="test error of rotated digits", xlabel="angle (degrees)", ylabel="percent", ylim=(0, None))
    left.legend()
    losses = result.outer.loss_history
    right.plot(losses, color="tab:red")
    right.plot(np.argmin(losses), np.min(losses), "*", color="tab:red", markersize=12, label="the best")
    right.legend()
    right.set(title="tuning the penalty", xlabel="outer step", ylabel="validation loss of rotated digits")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Invariance:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300, help="digits for training and for validation each")
    parser.add_argument("--hidden", type=int, default=40, help="hidden units")
    parser.add_argument("--steps", type=int, default=80, help="steps of a training")
    parser.add_argument("--outer-steps", type=int, default=15, help="steps of the tuning")
    parser.add_argument("--out", type=Path, default=Path("out/invariance.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    result = solve(options.rows, options.hidden, options.steps, options.outer_steps)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
