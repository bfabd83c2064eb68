"""A program for eight devices: how far results, losses and hypergradients are from those of one device.

`python on_devices.py SETTING:KIND:PLACE:DEVICES ...` prints a line for each, with the largest relative difference and
with what the compiled program sends from device to device.
"""

import os
import re
import sys

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import (
    LBFGS,
    Checkpointed,
    Constant,
    Dataset,
    Early,
    Implicit,
    L2Reg,
    Minibatch,
    Momentum,
    NewtonCG,
    Params,
    Reversible,
    StrongWolfe,
    Truncated,
    Unrolled,
    minimize,
    train,
)
from jax.sharding import AxisType, NamedSharding, PartitionSpec

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

ROWS, WIDTH = 38, 8  # the rows are no multiple of the number of devices
CONVERGED = {"method": LBFGS(), "learning_rate": StrongWolfe(), "epochs": 60, "return_best": False}
SETTINGS = {
    "checkpointed": {"adjoint": Checkpointed(2)},
    "unrolled": {"adjoint": Unrolled()},
    "auto": {"adjoint": "auto"},
    "truncated": {"adjoint": Truncated(5)},
    "reversible": {"adjoint": Reversible(), "momentum": Momentum(0.9)},
    "implicit": {"adjoint": Implicit(), **CONVERGED},
    "early": {"early_stopping": Early(3, 3), "tolerance": 1e-9},
    "newton_cg": {"method": NewtonCG(), "epochs": 5},
    "lbfgs": {"method": LBFGS(), "learning_rate": StrongWolfe(), "epochs": 6},
    "minibatch": {"batch": Minibatch(16, shards=8), "epochs": 4},
    "rest": {"batch": Minibatch(24, shards=8), "epochs": 4},
}


def examples():
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, WIDTH))
    y = np.tanh(x @ random.normal(size=(WIDTH, 2))) + 0.1 * random.normal(size=(ROWS, 2))
    return Dataset(x, y).pad(8), 0.1 * random.normal(size=(WIDTH, 2))


def predict(w, x):
    return jnp.tanh(x @ w)


def hypergradient(setting, kind, data, w, numbers):
    """Result, losses and hypergradient in the weights, a rate and a penalty."""
    settings = {"epochs": 20, **SETTINGS[setting]}

    def run(moving):
        start, rate, penalty = moving.get("w", w), moving.get("rate", numbers[0]), moving["penalty"]
        chosen = {"learning_rate": Constant(rate), **settings}
        inside = jax.sharding.get_abstract_mesh().manual_axes
        total = lambda x: jax.lax.psum(jnp.sum(x), inside) if inside else jnp.sum(x)
        mean = lambda w: total(data.weights[:, None] * (predict(w, data.x) - data.y) ** 2) / total(data.weights)
        if kind == "train":
            params = Params(silent=True, regularization=L2Reg(penalty), **chosen)
            result = train(jax.tree_util.Partial(predict, start), data, params, key=jax.random.key(0))
            found = result.w.args[0]
        else:
            result = minimize(lambda w: mean(w) + penalty * jnp.sum(w**2), start, Params(silent=True, **chosen))
            found = result.w
        # Rounding decides at which step a search ends that has converged.
        return result.loss, (found, None if setting == "implicit" else result.loss_history)

    moving = {"rate": numbers[0], "penalty": numbers[1], "w": w}
    if setting == "implicit":  # which sees nothing of the way to the minimum
        moving = {"penalty": numbers[1]}
    return jax.value_and_grad(run, has_aux=True)(moving)


def placed(place, devices, data, w):
    """The mesh, and the data and the weights on it."""
    kind = AxisType.Auto if place in ("auto", "rows") else AxisType.Explicit
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(kind,), devices=jax.devices()[:devices])
    put = lambda tree, *axes: jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*axes)))
    if place in ("rows", "explicit_rows"):  # the weights alone are sharded
        return mesh, put(data), put(w, "data")
    return mesh, put(data, "data"), put(w)


def on_devices(setting, kind, place, devices, data, w, numbers):
    """The same on several devices, and the compiled program."""
    run = lambda data, w, numbers: hypergradient(setting, kind, data, w, numbers)
    if place == "shard_map":
        mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
        rows, whole = PartitionSpec("data"), PartitionSpec()
        run = jax.shard_map(run, mesh=mesh, in_specs=(rows, whole, whole), out_specs=whole)
        compiled = jax.jit(run).lower(data, w, numbers).compile()
        return compiled(data, w, numbers), compiled.as_text()
    mesh, data, w = placed(place, devices, data, w)
    numbers = jax.device_put(numbers, NamedSharding(mesh, PartitionSpec()))
    with jax.set_mesh(mesh):
        compiled = jax.jit(run).lower(data, w, numbers).compile()
        return compiled(data, w, numbers), compiled.as_text()


def difference(a, b):
    """The largest relative one; infinite where a derivative, or what is known of steps, is missing in one."""

    def relative(a, b):
        if np.any(np.isnan(a) != np.isnan(b)):
            return np.inf
        a, b = np.nan_to_num(a), np.nan_to_num(b)
        return np.max(np.abs(a - b)) / np.max(np.abs(b)) if np.any(b) else np.max(np.abs(a))

    if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(b[1])):
        return np.inf
    return max(map(relative, *(map(np.asarray, jax.tree.leaves(tree)) for tree in (a, b))))


def collectives(text):
    """What a compiled program sends, with the number of entries: `all-reduce 17`; loops count once."""
    pattern = r"= (\(?[^=]*?\)?) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
    size = lambda shape: int(np.prod([int(n) for n in shape.split(",") if n] or [1]))
    found = re.findall(pattern, text)
    return [(name, sum(map(size, re.findall(r"\[([\d,]*)\]", kinds)))) for kinds, name in found]


def main(cases):
    data, w = examples()
    one = {}
    for case in cases:
        setting, kind, place, devices = case.split(":")
        numbers = jnp.array([0.1, 0.1])
        if (setting, kind) not in one:
            one[setting, kind] = jax.jit(lambda *args, s=setting, k=kind: hypergradient(s, k, *args))(data, w, numbers)
        found, text = on_devices(setting, kind, place, int(devices), data, w, numbers)
        sent = " ".join(f"{name}={n}" for name, n in collectives(text))
        print(f"{case} {difference(found, one[setting, kind]):.1e} {sent}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
