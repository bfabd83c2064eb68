"""Poisson's equation in 1,000 dimensions, solved by a network whose Laplacian is estimated from random directions.

In the unit ball, -Δu = g with u = 0 on the sphere. The right-hand side g is that of an exact solution in which
neighboring coordinates interact, as in Hu et al. 2024, "Tackling the curse of dimensionality with physics-informed
neural networks", and Shi et al. 2024, "Stochastic Taylor derivative estimator":

    u(x) = (1 - |x|²) Σ c_i sin(x_i + cos(x_{i+1}) + x_{i+1} cos(x_i))

Here the coefficients have the mean 0; else the sum would be nearly a constant, and easily found. An exact Laplacian of
the network would take 1,000 directions at each point. `stochastic_laplacian` takes a few, at a cost that does not
depend on the dimension. The square of a residual with an estimate in it is too large in the mean, by the variance; the
product of the residuals from two independent estimates is not. The right-hand side is exact, by `laplacian`, which sees
that each term depends on two coordinates.

    python examples/poisson.py
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
import optax
from hype_ad import laplacian, stochastic_laplacian
from hype_neural import FeedForward, InitTanh, Linear
from hype_optim import Dataset, Minibatch, NoReg, Params, train
from jaxtyping import Array, Float, Int, Key


class Solution(NamedTuple):
    """What was found.

    Attributes:
        found: the network's solution at points that it has not seen.
        exact: the exact one there.
        lines: both along some diameters, `(2, diameters, points)`.
        residuals: the product of the two residuals, over the steps.
        seconds: of the training, compiling included.
    """

    found: Float[np.ndarray, " points"]
    exact: Float[np.ndarray, " points"]
    lines: Float[np.ndarray, "2 diameters steps"]
    residuals: Float[np.ndarray, " steps"]
    seconds: float

    @property
    def error(self) -> float:
        """The error relative to the solution, both in the root mean square."""
        return float(np.linalg.norm(self.found - self.exact) / np.linalg.norm(self.exact))


def exact(coefficients: Float[Array, " n"], x: Float[Array, " n"]) -> Float[Array, ""]:
    """The exact solution."""
    after = jnp.roll(x, -1)
    return (1 - x @ x) * (coefficients @ jnp.sin(x + jnp.cos(after) + after * jnp.cos(x)))


def point(key: Key[Array, ""], n: int) -> Float[Array, " n"]:
    """A random point of the ball: its distance from the center is as likely to be small as to be large."""
    direction_key, radius_key = jax.random.split(key)
    direction = jax.random.normal(direction_key, (n,))
    return jax.random.uniform(radius_key) * direction / jnp.linalg.norm(direction)


class Residual(eqx.Module):
    """The equation as a model: it maps a seed, which stands for a point and directions, to a squared residual.

    Attributes:
        network: from the scaled point to the solution over 1 - |x|², but for what is linear in it.
        linear: the rest.
        coefficients: of the exact solution, in integers, so that whoever trains the network leaves them alone.
        samples: how many directions each of the two estimates takes.
    """

    network: FeedForward
    linear: Linear
    coefficients: Int[Array, " n"]
    samples: int = eqx.field(static=True)

    def solution(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        """The network's, which is 0 on the sphere."""
        z = x * len(x) ** 0.5
        return (1 - x @ x) * (0.1 * self.network(z) + self.linear(z))[0]

    def __call__(self, seed: Int[Array, ""]) -> Float[Array, ""]:
        """The product of two residuals over 2 n, the size of the Laplacian of |x|²."""
        n = len(self.coefficients)
        point_key, *keys = jax.random.split(jax.random.key(seed), 3)
        x = point(point_key, n)
        wanted = laplacian(partial(exact, scaled(self.coefficients)))(x)
        estimate = stochastic_laplacian(self.solution, num_samples=self.samples)
        first, second = ((estimate(x, key=key).value - wanted) / (2 * n) for key in keys)
        return first * second


def scaled(coefficients: Int[Array, " n"]) -> Float[Array, " n"]:
    """The coefficients of the exact solution, of mean 0 and such that its gradient is of the order of that of |x|²."""
    c = coefficients / 1000
    c = c - jnp.mean(c)
    return c / jnp.linalg.norm(c) * len(c) ** 0.5


