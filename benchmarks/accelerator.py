"""One accelerator, in at most eight minutes: what Hype's jobs take there, and whether their numbers are the CPU's.

The hypergradient of a 784-300-10 training beside the same loop written by hand; a step of the Aeneid's language model;
the sampler with 4 to 4,096 chains; `tune` on handwritten digits. Short runs of the first, in the default precision of
matrix products and in the highest, are compared with float64 on the CPU of the same machine. Each part prints a line
and a row of JSON; no part begins after `--seconds`.

    python benchmarks/accelerator.py           # on an accelerator
    python benchmarks/accelerator.py --tiny    # anywhere, to see that it runs
"""

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from hype_mcmc import sample
from hype_neural import LSTM, FeedForward, Language, Linear, LinearNoBias
from hype_optim import (
    Constant,
    CrossEntropyOnLinear,
    Dataset,
    Minibatch,
    Momentum,
    NoReg,
    Params,
    RMSProp,
    positive,
    train,
    tune,
    unit_interval,
)
from jax import lax
from sklearn.datasets import load_digits

TEXT = Path(__file__).parents[1] / "examples" / "aeneid.txt"


def say(what, text, **row):
    print(f"{what}: {text}", flush=True)
    print(json.dumps({"what": what, "device": jax.devices()[0].device_kind, **row}), flush=True)


def seconds(run, repeats=3):
    """The least time of a compiled program, and what it gives; compiling is not in it."""
    found = jax.block_until_ready(run())
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - began)
    return min(times), found


