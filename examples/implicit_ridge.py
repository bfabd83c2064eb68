"""Ridge and elastic-net penalties tuned by implicit differentiation, against scikit-learn's cross-validation.

The mean error of ten folds is a function of the logarithms of the penalties. Its derivative comes from the implicit
function theorem at the solution of each fold (`Implicit`), and a quasi-Newton method finds where it is smallest,
where a grid search tries penalties one by one: two penalties take as long as one.

The penalty |w| is not smooth. With w = u v, and u^2 + v^2 in the place of 2 |w|, it is (Hoff 2017): where |w| has a
kink there is a saddle instead, which Newton's method leaves, and at the minimum the Hessian is regular.

    python examples/implicit_ridge.py
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from hype_optim import LBFGS, AbstractRange, Implicit, Newton, Params, Result, minimize, positive
from jaxtyping import Array, Float
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNetCV, RidgeCV
from sklearn.model_selection import KFold

Fold = tuple[Float[Array, "rows features"], Float[Array, " rows"], Float[Array, " rows"]]


class ElasticNet(eqx.Module):
    """The coefficients of |w|_1 and of |w|^2 / 2, beside half of the mean squared error."""

    l1: AbstractRange
    l2: AbstractRange


class Tuned(NamedTuple):
    """What was found, and scikit-learn's answer to the same question."""

    ridge: Result
    ridge_theirs: tuple[float, float]  # penalty and error
    net: Result
    net_theirs: tuple[float, float, float]  # coefficients of |w|_1 and |w|^2 / 2, and error
    grid: tuple[Float[Array, " penalties"], Float[Array, " penalties"]]


def folds(rows: int, number: int) -> tuple[np.ndarray, np.ndarray, list, Fold]:
    """The diabetes data, and for each fold which rows are for training (1) and which are held out (0)."""
    x, y = (np.asarray(part)[:rows] for part in load_diabetes(return_X_y=True))
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    splits = list(KFold(number).split(x))
    inside = np.ones((number, len(x)))
    for mask, (_, held_out) in zip(inside, splits, strict=True):
        mask[held_out] = 0
    return x, y, splits, (jnp.asarray(x), jnp.asarray(y), jnp.asarray(inside))


def squared(residuals: Float[Array, " rows"], weights: Float[Array, " rows"]) -> Float[Array, ""]:
    """The weighted mean of squares."""
    return jnp.sum(weights * residuals**2) / jnp.sum(weights)


# Not checked: far trial points of the outer search need no right derivative, and no warning.
SOLVED_BY = Implicit(lx.LU(), tolerance=None)


def ridge_error(l2: AbstractRange, data: Fold) -> Float[Array, ""]:
    """The error of ridge regression on what is held out, in the mean over the folds."""
    x, y, inside = data

    def one(inside: Float[Array, " rows"]) -> Float[Array, ""]:
        loss = lambda w: squared(x @ w - y, inside) / 2 + l2.value * w @ w / 2
        params = Params(2, method=Newton(), learning_rate=1.0, adjoint=SOLVED_BY, return_best=False, silent=True)
        return squared(x @ minimize(loss, jnp.zeros(x.shape[1]), params).w - y, 1 - inside)

    return jnp.mean(jax.vmap(one)(inside))


def net_weights(
    net: ElasticNet,
    x: Float[Array, "rows features"],
    y: Float[Array, " rows"],
    inside: Float[Array, " rows"],
    steps: int,
) -> Float[Array, " features"]:
    """The elastic-net solution, as a product."""

    def loss(factors: Float[Array, "2 features"]) -> Float[Array, ""]:
        w = factors[0] * factors[1]
        return squared(x @ w - y, inside) / 2 + net.l1.value * jnp.sum(factors**2) / 2 + net.l2.value * w @ w / 2

    start = jnp.stack([jnp.full(x.shape[1], 0.5), jnp.full(x.shape[1], 0.1)])
    params = Params(steps, method=Newton(), adjoint=SOLVED_BY, return_best=False, silent=True)
    return jnp.prod(minimize(loss, start, params).w, axis=0)


def net_error(net: ElasticNet, data: Fold, steps: int) -> Float[Array, ""]:
    """The error of the elastic net on what is held out, in the mean over the folds."""
    x, y, inside = data
    one = lambda inside: squared(x @ net_weights(net, x, y, inside, steps) - y, 1 - inside)
    return jnp.mean(jax.vmap(one)(inside))


