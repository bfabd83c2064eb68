"""Where numbers are special a run is finite or its status says so, and the derivative of a finite run is right."""

from dataclasses import replace
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hype_ad.testing import compare_along
from hype_optim import (
    CD,
    CG,
    GD,
    LBFGS,
    AdaGrad,
    Adam,
    Backtrack,
    Box,
    Constant,
    CrossEntropyOnLinear,
    CrossEntropyOnSoftmax,
    DaiYuanCG,
    Dataset,
    Decay,
    ExpDecay,
    HypergradientDescent,
    InterpolatedSchedule,
    L1Ball,
    L1Loss,
    L1Reg,
    L2Ball,
    L2Loss,
    L2Reg,
    Momentum,
    Nesterov,
    Newton,
    NewtonCG,
    NoMomentum,
    NonlinearCG,
    NonNegative,
    NoReg,
    Optax,
    Params,
    Projection,
    Quadratic,
    RMSProp,
    Simplex,
    SoftThreshold,
    Status,
    StepSchedule,
    StrongWolfe,
    train,
)

pytestmark = pytest.mark.slow

STEPS = 3
METHODS = [CG(), CD(), NonlinearCG(), DaiYuanCG(), NewtonCG(3), Newton(), LBFGS(2)]
SEARCHES = [Backtrack(max_trials=8), StrongWolfe(max_trials=8)]
RATES = [Constant(0.1), HypergradientDescent(0.1, 0.01), *SEARCHES]
OF_GD = [
    *RATES,
    Decay(0.1, 0.2),
    ExpDecay(0.1, 0.2),
    StepSchedule(jnp.array([0.1, 0.2, 0.0])),
    InterpolatedSchedule(jnp.array([0.1, 0.2]), STEPS),
    RMSProp(0.1),
    AdaGrad(0.1),
    Adam(0.1),
]
MOMENTA = [NoMomentum(), Momentum(0.4), Nesterov(0.4)]
PENALTIES = [NoReg(), L1Reg(0.02), L2Reg(0.05)]
LOSSES = [L2Loss(), L1Loss(), Quadratic(), CrossEntropyOnLinear(), CrossEntropyOnSoftmax()]
CONSTRAINTS = [
    (Box(-0.4, 0.3), RMSProp(0.1)),
    (NonNegative(), Adam(0.1)),
    (Simplex(1.0), Constant(0.1)),
    (L1Ball(0.5), Constant(0.1)),
    (L2Ball(0.5), HypergradientDescent(0.1, 0.01)),
    (SoftThreshold(0.05), Decay(0.1, 0.2)),
    (Projection(optax.projections.projection_hypercube), ExpDecay(0.1, 0.2)),
]


def configurations():
    """Each method with each kind of rate, each constraint; momenta, penalties and losses come round with them."""
    pairs = [(GD(), rate, None) for rate in OF_GD]
    pairs += [(method, rate, None) for method in METHODS for rate in RATES]
    pairs += [(GD(), rate, constraint) for constraint, rate in CONSTRAINTS]
    pairs += [(Optax(optax.adam, {"learning_rate": 0.1, "eps_root": 1e-16}), None, None)]
    for i, (method, rate, constraint) in enumerate(pairs):
        alone = rate is None or rate.searches
        momentum = NoMomentum() if alone else MOMENTA[i % (2 if constraint else 3)]
        params = Params(
            STEPS,
            method=method,
            learning_rate=rate,
            momentum=momentum,
            loss=LOSSES[i % 5],
            regularization=PENALTIES[(i // 4 + i) % 3],
            constraint=constraint,
            return_best=False,
            silent=True,
        )
        parts = (method, rate, momentum, params.loss, params.regularization, constraint)
        yield pytest.param(params, id=f"{i}-" + "-".join(type(part).__name__ for part in parts if part is not None))


X = np.array([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75], [0.5, 1.25]])
Y = np.array([[0.875, -1.5], [-1.0, 1.0], [0.75, 0.25], [2.0, -0.25]])
WEIGHTS = np.array([[0.5, -0.25], [-1.0, 0.75]])
LABELS = np.array([0, 1, 0, 1])
TWICE = X[[0, 0, 1, 1]]


def points(dtype, classes):
    """Weights, inputs and targets, along a leading axis."""
    large, small = (3e4, 1e-7) if dtype == jnp.float16 else (1e30, 1e-30)
    W = WEIGHTS[0] if classes else WEIGHTS
    column = lambda x: np.stack([X[:, 0], np.full(4, x)], axis=1)
    named = {
        "ordinary": (W, X, Y),
        "zero gradient": (0 * W, TWICE, Y) if classes else (W, X, X @ WEIGHTS.T),
        "zero weights": (0 * W, X, Y),
        "constant column": (W, column(1.0), Y),
        "zero column": (W, column(0.0), Y),
        "large weights": (large * W, X, Y),
        "small weights": (small * W, X, Y),
        "equal rows": (W, X[[1, 1, 1, 1]], Y[[1, 1, 1, 1]]),
        "all zero": (0 * W, 0 * X, 0 * Y),
    }
    return list(named), jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves), dtype), *named.values())


def model(w, x):
    return w @ x


