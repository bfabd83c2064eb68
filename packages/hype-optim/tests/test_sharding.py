"""Trainings over several devices: results, losses and hypergradients are those of one device.

Each program is run by a process with eight devices, `on_devices.py`, which tells how far it is from one device's.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import Constant, Dataset, Minibatch, Params, Stratified, train

QUICK = "rest:train:explicit:8"
ADJOINTS = ("checkpointed", "unrolled", "auto", "truncated", "reversible", "implicit")
LOOPS = ("early", "newton_cg", "lbfgs")
TOLERANCE = 1e-12
NEARLY = {"implicit": 1e-9, "lbfgs": 1e-9, "newton_cg": 1e-9, "reversible": 1e-9}
"""Searches and linear solves end where rounding says, and integers round."""


@cache
def printed(*cases):
    """What `on_devices.py` prints, by case: how far off, and what is sent from device to device."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("on_devices.py")), *cases],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {case: (float(difference), sent) for case, difference, *sent in lines}


def check(*cases):
    for case, (difference, _) in printed(*cases).items():
        assert difference < NEARLY.get(case.split(":")[0], TOLERANCE), case


def test_several_devices_give_what_one_gives():
    check(QUICK)


@pytest.mark.parametrize("case", [QUICK, pytest.param("rest:train:auto:2", marks=pytest.mark.slow)])
def test_a_step_sends_the_gradient_and_nothing_of_the_data(case):
    """The gradient has 16 numbers, and a loss is one more; a batch has 160 numbers, and the data 400."""
    sent = [part.split("=") for part in printed(case)[case][1]]
    assert {name for name, _ in sent} == {"all-reduce"}
    assert max(int(size) for _, size in sent) <= 2 * 17  # of two sums that are sent at once


@pytest.mark.slow
@pytest.mark.parametrize("setting", [*ADJOINTS, *LOOPS, "minibatch", "rest"])
def test_every_adjoint_and_loop(setting):
    kinds, places = ["train", "minimize"], ["auto:8", "rows:8", "explicit:1", "explicit:2", "explicit:8"]
    places += ["explicit_rows:8", "shard_map:2", "shard_map:8"]
    if setting in ("minibatch", "rest"):  # inside of a `shard_map` each device draws for itself
        kinds, places = kinds[:1], [place for place in places if "shard_map" not in place and "rows" not in place]
    elif setting == "implicit":
        places = places[:-2]
    check(*(f"{setting}:{kind}:{place}" for kind in kinds for place in places))


INSIDE = """
import jax, jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec as P
from hype_optim import Constant, Dataset, Implicit, Minibatch, Params, minimize, spread_vmap, train

mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
x, params = jnp.arange(12.0).reshape(4, 3) / 5, Params(silent=True, epochs=3, learning_rate=Constant(0.01))
loss = lambda w, x: jnp.sum((x @ w) ** 2)
run = lambda x, w, p=params: minimize(lambda w: loss(w, x), w, p).w[None]
inside = lambda f, w, at: jax.shard_map(f, mesh=mesh, in_specs=(P("data"), at), out_specs=P("data"))(x, w)

def message(f):
    try:
        f()
    except ValueError as error:
        return str(error)

each = inside(lambda x, w: run(x, w[0]), jnp.ones((2, 3)), P("data"))
assert jnp.allclose(each, jnp.concatenate([run(part, jnp.ones(3)) for part in (x[:2], x[2:])]), rtol=1e-6)
assert "pmean(loss, 'data')" in message(lambda: inside(run, jnp.ones(3), P()))
implicit = Params(silent=True, epochs=3, adjoint=Implicit())
said = message(lambda: inside(lambda x, w: run(x, w[0], implicit), jnp.ones((2, 3)), P("data")))
assert "`adjoint` must not be Implicit()" in said

explicit = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Explicit,))
with jax.set_mesh(explicit):
    data = jax.device_put(Dataset(x, x), P("data"))
    model = jax.tree_util.Partial(jnp.multiply, jnp.ones(3))
    said = message(lambda: train(model, data, Params(silent=True, batch=Minibatch(2))))
assert "Minibatch(2, shards=2)" in said, said

rates = jnp.linspace(0.01, 0.05, 3)
with_rate = lambda rate: Params(silent=True, epochs=3, learning_rate=Constant(rate))
final = lambda rate: minimize(lambda w: loss(w, x), jnp.ones(3), with_rate(rate)).loss
spread = spread_vmap(jax.value_and_grad(final))
for a, b in zip(spread(rates), jax.vmap(jax.value_and_grad(final))(rates)):
    assert a.shape == (3,) and jnp.allclose(a, b, rtol=1e-6), (a, b)
near = lambda a, b: jnp.allclose(a, b, rtol=1e-6, atol=1e-3)  # of derivatives up to 1,000
for kind in (AxisType.Explicit, AxisType.Auto):  # under a mesh, and with what another mesh has spread
    mesh = jax.make_mesh((2,), ("data",), axis_types=(kind,))
    for batch in (rates, jnp.linspace(0.01, 0.05, 4)):
        expected = jax.vmap(jax.grad(final))(batch)
        total = jax.grad(lambda batch: jnp.sum(spread_vmap(final)(batch)))
        assert near(spread_vmap(jax.grad(final))(jax.device_put(batch, jax.NamedSharding(mesh, P()))), expected)
        with jax.set_mesh(mesh):
            assert near(spread_vmap(jax.grad(final), jax.devices())(batch), expected)
            assert near(jax.jit(total)(batch), expected)
            assert "`devices` must be" in message(lambda: spread_vmap(final, jax.devices()[:1])(batch))
slope = jax.grad(final)
assert near(spread_vmap(slope)(jax.device_put(rates, jax.devices()[1])), jax.vmap(slope)(rates))
assert jnp.allclose(spread_vmap(spread_vmap(lambda x: 2 * x))(jnp.ones((3, 5))), 2.0)
assert "same leading axis" in message(lambda: spread(1.0))
assert "one or more different devices" in message(lambda: spread_vmap(final, []))
"""


