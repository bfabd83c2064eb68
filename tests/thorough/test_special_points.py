"""Where numbers are special a run is finite or its status says so, and the derivative of a finite run is right."""

from dataclasses import replace
from functools import cache, partial

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
    AbstractSchedule,
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
PLAIN = [Constant(0.1), HypergradientDescent(0.1, 0.01)]
OF_GD = [
    *PLAIN,
    *SEARCHES,
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
    (Box(-0.4, 0.3), Backtrack(max_trials=8)),
    (NonNegative(), Adam(0.1)),
    (Simplex(1.0), Constant(0.1)),
    (L1Ball(0.5), Constant(0.1)),
    (L2Ball(0.5), HypergradientDescent(0.1, 0.01)),
    (SoftThreshold(0.05), Decay(0.1, 0.2)),
    (Projection(optax.projections.projection_non_negative), ExpDecay(0.1, 0.2)),
]


def configurations():
    """Each method with each kind of rate, each constraint; momenta, penalties and losses come round with them."""
    pairs = [(GD(), rate, None) for rate in OF_GD]
    pairs += [(method, rate, None) for i, method in enumerate(METHODS) for rate in (PLAIN[i % 2], *SEARCHES)]
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
        yield params


def name_of(params):
    parts = (params.method, params.learning_rate, params.momentum, params.loss, params.regularization)
    names = [type(part).__name__ for part in (*parts, params.constraint)]
    return "-".join(name for name in names if not name.startswith("No") or name == "NonlinearCG")


X = np.array([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75], [0.5, 1.25]])
Y = np.array([[0.875, -1.5], [-1.0, 1.0], [0.75, 0.25], [2.0, -0.25]])
WEIGHTS = np.array([[0.5, -0.25], [-1.0, 0.75]])
LABELS = np.array([0, 1, 0, 1])
TWICE = X[[0, 0, 1, 1]]


def points(dtype, classes):
    """Weights, inputs and targets."""
    large, small = (3e4, 1e-7) if dtype == jnp.float16 else (1e30, 1e-30)
    W = WEIGHTS[0] if classes else WEIGHTS
    column = lambda x: np.stack([X[:, 0], np.full(4, x)], axis=1)
    return {
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
    """The loss at the end of a training, and before it, and whether the status says that they are finite."""
    (w, x, y), floats = inputs
    params = eqx.combine(floats, static)
    if is_classes(params):
        given = Scores(w, isinstance(params.loss, CrossEntropyOnSoftmax)), Dataset(x, jnp.asarray(LABELS[-len(x) :]))
    else:
        given = jax.tree_util.Partial(model, w), Dataset(x, y)
    result = train(*given, params)
    return result.loss, (result.loss_history[0], result.status != Status.DIVERGED)


def direction(random, inputs, side):
    """A direction that moves one side of the inputs, each number by a part of its size."""
    (w, x, y), floats = inputs
    moved = {"weights": [w], "data": [x, y], "settings": jax.tree.leaves(floats)}[side]

    def move(leaf):
        size = np.where(np.asarray(leaf, float) == 0, 1, np.abs(np.asarray(leaf, float)))
        drawn = random.choice([-1, 1], leaf.shape) * random.uniform(0.5, 1.5, leaf.shape)
        return size * drawn * any(leaf is other for other in moved)

    return jax.tree.map(move, inputs)


def grid(params, dtype, rows):
    """The inputs of each point and a direction for each of their sides, along one leading axis."""
    floats, static = eqx.partition(params, eqx.is_inexact_array)
    places, inputs, directions = [], [], []
    random = np.random.default_rng(0)
    for name, (w, x, y) in points(dtype, is_classes(params)).items():
        at = (jnp.asarray(w, dtype), jnp.asarray(x[-rows:], dtype), jnp.asarray(y[-rows:], dtype)), floats
        for side in ("weights", "data", "settings"):
            places.append((name, side))
            inputs.append(at)
            directions.append(direction(random, at, side))
    stack = lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves])
    return places, static, jax.tree.map(stack, *inputs), jax.tree.map(stack, *directions)


def programs(static):
    """The ends of runs moved along directions, and their derivatives in forward and reverse mode."""

    def along(inputs, v, t):
        return end(static, jax.tree.map(lambda leaf, v: (leaf + t * v).astype(leaf.dtype), inputs, v))

    @jax.jit
    @jax.vmap
    def derivatives(inputs, v):
        v = jax.tree.map(lambda v, leaf: v.astype(leaf.dtype), v, inputs)
        loss, forward, more = jax.jvp(partial(end, static), (inputs,), (v,), has_aux=True)
        gradient = jax.grad(lambda inputs: end(static, inputs)[0])(inputs)
        reverse = sum(
            jnp.sum(g * v).astype(loss.dtype) for g, v in zip(*map(jax.tree.leaves, (gradient, v)), strict=True)
        )
        return loss, *more, forward, reverse

    return jax.jit(jax.vmap(along, (0, 0, None))), derivatives


