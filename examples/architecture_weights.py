"""Which function for which input: 65,536 architectures, and one found by mixing weights (DARTS, Liu et al. 2019).

A target is a sum of one function of each of eight inputs, and noise. The model has, for each input, a mixture of four
candidates, and a coefficient. Training finds the coefficients; the derivative of the validation loss after it finds the
mixing weights, softmax functions of 32 logits, here through all 100 steps of each training, where DARTS takes one step
for all. Then each input keeps the candidate with the largest weight. Do the logits find the functions that the targets
were made with, and what is the error worth beside the least one, which is that of the noise?

    python examples/architecture_weights.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
from hype_optim import Adam, Params, minimize
from jaxtyping import Array, Float
from matplotlib.figure import Figure

NOISE = 0.3
CANDIDATES = {
    "line": lambda x: x,
    "parabola": lambda x: 2 * (x**2 - 1 / 3),
    "sine": lambda x: jnp.sin(4 * x),
    "step": lambda x: jnp.where(x > 0, 0.7, -0.7),
}
TRUTH = jnp.array([0, 1, 2, 3, 3, 0, 2, 1])  # the candidate for each input
Data = tuple[Float[Array, "rows 8"], Float[Array, " rows"]]


def candidates(x: Float[Array, "*rows 8"]) -> Float[Array, "*rows 8 4"]:
    """What each candidate makes of each input."""
    return jnp.stack([f(x) for f in CANDIDATES.values()], axis=-1)


def data(rows: int, key: Array) -> Data:
    """Inputs, and targets with noise."""
    keys = jax.random.split(key)
    x = jax.random.uniform(keys[0], (rows, 8), minval=-1, maxval=1)
    chosen = candidates(x)[:, jnp.arange(8), TRUTH]
    return x, jnp.sum(chosen, axis=1) + NOISE * jax.random.normal(keys[1], (rows,))


def loss(points: Data, logits: Float[Array, "8 4"], w: Float[Array, "8"]) -> Float[Array, ""]:
    """The mean squared error of the mixture."""
    mixed = jnp.sum(jax.nn.softmax(logits) * candidates(points[0]), axis=2) @ w
    return jnp.mean((mixed - points[1]) ** 2)


def trained(points: Data, logits: Float[Array, "8 4"]) -> Float[Array, "8"]:
    """Coefficients of the inputs after 100 steps of training."""
    params = Params(100, None, Adam(0.1), return_best=False, silent=True)
    return minimize(jax.tree_util.Partial(loss, points, logits), jnp.ones(8), params).w


def search(rows: int, steps: int, key: Array) -> tuple[Float[Array, "steps 8 4"], Float[Array, "4"]]:
    """The mixing weights at each step, and test errors: of equal ones, of the last, of the choices and of the truth."""
    train, valid, test = (data(n, part) for n, part in zip((rows, rows, 2000), jax.random.split(key, 3), strict=True))
    outer = jax.tree_util.Partial(lambda train, valid, w: loss(valid, w, trained(train, w)), train, valid)
    params = Params(steps, None, Adam(0.1), keep_w_history=True, return_best=False, silent=True)
    logits = minimize(outer, jnp.zeros((8, 4)), params).w_history
    pure = lambda choice: 1e3 * jax.nn.one_hot(choice, 4)
    ways = jnp.stack([logits[0], logits[-1], pure(jnp.argmax(logits[-1], axis=1)), pure(TRUTH)])
    return jax.nn.softmax(logits), jax.vmap(lambda way: loss(test, way, trained(train, way)))(ways)


def main(
    rows: int = 60, steps: int = 100, draws: int = 10, out: str = "out/architecture_weights.png"
) -> tuple[Float[Array, "draws steps 8 4"], Float[Array, "draws 4"]]:
    """Search with some draws of the data, and draw."""
    run = jax.jit(jax.vmap(lambda key: search(rows, steps, key)))
    weights, errors = run(jax.random.split(jax.random.key(0), draws))
    right = jnp.sum(jnp.argmax(weights[:, -1], axis=-1) == TRUTH)
    print(f"{right} of {8 * draws} choices are right. Test errors, where the variance of the noise is {NOISE**2:.3f}:")
    for name, error in zip(("equal mixture", "learned mixture", "choices", "truth"), errors.T, strict=True):
        print(f"  {name}: {error.mean():.3f} (standard deviation {error.std():.3f})")
    panels = (figure := Figure(figsize=(11, 4.5), layout="constrained")).subplots(2, 4, sharex=True, sharey=True)
    for i, panel in enumerate(panels.flat):
        for k, name in enumerate(CANDIDATES):
            panel.plot(weights[0, :, i, k], label=name, linewidth=3 if k == TRUTH[i] else 1)
        panel.set(title=f"input {i}: {list(CANDIDATES)[TRUTH[i]]}")
    for panel in panels[1]:
        panel.set(xlabel="step of the tuning")
    for panel in panels[:, 0]:
        panel.set(ylabel="weight")
    panels[1, 3].legend(fontsize="small")
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    print(f"The picture is in {out}.")
    return weights, errors


if __name__ == "__main__":
    main()