TUNED = """
import jax, jax.numpy as jnp
from hype_optim import Constant, Params, Sweep, minimize, positive, tune

with_rate = lambda rate: Params(silent=True, epochs=3, learning_rate=Constant(rate))
loss = lambda w: jnp.sum((jnp.arange(12.0).reshape(4, 3) @ w / 5) ** 2)
objective = lambda rate, key: minimize(loss, jax.random.normal(key, 3), with_rate(rate)).loss
how = {"key": jax.random.key(0), "steps": 2, "judges": 2, "batch": 2, "sweep": Sweep(8), "starts": 2, "silent": True}
tuned = [tune(objective, positive(0.01), devices=devices, **how) for devices in (None, jax.devices())]
assert jnp.allclose(tuned[0].value, tuned[1].value, rtol=1e-4) and jnp.allclose(*(t.history for t in tuned), rtol=1e-4)
"""


def run_on_two(program):
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_inside_of_a_shard_map_of_the_caller_and_in_batches():
    """Weights that differ are runs of their own; the same weights with different losses are refused."""
    run_on_two(INSIDE)


@pytest.mark.slow
def test_tuning_on_two_devices_is_that_on_one():
    run_on_two(TUNED)


def data(rows):
    x = np.arange(3.0 * rows).reshape(rows, 3)
    return Dataset(x, x[:, :2])


def test_batches_of_blocks():
    """Each batch has as many rows of each block, each row comes once an epoch, and an epoch differs from the next."""
    seen = train(
        jax.tree_util.Partial(lambda w, x: w * x, np.zeros(3)),
        Dataset(np.arange(24.0).reshape(24, 1) * np.ones(3), np.zeros((24, 3))),
        Params(batch=Minibatch(8, shards=4), epochs=2, learning_rate=Constant(0.0), silent=True),
        objective=lambda model, batch, key: model.args[0].sum() + (2.0 ** batch.x[:, 0]).sum(),
        key=jax.random.key(0),
    ).loss_history
    rows = [[row for row in range(24) if int(total) >> row & 1] for total in seen]
    epochs = [np.sort(np.ravel(rows[:3])), np.sort(np.ravel(rows[3:]))]
    assert all(epoch.tolist() == list(range(24)) for epoch in epochs)
    assert all([row // 6 for row in batch] == [0, 0, 1, 1, 2, 2, 3, 3] for batch in rows)
    assert rows[:3] != rows[3:]


def test_blocks_must_fit():
    with pytest.raises(ValueError, match="`shards` must divide the size of a batch, 8, got 3"):
        Minibatch(8, shards=3)
    with pytest.raises(ValueError, match="`sampling` must be Shuffled"):
        Minibatch(8, sampling=Stratified(), shards=2)
    with pytest.raises(ValueError, match=r"which must divide the number of examples, 10: `data.pad\(4\)`"):
        train(jax.tree_util.Partial(jnp.multiply, np.ones(3)), data(10), Params(batch=Minibatch(4, shards=4)))


def test_padding_changes_no_weighted_mean():
    padded = data(10).pad(4)
    assert len(padded) == 12
    assert padded.weights.tolist() == [1.0] * 10 + [0.0] * 2
    assert data(8).pad(4).weights is None
    model = jax.tree_util.Partial(lambda w, x: x @ w, 0.1 * np.ones((3, 2)))
    params = Params(epochs=3, learning_rate=Constant(1e-3), silent=True)
    one, other = train(model, data(10), params), train(model, padded, params)
    np.testing.assert_allclose(other.loss_history, one.loss_history, rtol=1e-12)
    np.testing.assert_allclose(other.w.args[0], one.w.args[0], rtol=1e-12)
    with pytest.raises(ValueError, match="at least one row to pad"):
        data(1)[:0].pad(2)
