"""Fine-tuning by low-rank adapters, with a hypergradient of the scale of each rank.

A classifier has learned upright digits; now there are a hundred that lie on their side. Its weights are held, and
adapters of low rank learn beside them, W + B diag(s) A (Hu et al. 2022): `where=` says so. The rows of A begin as the
directions that the weights are most sensitive to, their first singular vectors, and B as 0. One scale for all ranks is
a setting that people sweep, and so it is here first. Then each rank of each layer has its own, and all are tuned by the
derivative of the validation loss through the whole fine-tuning.

    python examples/low_rank_adapters.py
"""

import argparse
from functools import partial
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import CrossEntropyOnLinear, Dataset, Momentum, NoReg, Params, Tuned, positive, train, tune
from jaxtyping import Array, Float, Key
from sklearn.datasets import load_digits


class Adapted(eqx.Module):
    """A linear layer W x + b + B (s * A x)."""

    linear: eqx.nn.Linear
    down: Float[Array, "rank inputs"]
    up: Float[Array, "outputs rank"]
    scale: Float[Array, " rank"]

    def __init__(self, linear: eqx.nn.Linear, scale: Float[Array, " rank"]):
        self.linear, self.scale = linear, scale
        self.down = jnp.linalg.svd(linear.weight, full_matrices=False)[2][: scale.size]
        self.up = jnp.zeros((len(linear.weight), scale.size))

    def __call__(self, x: Float[Array, " inputs"], *, key: Key[Array, ""] | None = None) -> Float[Array, " outputs"]:
        """The output for one example."""
        return self.linear(x) + self.up @ (self.scale * (self.down @ x))


class Found(NamedTuple):
    """Test errors on digits that lie on their side, and the tuned scales."""

    before: float
    best: float
    equal: float
    tuned: float
    search: Tuned
    scales: Float[np.ndarray, "layers rank"]


def classifier(keys: Key[Array, " 3"]) -> eqx.nn.Sequential:
    """Three linear layers."""
    act = eqx.nn.Lambda(jnp.tanh)
    sizes = [(64, 64), (64, 64), (64, 10)]
    first, second, last = (eqx.nn.Linear(*size, key=key) for size, key in zip(sizes, keys, strict=True))
    return eqx.nn.Sequential([first, act, second, act, last])


def adapt(model: eqx.nn.Sequential, scales: Float[Array, "layers rank"]) -> eqx.nn.Sequential:
    """The classifier with adapters beside its linear layers."""
    linear = [i for i in range(0, 5, 2)]
    adapters = [Adapted(model.layers[i], scale) for i, scale in zip(linear, scales, strict=True)]
    return eqx.tree_at(lambda m: [m.layers[i] for i in linear], model, adapters)


def error(model: eqx.nn.Sequential, data: Dataset) -> float:
    """How often it is wrong."""
    return float(jnp.mean(jnp.argmax(jax.vmap(model)(data.x), axis=1) != data.y))


def main(argv: list[str] | None = None) -> Found:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rank", type=int, default=8, help="rank of the adapters (default 8)")
    parser.add_argument("--steps", type=int, default=60, help="steps of a fine-tuning (default 60)")
    parser.add_argument("--outer-steps", type=int, default=40, help="steps of the tuning (default 40)")
    parser.add_argument("--out", type=Path, default=Path("out/low_rank_adapters.png"), help="where to put the picture")
    options = parser.parse_args(argv)
    keys = jax.random.split(jax.random.key(0), 8)
    x, y = load_digits(return_X_y=True)
    upright, lying = Dataset(x / 16, y).split([900, 897], key=keys[0])
    lying = lying.map_x(lambda x: jnp.rot90(x.reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64))
    pool, valid, tested = lying.split([300, 200, 397])
    settings = partial(Params, loss=CrossEntropyOnLinear(), momentum=Momentum(0.9), regularization=NoReg(), silent=True)
    model = eqx.filter_jit(train)(classifier(keys[1:4]), upright, settings(300, learning_rate=0.2)).w

    def fine_tuned(scales: Float[Array, "layers rank"], key: Key[Array, ""]) -> eqx.nn.Sequential:
        where = lambda model: [[model.layers[i].down, model.layers[i].up] for i in (0, 2, 4)]
        params = settings(options.steps, learning_rate=0.02, return_best=False)
        return train(adapt(model, scales), pool.random_subset(100, key), params, where=where).w

    def loss(scales: Float[Array, "layers rank"], key: Key[Array, ""]) -> Float[Array, ""]:
        predictions = jax.vmap(fine_tuned(scales, key))(valid.x)
        return jnp.mean(jax.vmap(CrossEntropyOnLinear())(predictions, valid.y))

    candidates = jnp.geomspace(0.1, 10, 16)[:, None, None] * jnp.ones((3, options.rank))
    swept = jax.vmap(lambda scales: jnp.mean(jax.vmap(lambda key: loss(scales, key))(jax.random.split(keys[7], 8))))
    equal = candidates[jnp.nanargmin(jax.jit(swept)(candidates))]
    search = tune(loss, positive(equal), steps=options.outer_steps, key=keys[5])
    assert (fine_tuned(equal, keys[6]).layers[0].linear.weight == model.layers[0].weight).all()
    wrong = lambda scales: error(eqx.filter_jit(fine_tuned)(scales, keys[6]), tested)
    tuned = search.values
    found = Found(error(model, tested), float(equal[0, 0]), wrong(equal), wrong(tuned), search, np.asarray(tuned))
    print(f"Digits that lie on their side, wrong before fine-tuning: {found.before:.1%}.")
    print(f"With adapters of rank {options.rank} and the best scale for all, {found.best:.2f}: {found.equal:.1%}.")
    print(f"With tuned scales: {found.tuned:.1%}.")
    print(f"Loss on validation digits at new seeds: {search.start_value:.3f} with one scale, {search.value:.3f} tuned.")
    for name, scales in zip(("first", "second", "last"), found.scales, strict=True):
        print(f"scales of the {name} layer: " + " ".join(f"{scale:.2f}" for scale in scales))
    draw(found, options.out)
    return found


def draw(found: Found, out: Path) -> None:
    """Draw the tuning and the scales into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (history, scales) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    history.plot(found.search.history)
    history.set(title="after fine-tuning, a new seed each step", xlabel="step of the tuning", ylabel="validation loss")
    for place, layer in enumerate(found.scales):
        scales.plot([place] * len(layer), layer, "o")
    scales.axhline(found.best, color="tab:gray", label="where they began")
    scales.set(title="adapters, rank by rank", ylabel="scale", yscale="log")
    scales.set_xticks(range(3), ["first", "second", "last layer"])
    scales.minorticks_off()
    scales.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    plt.close(figure)
    print(f"The picture is in {out}.")


if __name__ == "__main__":
    main()
