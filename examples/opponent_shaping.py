"""Two players who learn, and who know that the other one learns: cooperation in the iterated prisoner's dilemma.

A policy is the probability to cooperate at first and after each outcome of the last round; what it earns, of a future
discounted by 0.96, has a closed form. Naive learners follow the gradient of what they earn, and end in defection.
With opponent-learning awareness (LOLA, Foerster et al. 2018, section 4.3) each also differentiates the step that the
other one will make, a `minimize` of one step, and so finds tit-for-tat. Their table 3 has -1.98 (standard deviation
0.14) a round for naive learners and -1.06 (0.19) with LOLA; mutual defection earns -2, mutual cooperation -1.

    python examples/opponent_shaping.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import Params, minimize
from jaxtyping import Array, Float
from matplotlib.figure import Figure

Policy = Float[Array, "5"]  # the logits at first, and after both cooperated, the other defected, I did, both did
DISCOUNT, REWARDS = 0.96, jnp.array([-1.0, -3.0, 0.0, -2.0])
RATE = 1 / (1 - DISCOUNT)  # theirs is 1, for the sum of rewards in place of the mean


def value(mine: Policy, other: Policy) -> Float[Array, ""]:
    """The reward of a round, in the discounted mean over all rounds."""
    p, q = jax.nn.sigmoid(mine), jax.nn.sigmoid(other)[jnp.array([0, 1, 3, 2, 4])]
    outcomes = jnp.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], axis=1)
    return (1 - DISCOUNT) * outcomes[0] @ jnp.linalg.solve(jnp.eye(4) - DISCOUNT * outcomes[1:], REWARDS)


def step(aware: float, mine: Policy, other: Policy) -> Policy:
    """How I change my policy."""

    def shaped(mine: Policy) -> Float[Array, ""]:
        loss = jax.tree_util.Partial(lambda mine, other: -value(other, mine), mine)
        then = minimize(loss, other, Params(1, learning_rate=RATE, return_best=False, silent=True)).w
        slope = jax.grad(value, argnums=1)(jax.lax.stop_gradient(mine), other)  # their first order, equation 8
        return value(mine, other) + aware * slope @ then

    return mine + RATE * jax.grad(shaped)(mine)


def play(aware: float, steps: int, key: Array) -> tuple[Float[Array, "2 5"], Float[Array, "steps 2"]]:
    """Both learn at once, from random policies; gives the last ones, and what both earn before each step."""

    def both(policies: Float[Array, "2 5"], _: None) -> tuple[Float[Array, "2 5"], Float[Array, "2"]]:
        a, b = policies
        return jnp.stack([step(aware, a, b), step(aware, b, a)]), jnp.stack([value(a, b), value(b, a)])

    return jax.lax.scan(both, jax.random.normal(key, (2, 5)), None, steps)


def main(steps: int = 500, pairs: int = 100, out: str = "out/opponent_shaping.png") -> dict[str, tuple[Array, Array]]:
    """Let pairs of players learn, and draw; gives last policies and what they earned."""
    keys = jax.random.split(jax.random.key(0), pairs)
    run = jax.jit(lambda aware: jax.vmap(lambda key: play(aware, steps, key))(keys))
    found = {"naive learners": run(0.0), "LOLA": run(1.0)}
    left, right = (figure := Figure(figsize=(10, 3.8), layout="constrained")).subplots(1, 2)
    for (name, (policies, earned)), place in zip(found.items(), (-0.2, 0.2), strict=True):
        probabilities, ends = np.asarray(jax.nn.sigmoid(policies)), earned[:, -1]
        print(f"{name}: {ends.mean():.2f} a round (standard deviation {ends.std():.2f}); to cooperate, in the median:")
        print(f"  at first, CC, CD, DC, DD: {np.round(np.median(probabilities, axis=(0, 1)), 2)}")
        of_a_pair = earned.mean(axis=2)
        left.plot(of_a_pair.mean(axis=0), label=name)
        left.fill_between(range(steps), *np.quantile(of_a_pair, (0.1, 0.9), axis=0), alpha=0.3)
        right.boxplot(probabilities.reshape(-1, 5), positions=np.arange(5) + place, widths=0.3)
    left.set(title="mean and 80 % of the pairs", xlabel="step of both", ylabel="reward of a round", ylim=(-2.1, -0.9))
    right.set(title="naive left, LOLA right", xlabel="after what I and the other one did")
    right.set(ylabel="probability to cooperate")
    right.set_xticks(range(5), ["at first", "CC", "CD", "DC", "DD"])
    left.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    print(f"The picture is in {out}.")
    return found


if __name__ == "__main__":
    main()
