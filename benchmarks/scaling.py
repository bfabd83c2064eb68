"""Training over 1 to 8 forced devices: what it costs, what is sent, and a forecast for accelerators.

Forced devices share the cores of one machine, so that nothing gets faster: the time is that of all work together, and
what grows with the number of devices at the same work is overhead. Strong scaling has one job, weak scaling one that
grows with the number of devices. What a step sends is read off the compiled program. The forecast is arithmetic, from
these bytes, the operations of a step and the rates that its arguments state; nothing of it is measured.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

COLLECTIVES = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
BYTES = {"f64": 8, "f32": 4, "bf16": 2, "s32": 4, "u32": 4, "s64": 8, "pred": 1}


def sent(text):
    """How many operations of a compiled program send something, and how many bytes the largest of them sends."""
    found = []
    for kinds, _ in re.findall(rf"= (.*?) ({COLLECTIVES})(?:-start)?\(", text):
        shapes = re.findall(r"(\w+)\[([\d,]*)\]", kinds)
        size = lambda shape: math.prod(int(n) for n in shape.split(",") if n)
        found.append(sum(BYTES.get(kind, 4) * size(shape) for kind, shape in shapes))
    return found


def measure(devices, rows, width, steps, repeats):
    """One training and its hypergradient on so many devices, as a process of its own runs it."""
    import jax
    import jax.numpy as jnp
    from hype_optim import Constant, Dataset, Minibatch, Params, train
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))
    put = lambda tree, *axes: jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*axes)))
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (rows, width))
    y = jnp.tanh(x @ jax.random.normal(keys[1], (width, 10)))
    w = (0.1 * jax.random.normal(keys[2], (width, 300)), jnp.zeros((300, 10)))
    data, w = put(Dataset(x, y), "data"), put(w)
    model = lambda w, x: jnp.tanh(x @ w[0]) @ w[1]
    batch = Minibatch(rows // 4, shards=8)

    def loss(rate, w, data):
        params = Params(
            steps, learning_rate=Constant(rate), batch=batch, silent=True, evaluate=False, return_best=False
        )
        found = train(jax.tree_util.Partial(model, w), data, params, key=jax.random.key(1))
        return jnp.sum(found.w.args[0][1] ** 2)

    rows_of = {}
    for name, f in {"training": loss, "hypergradient": jax.value_and_grad(loss)}.items():
        program = jax.jit(f).lower(put(jnp.asarray(0.1)), w, data).compile()
        run = lambda program=program: jax.block_until_ready(program(put(jnp.asarray(0.1)), w, data))
        value = run()
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        bytes_sent = sent(program.as_text())
        value = float(value[0] if name == "hypergradient" else value)
        each = min(times) / (steps * rows)
        rows_of[name] = {"value": value, "seconds": min(times), "per_row": each, "sent": bytes_sent}
    weights = sum(leaf.size for leaf in jax.tree.leaves(w))
    print(json.dumps(rows_of | {"weights": weights}))


def in_process(devices, rows, width, steps, repeats):
    flags = os.environ.get("XLA_FLAGS", "") + f" --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    arguments = [str(n) for n in (devices, rows, width, steps, repeats)]
    command = [sys.executable, str(Path(__file__)), "--measure", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def forecast(weights, batch, flops, bandwidth, latency):
    """Seconds of a step of a training on accelerators, if nothing but its products and its one all-reduce takes time.

    Each byte of the gradient is sent about twice, whatever the number of devices, along a tree that is as deep as its
    logarithm.
    """
    work, size = 6 * weights * batch, 4 * (weights + 1)  # forward and backward products of one example: 6 a weight
    for devices in (1, 8, 64, 512):
        compute = work / devices / flops
        send = (
            0.0 if devices == 1 else 2 * size * (devices - 1) / devices / bandwidth + 2 * math.log2(devices) * latency
        )
        parts = f"{1e6 * compute:.1f} us of products, {1e6 * send:.1f} us of sending"
        efficiency = work / flops / devices / (compute + send)
        print(f"forecast, not measured: {devices} accelerators: {parts}, at most {efficiency:.0%} of them at work")


def main(rows=4096, width=256, steps=4, repeats=3, devices=(1, 2, 4, 8), flops=2e14, bandwidth=2e11, latency=3e-6):
    for scaling in ("strong", "weak"):
        base = {}
        for n in devices:
            found = in_process(n, rows if scaling == "strong" else rows * n // max(devices), width, steps, repeats)
            for name in ("training", "hypergradient"):
                row = found[name]
                ratio, sends = row["per_row"] / base.setdefault(name, row["per_row"]), row["sent"]
                largest = max(sends, default=0)
                print(
                    f"{scaling}, {n} devices, {name}: {1e6 * row['per_row']:.3f} us a row, {ratio:.2f} of that of one; "
                    f"{len(sends)} sends in the program, the largest {largest} bytes (gradient: {4 * found['weights']})"
                )
                print(json.dumps({"what": f"{scaling} {name} on {n}", "ratio": ratio, "sends": sends}))
    forecast(width * 300 + 3000, 65536, flops, bandwidth, latency)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(*map(int, sys.argv[2:]))
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--rows", type=int, default=4096)
        parser.add_argument("--steps", type=int, default=4, help="epochs, of four batches each")
        parser.add_argument("--repeats", type=int, default=3)
        parser.add_argument("--flops", type=float, default=2e14, help="operations a second of an accelerator")
        parser.add_argument("--bandwidth", type=float, default=2e11, help="bytes a second between accelerators")
        main(**vars(parser.parse_args()))