def solve(rows: int, number: int, outer_steps: int, inner_steps: int) -> Tuned:
    """Tune both, and compare."""
    x, y, splits, data = folds(rows, number)
    params = Params(outer_steps, method=LBFGS(), tolerance=1e-7, silent=True)
    ridge = minimize(jax.tree_util.Partial(lambda data, l2: ridge_error(l2, data), data), positive(0.01), params)
    penalties = np.geomspace(1e-4, 10, 200)
    each = jax.jit(jax.vmap(lambda penalty: ridge_error(positive(penalty), data)))(penalties)
    # Their penalty is of the sum of squares, so it is ours times the rows of a training part.
    same: dict[str, Any] = {"fit_intercept": False, "cv": splits}
    scale = len(x) * (number - 1) / number
    theirs: Any = RidgeCV(alphas=penalties * scale, scoring="neg_mean_squared_error", **same).fit(x, y)
    ridge_theirs = float(theirs.alpha_ / scale), -float(theirs.best_score_)
    print(f"Ridge, {number} folds of {len(x)} patients:")
    print(
        f"  implicit:     penalty {float(ridge.w.value):.5f}, error {float(ridge.loss):.6f}, {int(ridge.steps)} steps"
    )
    print(f"  scikit-learn: penalty {ridge_theirs[0]:.5f}, error {ridge_theirs[1]:.6f}, 200 penalties tried")

    objective = jax.tree_util.Partial(lambda data, net: net_error(net, data, inner_steps), data)
    net = minimize(objective, ElasticNet(positive(0.01), positive(0.01)), params)
    ratios = np.linspace(0.05, 1, 20)
    same |= {"l1_ratio": ratios, "alphas": np.geomspace(1e-3, 1, 100), "tol": 1e-8, "max_iter": 10**5}
    theirs = ElasticNetCV(**same).fit(x, y)
    error = float(theirs.mse_path_.mean(axis=-1).min())
    net_theirs = float(theirs.alpha_ * theirs.l1_ratio_), float(theirs.alpha_ * (1 - theirs.l1_ratio_)), error
    print("Elastic net:")
    print(f"  implicit:     {float(net.w.l1.value):.5f} |w|_1 + {float(net.w.l2.value):.5f} |w|^2 / 2, ", end="")
    print(f"error {float(net.loss):.6f}, {int(net.steps)} steps")
    print(f"  scikit-learn: {net_theirs[0]:.5f} |w|_1 + {net_theirs[1]:.5f} |w|^2 / 2, ", end="")
    print(f"error {error:.6f}, {len(ratios) * 100:,} pairs tried")
    return Tuned(ridge, ridge_theirs, net, net_theirs, (jnp.asarray(penalties), each))


def draw(result: Tuned, out: Path) -> None:
    """Draw the error over the ridge penalty, and the progress of both searches."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    left.plot(*result.grid, color="tab:gray", label="200 penalties")
    left.plot(
        float(result.ridge.w.value), float(result.ridge.loss), "*", color="tab:red", markersize=14, label="implicit"
    )
    left.plot(*result.ridge_theirs, "o", color="black", fillstyle="none", markersize=12, label="scikit-learn")
    left.set(title="ridge: error on held-out folds", xlabel="penalty", xscale="log")
    left.legend()
    for name, color, run, theirs in (
        ("ridge", "tab:blue", result.ridge, result.ridge_theirs[1]),
        ("elastic net", "tab:red", result.net, result.net_theirs[2]),
    ):
        right.plot(run.loss_history, "o-", color=color, label=f"{name}, implicit")
        right.axhline(theirs, color=color, linestyle="--", linewidth=1, label=f"{name}, scikit-learn's grid")
    right.set(title="progress", xlabel="outer step", ylabel="error on held-out folds")
    right.legend(fontsize="small")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Tuned:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=442, help="patients to use")
    parser.add_argument("--folds", type=int, default=10, help="folds of the cross-validation")
    parser.add_argument("--outer-steps", type=int, default=25, help="most steps of the tuning")
    parser.add_argument("--inner-steps", type=int, default=25, help="steps of each elastic-net solution")
    parser.add_argument("--out", type=Path, default=Path("out/implicit_ridge.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    with jax.enable_x64(True):
        result = solve(options.rows, options.folds, options.outer_steps, options.inner_steps)
        draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