def network(width, hidden, rows, seed=0):
    """Random images with labels, and weights."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(rows, width)), rng.integers(0, 10, rows)
    w = {"a": rng.normal(size=(width, hidden)) / width**0.5, "b": rng.normal(size=(hidden, 10)) / hidden**0.5}
    return x, y, w


def predict(w, x):
    return jnp.tanh(x @ w["a"]) @ w["b"]


def loss(w, x, y):
    scores = predict(w, x)
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - jnp.take_along_axis(scores, y[:, None], axis=1)[:, 0])


def ours(rate, w, x, y, batch, adjoint):
    params = Params(
        1,
        learning_rate=Constant(rate),
        momentum=Momentum(0.9),
        loss=CrossEntropyOnLinear(),
        regularization=NoReg(),
        batch=Minibatch(batch),
        adjoint=adjoint,
        return_best=False,
        evaluate=False,
        silent=True,
    )
    after = train(jax.tree_util.Partial(predict, w), Dataset(x, y), params).w.args[0]
    return loss(after, x[:1000], y[:1000])


def by_hand(rate, w, x, y, batch, segment):
    """The same in two scans, the inner one computed again in the reverse pass, or in one."""
    size = x.shape[0] // batch
    batches = (x.reshape(size // segment, segment, batch, -1), y.reshape(size // segment, segment, batch))

    def step(carry, xy):
        w, v = carry
        slope = jax.grad(loss)(w, *xy)
        v = jax.tree.map(lambda v, g: 0.9 * v - rate * g, v, slope)
        return (jax.tree.map(jnp.add, w, v), v), None

    inside = lambda carry, xy: lax.scan(step, carry, xy)
    inside = inside if size == segment else jax.checkpoint(inside, prevent_cse=False)
    (w, _), _ = lax.scan(inside, (w, jax.tree.map(jnp.zeros_like, w)), batches)
    return loss(w, x[:1000], y[:1000])


def hypergradient(steps, segment, batch, width, hidden):
    x, y, w = network(width, hidden, batch * steps)
    w, x, rate = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (w, x, 0.01))
    y = jnp.asarray(y)
    run = jax.jit(jax.value_and_grad(lambda rate, w, x, y: ours(rate, w, x, y, batch, "auto")))
    hand = jax.jit(jax.value_and_grad(lambda rate, w, x, y: by_hand(rate, w, x, y, batch, segment)))
    a, found = seconds(lambda: run(rate, w, x, y))
    b, expected = seconds(lambda: hand(rate, w, x, y))
    away = abs(float(found[1]) / float(expected[1]) - 1)
    text = f"{a:.4f} s, by hand {b:.4f} s, ratio {a / b:.3f}; the derivatives differ by {away:.1e}"
    say(f"hypergradient of {steps} steps of {width}-{hidden}-10", text, seconds=a, by_hand=b, ratio=a / b, away=away)


def hypergradients(tiny):
    if tiny:
        return hypergradient(8, 8, 4, 12, 8)
    for steps, segment in ((200, 20), (1000, 25)):
        hypergradient(steps, segment, 100, 784, 300)


def precision(tiny):
    """How far a short hypergradient is from float64 on the CPU."""
    batch, steps, (width, hidden) = (4, 8, (12, 8)) if tiny else (100, 20, (784, 300))
    x, y, w = network(width, hidden, batch * steps)
    slope = jax.value_and_grad(lambda r, w, x, y: ours(r, w, x, y, batch, "auto"))
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        exact = jax.jit(slope)(*jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (0.01, w, x)), jnp.asarray(y))
        exact = [float(number) for number in exact]
    arrays = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (0.01, w, x))
    for name in ("default", "highest"):
        with jax.default_matmul_precision(name):
            found = jax.jit(slope)(*arrays, jnp.asarray(y))
        away = [abs(float(a) / b - 1) for a, b in zip(found, exact, strict=True)]
        text = f"loss {away[0]:.1e} and hypergradient {away[1]:.1e} from float64 on the CPU"
        say(f"matrix products in {name} precision", text, loss=away[0], hypergradient=away[1])


def aeneid(tiny):
    cells, epochs = (8, 2) if tiny else (100, 50)
    language = Language(TEXT.read_text())
    data = language.examples(TEXT.read_text())
    keys = jax.random.split(jax.random.key(0), 3)
    parts = [LinearNoBias(len(language), 20, key=keys[0]), LSTM(20, cells, key=keys[1])]
    model = FeedForward([*parts, Linear(cells, len(language), key=keys[2])])
    how = {"loss": CrossEntropyOnLinear(), "regularization": NoReg(), "silent": True, "return_best": False}
    params = Params(epochs, learning_rate=RMSProp(0.01, 0.9), **how)
    took, result = seconds(lambda: model.train(data, params).loss_history)
    last = float(result[-1])
    say(
        "a step of the Aeneid",
        f"{1e3 * took / epochs:.2f} ms; cross entropy {last:.4f}",
        seconds=took / epochs,
        last=last,
    )


def chains(tiny):
    """A logistic regression on 1,000 rows with 25 coefficients."""
    rows, most, draws = (20, 8, 10) if tiny else (1000, 4096, 200)
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (rows, 25))
    y = (x @ jax.random.normal(keys[1], (25,)) > 0).astype(x.dtype)
    target = jax.tree_util.Partial(
        lambda x, y, w: -0.5 * jnp.sum(w**2) - jnp.sum(jax.nn.softplus(x @ w) - y * (x @ w)), x, y
    )
    number = 4
    while number <= most:
        run = lambda n=number: sample(
            target, jnp.zeros(25), key=keys[2], num_chains=n, num_warmup=draws, num_samples=draws, silent=True
        )
        took, found = seconds(run, 1)
        steps = int(found.warmup_steps) + int(found.num_steps.sum())
        text = (
            f"{took:.2f} s, {steps / took:.3g} gradients a second, mean acceptance {float(found.acceptance.mean()):.2f}"
        )
        say(f"{number} chains", text, seconds=took, gradients=steps / took)
        number *= 4


def digits(tiny):
    pixels, labels = load_digits(return_X_y=True)
    data = Dataset(np.asarray(pixels, np.float32) / 16, np.asarray(labels))
    learned, valid = data.split([1200, 597], key=jax.random.key(0))
    keep = {"loss": CrossEntropyOnLinear(), "regularization": NoReg(), "silent": True, "return_best": False}

    def objective(settings, key):
        model = FeedForward([Linear(64, 32, key=key), jnp.tanh, Linear(32, 10, key=jax.random.fold_in(key, 1))])
        rate, momentum = Constant(settings["rate"]), Momentum(settings["momentum"])
        params = Params(1 if tiny else 5, learning_rate=rate, momentum=momentum, batch=Minibatch(100), **keep)
        return train(model, learned, params, valid=valid, key=key)

    began = time.perf_counter()
    start = {"rate": positive(0.01), "momentum": unit_interval(0.5)}
    found = tune(objective, start, key=jax.random.key(0), steps=2 if tiny else 30, judges=2 if tiny else 8, silent=True)
    took = time.perf_counter() - began
    text = f"{took:.1f} s with compiling, validation loss {float(found.start_value):.3f} -> {float(found.value):.3f}"
    say("tune on digits", text, seconds=took, start=float(found.start_value), value=float(found.value))


def main(tiny, limit):
    began = time.perf_counter()
    device = jax.devices()[0]
    print(f"{device.device_kind} ({device.platform}), JAX {jax.__version__}")
    for part in (precision, hypergradients, aeneid, digits, chains):
        if time.perf_counter() - began > limit:
            print(f"{part.__name__}: not begun, {limit} seconds are over")
            continue
        part(tiny)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--seconds", type=float, default=360, help="begin no part after so many")
    options = parser.parse_args()
    main(options.tiny, options.seconds)