def verdicts(params, dtype, rows=4):
    """What is wrong with a run, by the name of its point and what is moved there."""
    places, static, inputs, directions = grid(params, dtype, rows)
    value, derivatives = programs(static)
    columns = zip(*(np.asarray(found, float) for found in derivatives(inputs, directions)), strict=True)
    run = cache(lambda t: [np.asarray(found, float) for found in jax.tree.leaves(value(inputs, directions, t))])
    found = {}
    for i, (place, (loss, first, fine, forward, reverse)) in enumerate(zip(places, columns, strict=True)):
        if not np.isfinite(loss):
            found[place] = "no status" if fine else "ok"
        elif not fine:
            found[place] = "ok"
        elif not (np.isfinite(forward) and np.isfinite(reverse)):
            found[place] = "not finite"
        elif dtype == jnp.float64:
            accepted = {"rtol": 1e-5, "atol": 1e-9 * abs(run(0.03)[0][i]) + 1e-13 * max(first, run(0.03)[1][i])}
            modes = {"forward": forward, "reverse": reverse}
            compared = compare_along(lambda t, i=i: run(t)[0][i], modes, **accepted)
            found[place] = compared.judge(**accepted, mode_rtol=1e-8, mode_atol=accepted["atol"])[0]
    return found


KINK = {"wrong", "undecided"}  # by differences; the derivative is finite, and the same in both modes
ZERO = {"zero gradient", "all zero"}
# The reason, what is found, and where.
EXCEPTIONS = [
    (
        "L1Loss and L2Loss have a kink where an error is zero, and derivative 0 in it.",
        KINK,
        lambda params, dtype, point: isinstance(params.loss, L1Loss | L2Loss) and point in ZERO,
    ),
    (
        "L1Reg has a kink where a weight is zero, and derivative 0 in it.",
        KINK,
        lambda params, dtype, point: isinstance(params.regularization, L1Reg) and point in {"zero weights", *ZERO},
    ),
    (
        "A projection has a kink at the bound where weights of zero lie, and one of its two derivatives there.",
        KINK,
        lambda params, dtype, point: (
            isinstance(params.constraint, NonNegative | Projection) and point in {"zero weights", *ZERO}
        ),
    ),
    (
        "Rates that divide by the size of a gradient turn about zero within less than differences resolve.",
        KINK,
        lambda params, dtype, point: params.learning_rate.scales_entries and point in {"zero column", *ZERO},
    ),
    (
        "Where data do not determine the weights, but do when moved, curvature leads elsewhere: the loss jumps.",
        KINK,
        lambda params, dtype, point: not isinstance(params.method, GD) and point in {"zero column", "equal rows"},
    ),
    (
        "With L1Reg a weight without curvature has a gradient, and Newton's methods at a fixed rate run away with it.",
        {"modes differ"},
        lambda params, dtype, point: (
            isinstance(params.method, Newton | NewtonCG)
            and isinstance(params.regularization, L1Reg)
            and point in {"zero column", "equal rows"}
        ),
    ),
    (
        "One example's L2Loss has no curvature along its gradient, but for rounding; one over that is out of range.",
        {"not finite"},
        lambda params, dtype, point: (
            isinstance(params.method, NewtonCG) and dtype == jnp.bfloat16 and point == "large weights"
        ),
    ),
    (
        "float16 ends at 65504 and 6e-8: slopes and quotients on the way of a derivative are beyond.",
        {"not finite"},
        lambda params, dtype, point: (
            dtype == jnp.float16
            and not (isinstance(params.method, GD) and isinstance(params.learning_rate, AbstractSchedule))
        ),
    ),
]


def check(params, dtype, rows):
    """What is wrong, and no exception."""
    for (point, side), verdict in verdicts(params, dtype, rows).items():
        excepted = any(verdict in found and applies(params, dtype, point) for _, found, applies in EXCEPTIONS)
        if verdict != "ok" and not excepted:
            yield point, side, verdict


CONFIGURATIONS = list(configurations())
NARROW = [(jnp.float16, 4), (jnp.bfloat16, 1), (jnp.float32, 4)]


def cases(variants):
    for i, params in enumerate(CONFIGURATIONS):
        dtype, rows = variants[i % len(variants)]
        yield pytest.param(params, dtype, rows, id=f"{name_of(params)}-{jnp.dtype(dtype).name}-{rows}")


@pytest.mark.parametrize(("params", "dtype", "rows"), list(cases([(jnp.float64, 4)])))
def test_a_finite_run_has_the_derivative_of_differences(params, dtype, rows):
    assert list(check(params, dtype, rows)) == []


@pytest.mark.parametrize(("params", "dtype", "rows"), list(cases([*NARROW, (jnp.float64, 1)])))
def test_in_less_precision_and_with_one_example_and_step(params, dtype, rows):
    assert list(check(replace(params, epochs=1) if rows == 1 else params, dtype, rows)) == []
