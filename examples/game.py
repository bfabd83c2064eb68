"""The rules of a game, optimized while the players optimize against their models of each other.

Two firms sell the same good. In each round each of them sets the quantity that earns it most, by an inner minimization,
given what its model says that the other will sell: a moving average of what it has seen. A regulator sets the rules, a
tax (or subsidy) per unit for each firm, and wants the welfare of the later rounds: what the buyers gain plus what the
firms earn plus the tax. Its derivative goes through all rounds and through every minimization of both players, and
`minimize` climbs it.

With linear demand the best tax is known: the subsidy (a - c) / 2 that makes the firms sell what competition would,
once the first rounds are over, so the result can be checked.

    python examples/game.py
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from hype_optim import Adam, Newton, Params, Result, minimize
from jax import lax
from jaxtyping import Array, Float

DEMAND, SLOPE, COST = 10.0, 1.0, 2.0  # the price is DEMAND - SLOPE * (what is sold), a unit costs COST
MEMORY = 0.6  # the weight of the past in the firms' models of each other


class Game(NamedTuple):
    """The quantities of both firms in each round, before and after, and the regulator's run."""

    before: Float[Array, "rounds 2"]
    after: Float[Array, "rounds 2"]
    outer: Result

    @property
    def tax(self) -> Float[Array, "2"]:
        """What was found."""
        return self.outer.w


def answer(tax: Float[Array, ""], expected: Float[Array, ""], last: Float[Array, ""]) -> Float[Array, ""]:
    """The quantity that earns a firm most, if the other sells what it expects."""

    def loss(quantity: Float[Array, ""]) -> Float[Array, ""]:
        price = DEMAND - SLOPE * (quantity + expected)
        return -quantity * (price - COST - tax)

    return minimize(loss, last, Params(2, method=Newton(), learning_rate=0.8, return_best=False, silent=True)).w


def play(tax: Float[Array, "2"], rounds: int) -> Float[Array, "rounds 2"]:
    """What both firms sell in each round."""

    def turn(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        sold, models = state
        now = jnp.stack([answer(tax[i], models[i], sold[i]) for i in range(2)])
        return (now, MEMORY * models + (1 - MEMORY) * now[::-1]), now

    start = (jnp.array([0.5, 3.0]), jnp.array([0.0, 0.0]))
    return lax.scan(turn, start, length=rounds)[1]


def welfare(sold: Float[Array, "rounds 2"]) -> Float[Array, ""]:
    """What buyers and firms gain a round, once the firms know each other; the tax only changes hands."""
    total = jnp.sum(sold[len(sold) // 2 :], axis=1)
    return jnp.mean(DEMAND * total - SLOPE * total**2 / 2 - COST * total)


def solve(rounds: int, outer_steps: int) -> Game:
    """Find the rules, and say what they do."""
    start = jnp.zeros(2)
    outer = minimize(
        lambda tax: -welfare(play(tax, rounds)), start, Params(outer_steps, learning_rate=Adam(0.2), silent=True)
    )
    result = Game(play(start, rounds), play(outer.w, rounds), outer)
    most = (DEMAND - COST) ** 2 / (2 * SLOPE)
    for name, tax, sold in (("without a tax", start, result.before), ("by the rules found", outer.w, result.after)):
        print(f"{name:19} tax {np.round(tax, 3)}: ", end="")
        print(
            f"welfare {float(welfare(sold)):.3f} of at most {most:.3f}, sold in the end {float(jnp.sum(sold[-1])):.3f}"
        )
    print(f"Theory: a tax of {-(DEMAND - COST) / 2:g} for each firm, and {(DEMAND - COST) / SLOPE:g} sold in the end.")
    return result


def draw(result: Game, out: Path) -> None:
    """Draw what is sold in each round, and the welfare over the outer steps."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for name, color, sold in (("no tax", "tab:gray", result.before), ("rules found", "tab:red", result.after)):
        left.plot(jnp.sum(sold, axis=1), color=color, linewidth=2.5, label=f"{name}, both")
        left.plot(sold[:, 0], color=color, linestyle="--", label=f"{name}, each")
        left.plot(sold[:, 1], color=color, linestyle=":")
    left.axhline((DEMAND - COST) / SLOPE, color="black", linewidth=0.8, label="competition")
    left.set(title="what is sold", xlabel="round", ylabel="quantity")
    left.legend(fontsize="small")
    right.plot(-result.outer.loss_history, color="tab:red")
    right.axhline((DEMAND - COST) ** 2 / (2 * SLOPE), color="black", linewidth=0.8, label="the most possible")
    right.set(title="welfare under the rules", xlabel="outer step", ylabel="mean over the later rounds")
    right.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


def main(argv: list[str] | None = None) -> Game:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="rounds of a game")
    parser.add_argument("--outer-steps", type=int, default=200, help="steps of the regulator")
    parser.add_argument("--out", type=Path, default=Path("out/game.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    result = solve(options.rounds, options.outer_steps)
    draw(result, options.out)
    return result


if __name__ == "__main__":
    main()
