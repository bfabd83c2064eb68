"""A training step of the Aeneid's language model against Equinox's cells in a scan, and against PyTorch.

The job: the opening of the Aeneid as one sequence, or as a batch of copies of it, a linear map to 20 numbers, an LSTM,
a GRU or a simple RNN of 100 cells, a linear map to the vocabulary, cross entropy, and a step of RMSProp on its
gradient.
All sides begin with the same weights, compute in float32 on one core with one thread, and take turns in one process.
That the losses of the first three steps agree is checked, but for the GRU: Hype's resets the state before its product
with a matrix, as Cho et al. did, and the others after it, which are as many operations. Equinox has no cell of a simple
RNN; it is written here as its others are. PyTorch takes part where it is installed.

    python benchmarks/recurrent.py
"""

import argparse
import importlib.util
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _measure import medians, on_one_core, report
from hype_neural import GRU, LSTM, RNN, FeedForward, Language, Linear, LinearNoBias
from hype_optim import CrossEntropyOnLinear
from jax import lax

TEXT = (Path(__file__).parents[1] / "examples" / "aeneid.txt").read_text()
CELLS = 100
LIMITS = {("LSTM", 1): 0.8, ("LSTM", 16): 0.8}  # of the time of Equinox's cell; else 1


class SimpleCell(eqx.Module):
    """A simple RNN as Equinox writes its cells."""

    weight_ih: jax.Array
    weight_hh: jax.Array
    bias: jax.Array

    def __call__(self, x, h):
        return jnp.tanh(self.weight_ih @ x + self.weight_hh @ h + self.bias)


class Scanned(eqx.Module):
    """A cell of Equinox in a scan, as its documentation shows it."""

    cell: eqx.Module

    def __call__(self, xs, *, key=None):
        zeros = jnp.zeros(CELLS)
        state = (zeros, zeros) if isinstance(self.cell, eqx.nn.LSTMCell) else zeros

        def step(state, x):
            state = self.cell(x, state)
            return state, state[0] if isinstance(state, tuple) else state

        return lax.scan(step, state, xs)[1]


def weights(kind, layer):
    """The matrices and the bias of a layer of ours, in the order of gates of Equinox and PyTorch."""
    if kind == "RNN":
        return layer.input_weight, layer.hidden_weight, layer.hidden_bias
    if kind == "GRU":
        hidden = jnp.concatenate([layer.gate_weight, layer.candidate_weight])
        order, parts = (1, 0, 2), (layer.input_weight, hidden, layer.bias)
    else:
        order, parts = (1, 2, 0, 3), (layer.input_weight, layer.hidden_weight, layer.bias)
    gates = lambda part: jnp.concatenate([jnp.split(part, len(order))[i] for i in order])
    return tuple(map(gates, parts))


def by_equinox(kind, network):
    """The same network with Equinox's cell."""
    parts = weights(kind, network[1])
    if kind == "RNN":
        last = Linear(CELLS, network[1].output_weight.shape[0], key=jax.random.key(0))
        replaced = (network[1].output_weight, network[1].output_bias)
        last = eqx.tree_at(lambda layer: (layer.weight, layer.bias), last, replaced)
        return FeedForward([network[0], Scanned(SimpleCell(*parts)), last])
    cell = getattr(eqx.nn, f"{kind}Cell")(20, CELLS, key=jax.random.key(0))
    cell = eqx.tree_at(lambda cell: (cell.weight_ih, cell.weight_hh, cell.bias), cell, parts)
    return FeedForward([network[0], Scanned(cell), network[2]])


def by_hype(kind, vocabulary, keys):
    """Any network of ours, with the layer second."""
    first = LinearNoBias(vocabulary, 20, key=keys[0])
    if kind == "RNN":
        return FeedForward([first, RNN(20, CELLS, vocabulary, key=keys[2])])
    layer = {"LSTM": LSTM, "GRU": GRU}[kind](20, CELLS, key=keys[2])
    return FeedForward([first, layer, Linear(CELLS, vocabulary, key=keys[1])])


