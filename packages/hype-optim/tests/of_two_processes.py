"""A program that is started once for each of several processes, and by one alone, as on as many machines.

`python of_two_processes.py FOLDER [PORT PROCESSES RANK]` trains from a stream of which each process has only its own
rows, saves in the middle, goes on, and writes what came of it. With the file of an earlier start it goes on from there.
"""

# ruff: noqa: E402
import os
import sys
from pathlib import Path

PROCESSES = int(sys.argv[3]) if len(sys.argv) > 2 else 1
devices = 4 // PROCESSES
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + f" --xla_force_host_platform_device_count={devices}"

import jax
import jax.numpy as jnp
import numpy as np
from hype_optim import (
    Constant,
    Dataset,
    Minibatch,
    Momentum,
    Params,
    Stream,
    load,
    local_rows,
    positive,
    save,
    train,
    tune,
)
from jax.sharding import NamedSharding, PartitionSpec

jax.config.update("jax_enable_x64", True)
RANK = 0
if PROCESSES > 1:
    RANK = int(sys.argv[4])
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{sys.argv[2]}", PROCESSES, RANK, heartbeat_timeout_seconds=10)

FOLDER, ROWS = Path(sys.argv[1]), 40
mesh = jax.make_mesh((4,), ("data",))
spread = NamedSharding(mesh, PartitionSpec("data"))
mine = local_rows(spread, ROWS)
random = np.random.default_rng(0)
x = random.normal(size=(ROWS, 3))[mine]  # a process has its own rows
y = np.tanh(x @ np.array([[1.0, -1.0], [0.5, 0.2], [-0.3, 0.8]]))


def read(rows):
    assert all(row in mine for row in rows), (rows, mine)
    return x[rows - mine.start], y[rows - mine.start]


stream = Stream(read, ROWS, sharding=spread)
data = Dataset(*(jax.make_array_from_process_local_data(spread, part) for part in (x, y)))
model = jax.tree_util.Partial(lambda w, x: jnp.tanh(x @ w), np.zeros((3, 2)))


def run(data, rate, epochs, state=None, silent=True):
    how = {"batch": Minibatch(12, shards=4), "momentum": Momentum(0.9), "silent": silent}
    params = Params(learning_rate=Constant(rate), epochs=epochs, **how)
    key = jax.random.key(0) if state is None else None
    return train(model, data, params, key=key, state=state)


with jax.set_mesh(mesh):
    if len(sys.argv) > 5:  # ends in the middle of a long run, by itself or because the other process has
        run(data, 0.1, 2)
        print("running", flush=True)
        if RANK == 1:
            os._exit(1)
        for _ in range(10**6):
            run(data, 0.1, 2).loss.block_until_ready()
    file = FOLDER / "state.npz"
    like = jax.eval_shape(lambda: run(data, 0.1, 2).state)
    first = load(file, like) if file.exists() else run(data, 0.1, 2).state
    save(file, first)
    end = run(data, 0.1, 2, first, silent=False)
    slope = lambda data: jax.value_and_grad(lambda rate: run(data, rate, 2).loss)(0.1)
    (loss, of_memory), (again, of_stream) = slope(data), slope(stream)

tuned = tune(
    lambda rate, key: jnp.log(rate) ** 2 + jax.random.normal(key),
    positive(0.5),
    key=jax.random.key(1),
    steps=2,
    judges=2,
    batch=4,
    devices=jax.devices(),
    silent=True,
)
found = [end.loss, loss, again, of_memory, of_stream, tuned.value]
(FOLDER / f"found-{PROCESSES}-{RANK}.txt").write_text(" ".join(repr(float(number)) for number in found))
print(repr(end.w.args[0].tolist()), flush=True)
