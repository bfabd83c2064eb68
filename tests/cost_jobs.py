"""The fixed jobs whose costs are kept in `costs.json`: small, but of every kind that users wait for.

A job is given a wrapper for the function of the user's that it traces, which counts how often that is done.
"""

from functools import partial

import hype_ad as ad
import jax
import jax.numpy as jnp
from hype_ad import checkpointed_scan, hessian_sparsity
from hype_mcmc import HMC, DiagonalMass, FixedSteps, sample
from hype_neural import LSTM, FeedForward, Linear
from hype_optim import (
    Checkpointed,
    Constant,
    CrossEntropyOnLinear,
    Dataset,
    ExactGradient,
    Implicit,
    L2Reg,
    Minibatch,
    Momentum,
    Newton,
    Params,
    Reversible,
    StepSchedule,
    Unrolled,
    minimize,
    train,
)

STEPS = 20
KEYS = jax.random.split(jax.random.key(0), 4)
DATA = Dataset(jax.random.normal(KEYS[0], (40, 12)), jnp.arange(40) % 3)
VALID = Dataset(jax.random.normal(KEYS[1], (20, 12)), jnp.arange(20) % 3)
RATES = jnp.full(STEPS, 0.1)


def rosenbrock(w):
    return jnp.sum(100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2)


def density(x):
    return -0.5 * jnp.sum(x**2) - jnp.log1p(jnp.sum(x**4))


def network(x):
    return jnp.sum(jnp.tanh(jnp.sin(jnp.outer(x, x)) @ x))


def banded(x):
    return x**2 + jnp.sin(jnp.roll(x, 1)) * x


def wave(x):
    return jnp.sin(x) * jnp.exp(-0.1 * x)


def recurrence(w, state, x):
    return jnp.tanh(state * w + x), None


def minimum(f, w):
    return minimize(f, w, Params(STEPS, silent=True)).w


def slope_of_minimum(f, rate):
    loss = lambda rate: minimize(f, jnp.array([-1.2, 1.0]), Params(STEPS, learning_rate=rate, silent=True)).loss
    return jax.value_and_grad(loss)(rate)


def classifier(activation, rates, key, adjoint=None):
    """The validation loss of a classifier, of a step's rate each, on batches of ten."""
    first, last, order = jax.random.split(key, 3)
    model = FeedForward([Linear(12, 8, key=first), activation, Linear(8, 3, key=last)])
    params = Params(
        learning_rate=StepSchedule(rates),
        momentum=Momentum(0.9),
        loss=CrossEntropyOnLinear(),
        batch=Minibatch(10),
        adjoint=adjoint,
        return_best=False,
        silent=True,
    )
    return train(model, DATA, params, valid=VALID, key=order).valid_loss


def hypergradient(activation, rates, key, adjoint=None):
    return jax.value_and_grad(classifier, argnums=1)(activation, rates, key, adjoint)


def forward_mode(activation, rates, key):
    return jax.jvp(lambda rates: classifier(activation, rates, key), (rates,), (jnp.ones_like(rates),))


def step_of_tune(activation, rates, keys):
    """What `tune` computes for a step: values and gradients in unconstrained coordinates, at several seeds."""
    training = lambda point, key: classifier(activation, jnp.exp(point), key)
    return jax.vmap(ExactGradient(), (None, None, 0))(training, rates, keys)


def backwards(f, w):
    """The derivative by the first point through a run that keeps no states."""
    adjoint = Reversible()
    params = Params(STEPS, learning_rate=1e-3, momentum=Momentum(0.9), adjoint=adjoint, return_best=False, silent=True)
    return jax.value_and_grad(lambda w: minimize(f, w, params).loss)(w)


def ridge(predict, penalty):
    """The validation loss of a linear regression that has converged, by the implicit function theorem."""

    def loss(penalty):
        params = Params(
            STEPS, learning_rate=0.1, regularization=L2Reg(penalty), adjoint=Implicit(), return_best=False, silent=True
        )
        data, valid = (Dataset(d.x, d.x[:, 0]) for d in (DATA, VALID))
        return train(jax.tree_util.Partial(predict, jnp.zeros(12)), data, params, valid=valid).valid_loss

    return jax.value_and_grad(loss)(penalty)


def recurrent(loss, model, x, y):
    """A step's gradient for three sequences."""
    return jax.value_and_grad(lambda model: jnp.mean(jax.vmap(loss)(jax.vmap(model)(x), y)))(model)