def jax_step(network, x, y):
    """A call that makes a step, and gives the loss before it."""
    optimizer = optax.rmsprop(0.01, 0.9, eps_in_sqrt=False)
    w, rest = eqx.partition(network, eqx.is_inexact_array)

    def loss(w, x, y):
        return jnp.mean(jax.vmap(CrossEntropyOnLinear())(jax.vmap(eqx.combine(w, rest))(x), y))

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(w, state, x, y):
        value, gradient = jax.value_and_grad(loss)(w, x, y)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(w, updates), state, value

    carry = [jax.tree.map(jnp.copy, w), optimizer.init(w)]

    def run():
        *carry[:], value = step(*carry, x, y)
        return float(value)

    return run


def torch_step(kind, cell, ends, x, y):
    """The same with `torch.nn`, from the weights of a cell, and of the layers before and after it."""
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # as XLA does
    vocabulary = x.shape[-1]
    first, layer = torch.nn.Linear(vocabulary, 20, bias=False), getattr(torch.nn, kind)(20, CELLS, batch_first=True)
    last = torch.nn.Linear(CELLS, vocabulary)
    with torch.no_grad():
        first.weight.copy_(torch.tensor(np.asarray(ends[0].weight)))
        given = (*cell, jnp.zeros_like(cell[2]))
        for name, value in zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), given, strict=True):
            getattr(layer, name).copy_(torch.tensor(np.asarray(value)))
        last.weight.copy_(torch.tensor(np.asarray(ends[1].weight)))
        last.bias.copy_(torch.tensor(np.asarray(ends[1].bias)))
    layer.bias_hh_l0.requires_grad_(False)  # one bias is enough, and all that the others have
    parameters = [w for part in (first, layer, last) for w in part.parameters() if w.requires_grad]
    optimizer = torch.optim.RMSprop(parameters, 0.01, 0.9)
    x, y = torch.tensor(np.asarray(x)), torch.tensor(np.asarray(y), dtype=torch.int64)

    def run():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(last(layer(first(x))[0]).flatten(0, 1), y.flatten())
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def row(kind, batch, data, vocabulary, repeats):
    x, y = jnp.repeat(data.x, batch, 0), jnp.repeat(data.y, batch, 0)
    ours = by_hype(kind, vocabulary, jax.random.split(jax.random.key(0), 3))
    theirs = by_equinox(kind, ours)
    sides = {"Hype": jax_step(ours, x, y), "Equinox": jax_step(theirs, x, y)}
    if importlib.util.find_spec("torch") is not None:
        sides["PyTorch"] = torch_step(kind, weights(kind, ours[1]), (theirs[0], theirs[2]), x, y)
    losses = {name: [run() for _ in range(3)] for name, run in sides.items()}
    if kind != "GRU":
        for found in losses.values():
            np.testing.assert_allclose(found, losses["Hype"], rtol=1e-4)
    times = medians(sides, max(7, repeats // batch))
    return {
        "layer": kind,
        "sequences": batch,
        **{f"{name}, ms": 1e3 * seconds for name, seconds in times.items()},
        **{f"ratio to {name}": times["Hype"] / times[name] for name in times if name != "Hype"},
        "limit": LIMITS.get((kind, batch), 1.0),
    }


def main(repeats=40, batches=(1, 16, 128)):
    language = Language(TEXT)
    data = language.examples(TEXT)
    rows = [row(kind, batch, data, len(language), repeats) for batch in batches for kind in ("LSTM", "GRU", "RNN")]
    print(f"A sequence has {data.x.shape[1]} words, {len(language)} different ones.")
    report("a training step of recurrent layers", rows, ("equinox", "torch"))


if __name__ == "__main__":
    on_one_core()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 128])
    main(**vars(parser.parse_args()))
