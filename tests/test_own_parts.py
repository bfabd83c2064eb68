"""A part of one's own, written outside of the packages by public names alone, goes wherever Hype's own parts go."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad.testing import assert_derivatives_match
from hype_optim import (
    AbstractAdjoint,
    AbstractBatch,
    AbstractEarlyStopping,
    AbstractGradientClipping,
    AbstractLearningRate,
    AbstractLoss,
    AbstractMethod,
    AbstractMomentum,
    AbstractRegularization,
    AbstractSampling,
    AbstractSchedule,
    Checkpointed,
    Constant,
    Dataset,
    Hyperparameter,
    Params,
    Solution,
    Status,
    check_hypergradient,
    forecast,
    load,
    minimize,
    positive,
    save,
    train,
)


class Cosine(AbstractSchedule):
    """A rate that swings between 0 and twice its mean."""

    mean: Hyperparameter
    period: Hyperparameter

    def at(self, step, epoch):
        return self.mean * (1 + jnp.cos(2 * jnp.pi * step.astype(self.mean.dtype) / self.period))


class Averaged(AbstractLearningRate):
    """A rate that remembers: steps along the mean of this direction and the last one."""

    rate: Hyperparameter

    def init(self, w):
        return jax.tree.map(jnp.zeros_like, w)

    def update(self, direction, memory, iterate):
        return jax.tree.map(lambda new, old: self.rate * (new + old) / 2, direction, memory), direction


class Preconditioned(AbstractMethod):
    """Gradient descent in other units."""

    unit: Hyperparameter

    def default_learning_rate(self):
        return Constant(0.05)

    def init(self, w):
        return ()

    def is_step(self, memory):
        return jnp.array(False)

    def direction(self, iterate, memory):
        return jax.tree.map(lambda g: -self.unit * g, iterate.clipped), memory


class GaussNewtonish(AbstractMethod):
    """Divides the gradient by the curvature along it."""

    uses_hessian: ClassVar[bool] = True

    damping: Hyperparameter

    def default_learning_rate(self):
        return Constant(0.2)

    def init(self, w):
        return ()

    def is_step(self, memory):
        return jnp.array(False)

    def direction(self, iterate, memory):
        g = iterate.clipped
        dot = lambda a, b: sum(map(jnp.vdot, jax.tree.leaves(a), jax.tree.leaves(b)))
        curvature = dot(g, iterate.hessian_product(g)) / (dot(g, g) + 1e-30)
        return jax.tree.map(lambda g: -g / (jnp.abs(curvature) + self.damping), g), memory


class QuasiHyperbolic(AbstractMomentum):
    """Ma & Yarats 2019: a part of the step, and a part of the velocity."""

    decay: Hyperparameter
    part: Hyperparameter

    def init(self, w):
        return jax.tree.map(jnp.zeros_like, w)

    def update(self, step, memory):
        velocity = jax.tree.map(lambda v, s: self.decay * v + s, memory, step)
        return jax.tree.map(lambda v, s: self.part * v + (1 - self.part) * s, velocity, step), velocity


class SoftClip(AbstractGradientClipping):
    """Each entry through a smooth limit."""

    limit: Hyperparameter

    def __call__(self, gradient):
        return jax.tree.map(lambda g: self.limit * jnp.tanh(g / self.limit), gradient)


class Quartic(AbstractRegularization):
    coefficient: Hyperparameter

    def __call__(self, w):
        return self.coefficient * sum(jnp.sum(leaf**4) for leaf in jax.tree.leaves(eqx.filter(w, eqx.is_inexact_array)))


class Pinball(AbstractLoss):
    """The loss of a quantile, smoothed."""

    quantile: Hyperparameter

    def __call__(self, prediction, target):
        error = target - prediction
        return jnp.sum(self.quantile * error + jax.nn.softplus(-5 * error) / 5)


class Backwards(AbstractSampling):
    def order(self, key, data):
        return jnp.arange(len(data))[::-1]


class Third(AbstractBatch):
    @property
    def blocks(self):
        return 1

    def size(self, rows):
        return -(-rows // 3)

    def per_epoch(self, rows):
        return -(-rows // self.size(rows))

    def order(self, key, data):
        return Backwards().order(key, data)


class GoodEnough(AbstractEarlyStopping):
    """Stops below a loss."""

    target: float = eqx.field(static=True)

    def init(self, dtype):
        return jnp.zeros((), int)

    def check(self, memory, training, validation, threshold):
        return memory + 1, training < self.target


class EachStep(AbstractAdjoint):
    """Exact: keeps the state before each step, and computes the step again."""

    def solve(self, run, state, params, gradient):
        def scan(step, init, xs, load):
            return jax.lax.scan(jax.checkpoint(step), init, load(xs))

        return Solution(*run(scan, state, params))


class Forgetful(AbstractAdjoint):
    """Wrong, and says what it rests on: nothing of the first half of the steps."""

    assumption: ClassVar[str] = "The first half is forgotten."

    def solve(self, run, state, params, gradient):
        def scan(step, init, xs, load):
            half = jax.tree.leaves(xs)[0].shape[0] // 2
            middle, first = jax.lax.scan(step, init, load(jax.tree.map(lambda x: x[:half], xs)))
            stop = lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x
            last, second = jax.lax.scan(step, jax.tree.map(stop, middle), load(jax.tree.map(lambda x: x[half:], xs)))
            return last, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)

        return Solution(*run(scan, state, params))


a = jnp.asarray
FIRST_ORDER = {
    "method": Preconditioned(positive(0.7)),
    "learning_rate": Cosine(positive(0.02), a(7.0)),
    "momentum": QuasiHyperbolic(a(0.6), a(0.7)),
    "gradient_clipping": SoftClip(a(2.0)),
    "early_stopping": GoodEnough(-1.0),
}
SECOND_ORDER = {"method": GaussNewtonish(a(0.5)), "learning_rate": Averaged(positive(0.3)), "adjoint": EachStep()}
FOR_TRAIN = {"regularization": Quartic(a(0.02)), "loss": Pinball(a(0.3)), "batch": Third()}
W0 = {"a": jnp.array([1.0, -0.8]), "b": jnp.array(0.5)}
X = jnp.linspace(-1, 1, 12).reshape(6, 2)
DATA = Dataset(X, jnp.sin(X[:, 0]))


def bowl(w):
    return jnp.sum(w["a"] ** 2 * jnp.array([1.0, 2.0])) + 0.1 * jnp.sum(w["a"] ** 4) + (w["b"] - w["a"][0]) ** 2


class Line(eqx.Module):
    w: Any

    def __call__(self, x):
        return jnp.dot(self.w["a"], x) + self.w["b"]


def minimized(params, w0=W0, **options):
    return minimize(bowl, w0, params, **options)


def trained(params, w0=W0, **options):
    return train(Line(w0), DATA, params, key=options.pop("key", jax.random.key(0)), **options)


each_case = pytest.mark.parametrize(
    ("run", "parts"),
    [
        pytest.param(trained, FIRST_ORDER | FOR_TRAIN, id="first order through train"),
        pytest.param(minimized, SECOND_ORDER, id="second order through minimize"),
        # The same parts by the other function, whose step is that of the first.
        pytest.param(minimized, FIRST_ORDER, id="first order through minimize", marks=pytest.mark.slow),
        pytest.param(trained, SECOND_ORDER, id="second order through train", marks=pytest.mark.slow),
    ],
)


@each_case
def test_goes_downhill_resumes_bit_for_bit_and_is_saved(run, parts, tmp_path):
    at_once = run(Params(6, return_best=False, silent=True, **parts))
    assert at_once.loss < np.max(at_once.loss_history[:3])  # the three batches of an epoch
    first = run(Params(4, return_best=False, silent=True, **parts))
    save(tmp_path / "state.npz", first.state)
    state = load(tmp_path / "state.npz", like=first.state)
    second = run(Params(2, return_best=False, silent=True, **parts), state=state)
    for once, twice in zip(jax.tree.leaves(at_once.w), jax.tree.leaves(second.w), strict=True):
        np.testing.assert_array_equal(once, twice)


@each_case
def test_its_floats_have_derivatives_and_the_check_finds_them_right(run, parts):
    check = check_hypergradient(lambda params: run(params).loss, Params(6, silent=True, **parts))
    assert check.ok, str(check)
    assert len(check.rows) > len(check.without_influence)


def test_an_adjoint_of_ones_own_gives_the_derivatives_of_hypes():
    def gradient(adjoint):
        return jax.grad(lambda params: trained(params).loss)(
            Params(7, learning_rate=0.03, adjoint=adjoint, silent=True)
        )

    both = jax.jit(lambda: [jax.tree.leaves(gradient(adjoint)) for adjoint in (Checkpointed(), EachStep())])
    for a, b in zip(*both(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    params = Params(7, learning_rate=positive(0.02), adjoint=EachStep(), silent=True)
    assert_derivatives_match(
        lambda rate: trained(eqx.tree_at(lambda p: p.learning_rate.rate.raw, params, rate)).loss, -4.0
    )


@pytest.mark.slow
def test_a_forecast_has_a_row_for_an_adjoint_of_ones_own():
    found = forecast(
        lambda params: minimized(params).loss, Params(7, learning_rate=0.02, adjoint=EachStep(), silent=True)
    )
    assert found["EachStep()"].bytes > 0


def test_the_check_says_what_an_adjoint_rests_on():
    check = check_hypergradient(
        lambda p: minimized(p).loss, Params(8, learning_rate=0.02, adjoint=Forgetful(), silent=True)
    )
    (row,) = [row for row in check.rows if row.path == ".learning_rate.rate"]
    assert row.verdict == "wrong"
    assert row.note == "The first half is forgotten."


def test_early_stopping_of_ones_own_stops():
    result = minimized(Params(60, learning_rate=0.05, early_stopping=GoodEnough(0.1), silent=True))
    assert result.status == Status.EARLY_STOPPED
    assert result.loss < 0.1