class Scores(eqx.Module):
    w: jax.Array
    softmax: bool = eqx.field(static=True)

    def __call__(self, x):
        scores = jnp.stack([jnp.zeros((), x.dtype), self.w @ x])
        return jax.nn.softmax(scores) if self.softmax else scores


def is_classes(params):
    return isinstance(params.loss, CrossEntropyOnLinear | CrossEntropyOnSoftmax)


def end(static, inputs):
    """The loss at the end of a training, and whether its status says that it is finite."""
    (w, x, y), floats = inputs
    params = eqx.combine(floats, static)
    if is_classes(params):
        given = Scores(w, isinstance(params.loss, CrossEntropyOnSoftmax)), Dataset(x, jnp.asarray(LABELS[: len(x)]))
    else:
        given = jax.tree_util.Partial(model, w), Dataset(x, y)
    result = train(*given, params)
    return result.loss, result.status != Status.DIVERGED


SIDES = ("weights", "data", "settings")


def directions(inputs, dtype):
    """Directions that move one side of the inputs, each number by a part of its size, along a leading axis."""
    random = np.random.default_rng(0)
    ((w, x, y), floats), sides = inputs, []
    for side in SIDES:
        moved = {"weights": (w,), "data": (x, y), "settings": tuple(jax.tree.leaves(floats))}[side]
        ids = {id(leaf) for leaf in moved}

        def move(leaf, ids=ids):
            leaf_size = np.where(np.asarray(leaf, float) == 0, 1.0, np.abs(np.asarray(leaf, float)))
            drawn = leaf_size * random.uniform(0.5, 1.5, leaf.shape) * random.choice([-1, 1], leaf.shape)
            return drawn if id(leaf) in ids else np.zeros(leaf.shape)

        sides.append(jax.tree.map(move, inputs))
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves), dtype), *sides)


def grid(params, dtype, rows):
    """What to run: the inputs and directions of each point and side, along one leading axis."""
    floats, static = eqx.partition(params, eqx.is_inexact_array)
    names, stacked = points(dtype, is_classes(params))
    inputs, moves = [], []
    for i in range(len(names)):
        w, x, y = jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
        at = (w, x[:rows], y[:rows]), floats
        moves.append(directions(at, dtype))
        inputs.append(jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(SIDES), *leaf.shape)), at))
    join = lambda *leaves: jnp.concatenate(leaves)
    return (
        [(name, side) for name in names for side in SIDES],
        static,
        jax.tree.map(join, *inputs),
        jax.tree.map(join, *moves),
    )


def moved(static, inputs, direction, t):
    return end(
        static, jax.tree.map(lambda leaf, v: leaf + t.astype(leaf.dtype) * v.astype(leaf.dtype), inputs, direction)
    )


def programs(static, dtype):
    """Runs along directions, and their derivatives in both modes."""
    zero = jnp.zeros((), dtype)
    value = jax.jit(jax.vmap(lambda inputs, v, t: moved(static, inputs, v, t), (0, 0, None)))

    @jax.jit
    @jax.vmap
    def derivatives(inputs, v):
        f = lambda t: moved(static, inputs, v, t)
        loss, forward, fine = jax.jvp(f, (zero,), (zero + 1,), has_aux=True)
        gradient = jax.grad(lambda inputs: end(static, inputs)[0])(inputs)
        terms = jax.tree.map(
            lambda g, v: jnp.sum(g * v), gradient, jax.tree.map(lambda v, g: v.astype(g.dtype), v, gradient)
        )
        reverse = sum(leaf.astype(dtype) for leaf in jax.tree.leaves(terms))
        return loss, fine, forward, reverse

    return value, derivatives


def verdicts(params, dtype, rows=4):
    """What is wrong, by point and side."""
    places, static, inputs, moves = grid(params, dtype, rows)
    value, derivatives = programs(static, dtype)
    loss, fine, forward, reverse = (np.asarray(found, float) for found in derivatives(inputs, moves))
    known = cache(lambda t: np.asarray(value(inputs, moves, jnp.asarray(t, dtype))[0], float))
    found = {}
    for i, place in enumerate(places):
        if not np.isfinite(loss[i]):
            if fine[i]:
                found[place] = "not finite, and the status does not say so"
        elif not fine[i]:
            pass
        elif not (np.isfinite(forward[i]) and np.isfinite(reverse[i])):
            found[place] = f"derivative {forward[i]} {reverse[i]}"
        elif dtype == jnp.float64:
            size = max(abs(known(t)[i]) for t in (-0.1, 0.1))
            atol = 1e-9 * size
            compared = compare_along(
                lambda t, i=i: known(t)[i], {"forward": forward[i], "reverse": reverse[i]}, rtol=1e-5, atol=atol
            )
            verdict = compared.judge(rtol=1e-5, atol=atol, mode_rtol=1e-8, mode_atol=1e-3 * atol)[0]
            if verdict != "ok":
                found[place] = (
                    f"{verdict}: {forward[i]:.8g} {reverse[i]:.8g} {compared.difference:.8g} +- {compared.error:.1g}; f = {loss[i]:.4g}"
                )
    return found


@pytest.mark.parametrize("params", list(configurations()))
def test_finite_runs_have_right_derivatives(params):
    assert verdicts(params, jnp.float64) == {}
