"""Hypergradients against TorchOpt and higher: the derivative of a validation loss through a whole small training.

A 64-H-10 tanh network is trained by full-batch gradient descent on 200 digits with one penalty for each input pixel,
from given weights; wanted is the derivative of the cross entropy of 200 others with respect to all 64 penalties and
all first weights. All sides keep every step (`Unrolled()` here), compute in float32 with one thread, and take turns in
one process. That they compute the same derivative is checked first. Compiling is not in the times.

    python benchmarks/peers_hypergradient.py       # needs the `bench` dependency group, with PyTorch
"""

import argparse
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from _measure import medians, on_one_core, report
from hype_optim import Checkpointed, Params, Unrolled, minimize
from sklearn.datasets import load_digits

warnings.filterwarnings("ignore", category=SyntaxWarning)  # of higher's sources

RATE = 0.5
LIMIT = 1.0


def data():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    return x[:200], y[:200], x[200:400], y[200:400]


def first_weights(hidden):
    draw = np.random.default_rng(0)
    shapes = {"W1": (64, hidden), "b1": (hidden,), "W2": (hidden, 10), "b2": (10,)}
    return {name: (draw.normal(size=shape) * 0.2).astype(np.float32) for name, shape in shapes.items()}


def by_hype(adjoint, steps):
    x, y, x_valid, y_valid = map(jnp.asarray, data())

    def cross_entropy(w, x, y):
        z = jnp.tanh(x @ w["W1"] + w["b1"]) @ w["W2"] + w["b2"]
        return jnp.mean(jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0])

    def training_loss(penalty, w):
        return cross_entropy(w, x, y) + jnp.sum(jnp.exp(penalty)[:, None] * w["W1"] ** 2)

    def outer(penalty, w):
        params = Params(steps, learning_rate=RATE, adjoint=adjoint, return_best=False, evaluate=False, silent=True)
        trained = minimize(jax.tree_util.Partial(training_loss, penalty), w, params).w
        return cross_entropy(trained, x_valid, y_valid)

    return jax.grad(outer, argnums=(0, 1))


def torch_module(w):
    import torch

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in w.items():
                setattr(self, name, torch.nn.Parameter(torch.tensor(value)))

        def forward(self, x):
            return torch.tanh(x @ self.W1 + self.b1) @ self.W2 + self.b2

    return Network()


def torch_losses(penalty):
    import torch

    x, y, x_valid, y_valid = map(torch.tensor, data())
    cross_entropy = torch.nn.functional.cross_entropy
    training = lambda z, w1: cross_entropy(z, y) + (torch.exp(penalty)[:, None] * w1**2).sum()
    return x, x_valid, training, lambda z: cross_entropy(z, y_valid)


def by_higher(penalty, w, steps):
    import higher
    import torch

    network, penalty = torch_module(w), torch.tensor(penalty, requires_grad=True)
    x, x_valid, training_loss, valid_loss = torch_losses(penalty)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)

    def run():
        with higher.innerloop_ctx(network, optimizer, copy_initial_weights=False) as (inner, differentiable):
            for _ in range(steps):
                differentiable.step(training_loss(inner(x), inner.W1))
            return torch.autograd.grad(valid_loss(inner(x_valid)), [penalty, *network.parameters()])

    return run


def by_torchopt(penalty, w, steps):
    import torch
    import torchopt

    network, penalty = torch_module(w), torch.tensor(penalty, requires_grad=True)
    x, x_valid, training_loss, valid_loss = torch_losses(penalty)
    first = list(network.parameters())
    optimizer = torchopt.MetaSGD(network, lr=RATE)
    start = torchopt.extract_state_dict(network), torchopt.extract_state_dict(optimizer)

    def run():
        for _ in range(steps):
            optimizer.step(training_loss(network(x), network.W1))
        found = torch.autograd.grad(valid_loss(network(x_valid)), [penalty, *first])
        torchopt.recover_state_dict(network, start[0])
        torchopt.recover_state_dict(optimizer, start[1])
        return found

    return run


def row(hidden, steps, repeats):
    penalty, w = np.full(64, -8.0, np.float32), first_weights(hidden)
    programs = {}
    for name, adjoint in {"Unrolled()": Unrolled(), "Checkpointed(2)": Checkpointed(2)}.items():
        program = jax.jit(by_hype(adjoint, steps)).lower(penalty, w).compile()
        programs[name] = lambda program=program: jax.block_until_ready(program(penalty, w))
    programs["higher"] = by_higher(penalty, w, steps)
    programs["TorchOpt"] = by_torchopt(penalty, w, steps)
    by_pixel, by_weights = programs["Unrolled()"]()
    expected = [by_pixel, *(by_weights[name] for name in w)]
    for name in ("higher", "TorchOpt", "TorchOpt"):  # twice: it starts from the first weights again
        for ours, theirs in zip(expected, programs[name](), strict=True):
            scale = float(jnp.max(jnp.abs(ours)))
            np.testing.assert_allclose(theirs.numpy(), ours, rtol=2e-3, atol=2e-3 * scale)
    times = medians(programs, repeats)
    best = min(times["higher"], times["TorchOpt"])
    return {
        "hidden units": hidden,
        "steps": steps,
        **{f"{name}, ms": 1e3 * seconds for name, seconds in times.items()},
        "ratio to the better": times["Unrolled()"] / best,
        "limit": LIMIT,
    }


def main(repeats=11):
    import torch

    torch.set_num_threads(1)
    rows = [row(hidden, steps, repeats) for hidden in (30, 300) for steps in (10, 100)]
    report("hypergradients against TorchOpt and higher", rows, ("torch", "torchopt", "higher"))


if __name__ == "__main__":
    on_one_core()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11)
    main(**vars(parser.parse_args()))
