"""How near three jobs are to what this machine can do: their time beside that of their matrix products alone.

The products of a job are read from its traced program, with how often each is made, and each is timed by itself, in a
loop and with its operands in the cache. No program that makes them is faster than their sum, as XLA computes them; what
is over it are elementwise functions, random orders, copies and the start of each operation. The elementwise functions
alone are not timed: they are fused with what is around them.

    python benchmarks/limits.py            # needs the `bench` dependency group
"""

import argparse
import collections
import functools
import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _measure import medians, on_one_core, report
from hype_mcmc import sample
from hype_neural import LSTM, FeedForward, Language, Linear, LinearNoBias
from hype_optim import CrossEntropyOnLinear, Minibatch, Nesterov, NoReg, Params, WindowSchedule, train
from posteriors import logistic_regression

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import aeneid
import hypertrain

STEPS = 100


def hypergradient():
    """`examples/hypertrain.py`: the derivative of a validation loss by the rates of a training of 100 steps."""
    images = hypertrain.load_digits(0)
    keys = jax.random.split(jax.random.key(0), 3)
    network = FeedForward([Linear(64, 100, key=keys[0]), jnp.tanh, Linear(100, 10, key=keys[1])])

    def loss(rates):
        params = Params(
            learning_rate=WindowSchedule(rates, STEPS),
            momentum=Nesterov(0.9),
            loss=CrossEntropyOnLinear(),
            regularization=NoReg(),
            batch=Minibatch(100),
            return_best=False,
            evaluate=False,
            silent=True,
        )
        trained = train(network, images.training, params, key=keys[2]).w
        return jnp.mean(jax.vmap(params.loss)(jax.vmap(trained)(images.validation.x), images.validation.y))

    return jax.value_and_grad(loss), jnp.full(20, 0.1)


def step_of_a_language_model():
    """`examples/aeneid.py`: the gradient for the whole text, by an LSTM of 100 cells."""
    language = Language(aeneid.TEXT)
    data, keys = language.examples(aeneid.TEXT), jax.random.split(jax.random.key(0), 3)
    layers = [LinearNoBias(len(language), 20, key=keys[0]), LSTM(20, 100, key=keys[1])]
    model = FeedForward([*layers, Linear(100, len(language), key=keys[2])])
    loss = CrossEntropyOnLinear()
    return jax.value_and_grad(lambda model: jnp.mean(jax.vmap(loss)(jax.vmap(model)(data.x), data.y))), model


def draws():
    """A plain call of `sample` on a logistic regression of 569 rows and 31 numbers: four chains of 500 draws."""
    posterior = logistic_regression()
    run = functools.partial(sample, posterior.logdensity, num_samples=500, num_warmup=500, num_chains=4, silent=True)
    return lambda key: run(jnp.zeros(posterior.dimensions), key=key), jax.random.key(0)


def products(jaxpr, times=1):
    """How often each product of two arrays is made, by what `dot_general` is told."""
    found = collections.Counter()
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            operands = tuple((var.aval.shape, var.aval.dtype.name) for var in equation.invars)
            found[operands, equation.params["dimension_numbers"]] += times
        often = times * equation.params.get("length", 1) if equation.primitive.name == "scan" else times
        for part in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                found.update(products(inner, often))
    return found


def alone(product):
    """The seconds of a product by itself: the median over loops of a hundred, less those of a loop without it."""
    operands, dimensions = product
    arrays = [jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype) for shape, dtype in operands]
    again = 100

    def loop(multiply, left, right):
        def body(_, left):  # each needs the one before, so that none is left out
            return left + 1e-30 * jnp.sum(jax.lax.dot_general(left, right, dimensions)) if multiply else left * 1.0001

        return jax.lax.fori_loop(0, again, body, left)

    runs = {
        multiply: functools.partial(jax.jit(loop, static_argnums=0).lower(multiply, *arrays).compile(), *arrays)
        for multiply in (True, False)
    }
    times = medians({name: lambda run=run: jax.block_until_ready(run()) for name, run in runs.items()}, 5)
    return max(0.0, times[True] - times[False]) / again


def operations(product):
    """Multiplications and additions."""
    (left, right), ((contracting, _), (batch, _)) = product
    free = math.prod(right[0]) / math.prod(left[0][i] for i in (*contracting, *batch))
    return 2 * math.prod(left[0]) * free


def limit(found):
    """The seconds of all products, and their operations."""
    return sum(n * alone(product) for product, n in found.items()), sum(n * operations(p) for p, n in found.items())


def row(name, job, argument, repeats, found=None):
    """A row of the table."""
    program = jax.jit(job).lower(argument).compile()
    found = products(jax.make_jaxpr(job)(argument).jaxpr) if found is None else found
    seconds = medians({name: lambda: jax.block_until_ready(program(argument))}, repeats)[name]
    floor, made = limit(found)
    return {
        "job": name,
        "ms": 1e3 * seconds,
        "products alone, ms": 1e3 * floor,
        "their share": floor / seconds,
        "GFLOP of products": made / 1e9,
        "GFLOP/s": made / 1e9 / seconds,
    }


def main(repeats=11):
    rows = [row("hypergradient of hypertrain", *hypergradient(), repeats)]
    rows.append(row("gradient of the Aeneid", *step_of_a_language_model(), repeats))
    job, key = draws()
    evaluations = int(jnp.sum(job(key).num_steps))  # of the draws; warming up makes about as many again
    one = products(jax.make_jaxpr(jax.value_and_grad(logistic_regression().logdensity))(jnp.zeros(31)).jaxpr)
    found = collections.Counter({product: n * 2 * evaluations for product, n in one.items()})
    rows.append(row("sample, logistic regression", job, key, repeats, found))
    nothing = jax.jit(lambda x: x + 1).lower(jnp.zeros(())).compile()
    dispatch = medians({"": lambda: jax.block_until_ready(nothing(jnp.zeros(())))}, repeats)[""]
    rows.append({"job": "a program that adds 1", "ms": 1e3 * dispatch})
    report("three jobs beside their matrix products", rows)


if __name__ == "__main__":
    on_one_core()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11)
    main(**vars(parser.parse_args()))