def newton(f, w):
    method = Newton(hessian_sparsity(rosenbrock)(jnp.zeros(30)))
    return minimize(f, w, Params(STEPS, method=method, learning_rate=Constant(1.0), silent=True)).w


def draws(f, key):
    """A plain call of `sample`."""
    return sample(f, jnp.zeros(3), key=key, num_samples=STEPS, num_warmup=STEPS, silent=True).draws


def slope_of_step_size(f, size, key):
    def squares(size):
        kernel = HMC(size, FixedSteps(5), DiagonalMass(jnp.ones(3)))
        settings = {"num_samples": STEPS, "num_warmup": 0, "num_chains": 2, "silent": True}
        return jnp.mean(sample(f, jnp.ones(3), kernel, key=key, **settings).draws ** 2)

    return jax.value_and_grad(squares)(size)


def long_scan(step, w):
    run = lambda w: checkpointed_scan(partial(step, w), jnp.zeros(50), jnp.ones((400, 50)))[0].sum()
    return jax.value_and_grad(run)(w)


def laplacian(f, x):
    return ad.laplacian(f)(x)


def fourth_derivative(f, x):
    return ad.diffn(4, f)(x)


def sparse_jacobian(f, x):
    return ad.sparse_jacobian(f)(x).data


UNROLLED, SEGMENTS = (partial(hypergradient, adjoint=adjoint) for adjoint in (Unrolled(), Checkpointed(2)))
SEQUENCES = (LSTM(5, 7, key=KEYS[3]), jnp.ones((3, 10, 5)), jnp.zeros((3, 10), int))

TRACED = {
    "minimize, two numbers": (minimum, rosenbrock, jnp.array([-1.2, 1.0])),
    "derivative of a minimum by the rate": (slope_of_minimum, rosenbrock, jnp.array(1e-3)),
    "a run of Reversible()": (backwards, rosenbrock, jnp.full(300, 0.5)),
    "a classifier": (classifier, jnp.tanh, RATES, KEYS[2]),
    "its hypergradient by Unrolled()": (UNROLLED, jnp.tanh, RATES, KEYS[2]),
    "its hypergradient by Checkpointed(2)": (SEGMENTS, jnp.tanh, RATES, KEYS[2]),
    "its derivative in forward mode": (forward_mode, jnp.tanh, RATES, KEYS[2]),
    "a step of tune, four seeds": (step_of_tune, jnp.tanh, RATES, KEYS),
    "ridge by Implicit()": (ridge, jnp.dot, jnp.array(0.1)),
    "a step of an LSTM": (recurrent, CrossEntropyOnLinear(), *SEQUENCES),
    "Newton with a sparse Hessian": (newton, rosenbrock, jnp.zeros(30)),
    "checkpointed_scan": (long_scan, recurrence, jnp.array(0.5)),
    "a plain call of sample": (draws, density, KEYS[2]),
    "derivative of draws by the step size": (slope_of_step_size, density, jnp.array(0.3), KEYS[2]),
    "laplacian": (laplacian, network, jnp.ones(10)),
    "diffn(4)": (fourth_derivative, wave, jnp.array(0.5)),
    "sparse_jacobian": (sparse_jacobian, banded, jnp.ones(30)),
}
"""What is traced: a job, the user's function in it, and the arrays that the job is given."""

COMPILED = (
    "a run of Reversible()",
    "its hypergradient by Unrolled()",
    "its hypergradient by Checkpointed(2)",
    "a step of an LSTM",
    "checkpointed_scan",
    "laplacian",
)
"""The jobs whose memory counts."""

NETWORK = FeedForward([Linear(12, 8, key=KEYS[0]), jnp.tanh, Linear(8, 3, key=KEYS[1])])
SETTINGS = Params(3, learning_rate=0.1, loss=CrossEntropyOnLinear(), batch=Minibatch(10), silent=True)

CALLED = {
    "minimize": lambda w, key: minimize(rosenbrock, w, Params(STEPS, silent=True)),
    "train": lambda w, key: train(NETWORK, DATA, SETTINGS, valid=VALID, key=key),
    "sample": lambda w, key: sample(
        density, w, key=key, num_samples=STEPS, num_warmup=STEPS, num_chains=2, silent=True
    ),
}
"""What is called as users call it, with another point and key each time."""
