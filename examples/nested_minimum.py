"""A minimum inside of a minimum: min over x of f(x) + min over y of g(x, y), with the exact second derivatives of both.

A ball rolls on a landscape g(x, y) to the nearest lowest height y, which depends on where x it is let go; the outer
problem looks for the best place x near its start, a local minimum (there is a lower one). The value function is a
function like any other, so Newton's method minimizes it with its exact gradient and Hessian, which come through the
inner minimization in two ways: through all of its steps (`Checkpointed`), and by the implicit function theorem at its
end (`Implicit`). Both are compared with each other.

    python examples/nested_minimum.py
"""

import argparse
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import LBFGS, Checkpointed, Implicit, Newton, Params, Result, minimize
from jaxtyping import Array, Float


class Nested(NamedTuple):
    """The outer run, and the derivatives of the value function at its start by both adjoints."""

    outer: Result
    checkpointed: tuple[Float[Array, "2"], Float[Array, "2 2"]]
    implicit: tuple[Float[Array, "2"], Float[Array, "2 2"]]


def f(x: Float[Array, "2"]) -> Float[Array, ""]:
    """The outer cost alone."""
    return 0.1 * x @ x + 0.3 * x[0]


def g(x: Float[Array, "2"], y: Float[Array, ""]) -> Float[Array, ""]:
    """The landscape: a tilted quartic in y that bends with x."""
    return (y - jnp.sin(2 * x[0])) ** 2 + 0.5 * (y - x[1]) ** 4 + 0.2 * x[0] * y


def value_function(adjoint: Checkpointed | Implicit, inner_steps: int, x: Float[Array, "2"]) -> Float[Array, ""]:
    """f(x) plus the minimum over y of g(x, y)."""
    params = Params(inner_steps, method=LBFGS(), adjoint=adjoint, return_best=False, silent=True)
    return f(x) + minimize(jax.tree_util.Partial(g, x), 0.0, params).loss


def solve(inner_steps: int, outer_steps: int) -> Nested:
    """Compare the derivatives, minimize by Newton's method, and say what came out."""
    start = jnp.array([1.0, -0.5])
    value = partial(value_function, Implicit(), inner_steps)

    @partial(jax.jit, static_argnums=0)
    def gradient_and_hessian(
        adjoint: Checkpointed | Implicit, x: Float[Array, "2"]
    ) -> tuple[Float[Array, "2"], Float[Array, "2 2"]]:
        gradient = jax.grad(partial(value_function, adjoint, inner_steps))
        hessian, slope = jax.jacfwd(lambda x: (gradient(x),) * 2, has_aux=True)(x)
        return slope, hessian

    derivatives = [gradient_and_hessian(adjoint, start) for adjoint in (Checkpointed(), Implicit())]
    apart = max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(*derivatives, strict=True))
    print(f"Gradient of the value function at the start: {np.round(derivatives[0][0], 6)}")
    print(f"Its Hessian: {np.round(derivatives[0][1], 6).tolist()}")
    print(f"Through the steps and by the implicit function theorem they differ by at most {apart:.1e}.")
    params = Params(outer_steps, method=Newton(), keep_w_history=True, tolerance=1e-8, silent=True)
    outer = minimize(value, start, params)
    slope = jnp.linalg.norm(gradient_and_hessian(Implicit(), outer.w)[0])
    print(f"Newton's method: x = {np.round(outer.w, 6)} after {int(outer.steps)} steps, value {float(outer.loss):.6f},")
    print(f"  where the gradient has length {float(slope):.1e}.")
    return Nested(outer, *derivatives)


def draw(result: Nested, out: Path, inner_steps: int) -> None:
    """Draw the value function with the path of Newton's method."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    across, up = np.linspace(-2.6, 1.6, 60), np.linspace(-1.6, 1.6, 50)
    points = jnp.stack(jnp.meshgrid(across, up), axis=-1).reshape(-1, 2)
    heights = jax.jit(jax.vmap(lambda x: value_function(Implicit(), inner_steps, x)))(points).reshape(50, 60)
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    filled = axes.contourf(across, up, heights, 24, cmap="viridis")
    figure.colorbar(filled, label="f(x) + min over y of g(x, y)")
    path = np.concatenate([result.outer.w_history[: int(result.outer.steps)], result.outer.w[None]])
    axes.plot(*path.T, "o-", color="white", markersize=4, label="Newton's method")
    axes.plot(*path[-1], "*", color="tab:red", markersize=14, label="the local minimum that it finds")
    lowest = points[jnp.argmin(heights)]
    axes.plot(*lowest, "x", color="white", markersize=9, label="the lowest value shown")
    axes.set(xlabel="$x_1$", ylabel="$x_2$", title="the value function of an inner minimization")
    axes.legend(facecolor="tab:gray", loc="lower left", fontsize="small")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Nested:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inner-steps", type=int, default=20, help="steps of each inner minimization")
    parser.add_argument("--outer-steps", type=int, default=20, help="most steps of Newton's method")
    parser.add_argument("--out", type=Path, default=Path("out/nested_minimum.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    with jax.enable_x64(True):
        result = solve(options.inner_steps, options.outer_steps)
        draw(result, options.out, options.inner_steps)
    return result


if __name__ == "__main__":
    main()