@eqx.filter_jit
def fit(model: Residual, data: Dataset, params: Params) -> tuple[Residual, Float[Array, " steps"]]:
    """The trained model and its loss over the steps; that over all seeds is not asked for, and not computed."""
    result = train(model, data, params)
    assert result.loss_history is not None
    return result.w, result.loss_history


def solve(dimension: int, steps: int, batch: int, samples: int, hidden: int) -> Solution:
    """Train a network, and compare it with the exact solution."""
    keys = jax.random.split(jax.random.key(1), 6)
    coefficients = (1000 * jax.random.normal(keys[0], (dimension,))).astype(int)
    layers = (Linear(dimension, hidden, InitTanh(), key=keys[1]), jnp.tanh)
    layers += (Linear(hidden, hidden, InitTanh(), key=keys[2]), jnp.tanh, Linear(hidden, 1, InitTanh(), key=keys[3]))
    model = Residual(FeedForward(layers), Linear(dimension, 1, InitTanh(), key=keys[5]), coefficients, samples)
    seeds = np.arange(steps * batch)
    params = Params(
        epochs=1,
        method=optax.adam(optax.cosine_decay_schedule(0.005, steps), eps_root=1e-16),
        loss=lambda product, _: product,
        regularization=NoReg(),
        batch=Minibatch(batch),
        return_best=False,
    )
    start = time.perf_counter()
    trained, history = jax.block_until_ready(fit(model, Dataset(seeds, seeds), params))
    seconds = time.perf_counter() - start
    x = jax.vmap(partial(point, n=dimension))(jax.random.split(keys[4], 1000))
    ends = x[:4] / jnp.linalg.norm(x[:4], axis=1, keepdims=True)
    on_lines = jnp.linspace(-1, 1, 101)[None, :, None] * ends[:, None]
    both = [jax.vmap(f) for f in (trained.solution, partial(exact, scaled(coefficients)))]
    found, true = (np.asarray(f(x)) for f in both)
    lines = np.stack([np.asarray(jax.vmap(f)(on_lines)) for f in both])
    return Solution(found, true, lines, np.asarray(history), seconds)


def tell(result: Solution, dimension: int) -> None:
    """Say how good the solution is."""
    steps = len(result.residuals)
    print(f"{dimension:,} dimensions, {steps:,} steps in {result.seconds:.0f} s.")
    print(f"Error at {len(result.exact):,} other points, relative to the exact solution: {result.error:.2%}")


def draw(result: Solution, out: Path) -> None:
    """Draw the residuals, and both solutions at points and along diameters, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    steps = len(result.residuals)
    width = max(1, steps // 100)
    means = result.residuals[: steps // width * width].reshape(-1, width).mean(axis=1)
    axes[0].plot(width * np.arange(len(means)), np.sqrt(np.maximum(means, 1e-9)), color="tab:gray")
    axes[0].set(title="residual over 2 n, root of the mean square", xlabel="step", yscale="log")
    ends = np.array([result.exact.min(), result.exact.max()])
    axes[1].plot(ends, ends, color="black", linewidth=0.5)
    axes[1].plot(result.exact, result.found, ".", color="tab:red", markersize=2)
    axes[1].set(title=f"at random points, error {result.error:.1%}", xlabel="exact solution", ylabel="found")
    places = np.linspace(-1, 1, result.lines.shape[-1])
    for k, (found, true) in enumerate(zip(*result.lines, strict=True)):
        axes[2].plot(places, true, color="black", linewidth=0.8, label="exact" if k == 0 else None)
        axes[2].plot(places[::4], found[::4], ".", color=f"C{k}", label="found" if k == 0 else None)
    axes[2].set(title="along four diameters", xlabel="distance from the center")
    axes[2].legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Solution:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimension", type=int, default=1000, help="of the ball (default 1000)")
    parser.add_argument("--steps", type=int, default=1200, help="steps of the training (default 1200)")
    parser.add_argument("--batch", type=int, default=64, help="points at each step (default 64)")
    parser.add_argument("--samples", type=int, default=8, help="directions of each of two estimates (default 8)")
    parser.add_argument("--hidden", type=int, default=64, help="size of the two hidden layers (default 64)")
    parser.add_argument("--out", type=Path, default=Path("out/poisson.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    result = solve(options.dimension, options.steps, options.batch, options.samples, options.hidden)
    tell(result, options.dimension)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
