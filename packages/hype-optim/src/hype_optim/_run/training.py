"""From a model, data and settings to the problem that a training solves."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.captured import Captured, captured
from hype_ad.internal.progress import clearing
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Shaped

from .._config.loss import FunctionLoss
from .._config.params import Params, steps_to_make
from .._data.dataset import Dataset
from .._data.stream import Stream
from .._hyperparameter.ranges import dtype_of_hyperparameters, resolve
from .batch_loss import AbstractBatchLoss, ExampleLosses, ObjectiveLoss
from .batching import Batches, mean_in_pieces, number_of_batches, orders
from .problem import Problem, check_single
from .result import Result
from .solve import solve
from .state import RunState

_MODEL_KEYS = 2**32 - 1  # `fold_in` values that no epoch has: keep the keys of the model apart from the shuffling
_EVALUATION_KEYS = 2**32 - 2


class Training(NamedTuple):
    """What a training is given.

    Attributes:
        predict: maps weights, an input, the model's state if there is one and, if it is `keyed`, `key=`, to a
            prediction, and the next state if there is one.
        w: the weights that are trained.
        static: all other leaves of the weights.
        model_state: the state of the model, or `None`.
        objective: what is minimized in place of the mean loss, or `None`.
        evaluation_key: what the losses that are reported draw from.
    """

    predict: Callable[..., Any]
    w: PyTree
    static: PyTree
    model_state: PyTree
    data: Dataset | Stream
    params: Params
    valid: Dataset | Stream | None
    key: PRNGKeyArray | None
    evaluation_key: PRNGKeyArray | None
    objective: Callable[..., Any] | None
    batched: bool
    keyed: bool
    axis_name: Any
    state: RunState | None

    @property
    def per_epoch(self) -> int:
        """The number of steps in an epoch."""
        return number_of_batches(self.params.batch, len(self.data))

    @property
    def draws(self) -> bool:
        """Whether a step draws at random, beside the order of the examples."""
        return self.key is not None and (self.keyed or self.objective is not None)


def fit(training: Training) -> Result:
    """Train."""
    state = training.state
    steps = steps_to_make(training.params, training.per_epoch, None if state is None else state.step)
    with clearing():
        return _fit(training, steps, captured(*_functions(training)))


def _functions(training: Training) -> list[Any]:
    """The caller's own functions, which may read what changes from one call to the next."""
    loss = training.params.loss
    loss = loss.function if isinstance(loss, FunctionLoss) else loss
    return [training.predict, (training.w, training.static), loss, training.objective, training.params.regularization]


@eqx.filter_jit
def _fit(training: Training, steps: int, captured: Captured) -> Result:
    w, static, data, valid = training.w, training.static, training.data, training.valid
    key, state, model_state = training.key, training.state, training.model_state
    params = resolve(training.params, dtype_of_hyperparameters(w))
    batch_loss = _batch_loss(training, params)
    size, per_epoch = params.batch.size(len(data)), training.per_epoch
    evaluation_key = training.evaluation_key
    if evaluation_key is None and training.objective is not None and key is not None:
        evaluation_key = jax.random.fold_in(key, _EVALUATION_KEYS)
    switches = training.keyed or training.objective is not None or model_state is not None

    def penalized(w: PyTree, loss: Float[Array, ""]) -> Float[Array, ""]:
        return loss + jnp.asarray(params.regularization(w), loss.dtype)

    scale = _scale_of_weights(batch_loss, data, size)
    scale_valid = scale if valid is None else _scale_of_weights(batch_loss, valid, size)

    def batch_objective(w: PyTree, held: PyTree, model_state: PyTree, batch: Any) -> tuple[Float[Array, ""], PyTree]:
        (examples, counted), key = batch
        loss = partial(batch_loss, eqx.combine(w, static), eqx.combine(held, static), model_state)
        if counted is None or not batch_loss.is_whole:
            value, model_state = loss(examples, key, counted)
        else:  # the rows that only fill a batch up must not reach what sees them all at once
            left = jax.tree.map(lambda leaf: leaf[: len(data) % size], examples)
            value, model_state = lax.cond(
                counted[-1] > 0, lambda: loss(examples, key, None), lambda: loss(left, key, None)
            )
        return penalized(w, scale(value)), model_state

    def mean_loss(w: PyTree, model_state: PyTree, data: Dataset | Stream, scale: Callable) -> Float[Array, ""]:
        model = eqx.combine(w, static)
        model = eqx.nn.inference_mode(model) if switches else model

        def sum_over(examples: Dataset, key: PRNGKeyArray | None) -> Float[Array, ""]:
            return batch_loss(model, None, model_state, examples, key, jnp.ones(len(examples)))[0]

        return scale(mean_in_pieces(sum_over, data, min(size, len(data)), evaluation_key))

    def step_keys(steps: Int[Array, " n"]) -> Shaped[Array, "n ..."] | None:
        if not training.draws:
            return None
        # Folded twice: the orders of the epochs come from the key folded once.
        return jax.vmap(partial(jax.random.fold_in, jax.random.fold_in(key, _MODEL_KEYS)))(steps)

    if per_epoch == 1 and len(data) == size:  # the data themselves, not a copy of them for each step
        objective, load = lambda w, held, s, key: batch_objective(w, held, s, ((data, None), key)), step_keys
    else:
        first_epoch = 0 if state is None else state.step // per_epoch
        # A run that goes on in the middle of an epoch touches one more.
        epochs = -(-steps // per_epoch) + (state is not None)
        order = None if key is None else orders(params.batch, key, data, first_epoch, epochs)
        batches = Batches(data, size, per_epoch, order, first_epoch)
        objective, load = batch_objective, lambda steps: (batches.load(steps), step_keys(steps))

    is_training = training.draws or model_state is not None
    is_uneven = per_epoch * size > len(data)
    if isinstance(batch_loss, ObjectiveLoss):
        first = lambda w: batch_loss.losses(eqx.combine(w, static), model_state, _first(data), evaluation_key)[0]
        check_single("objective", first, w, params)
    problem = Problem(
        objective=lambda w, model_state: penalized(w, mean_loss(w, model_state, data, scale)),
        batch_objective=objective,
        load=load,
        steps_per_epoch=per_epoch,
        constraint=params.constraint,
        validate=None if valid is None else lambda w, model_state: mean_loss(w, model_state, valid, scale_valid),
        is_fixed=load is step_keys and not is_training,
        examples=jnp.full(per_epoch, float(size)).at[-1].set(len(data) % size) if is_uneven else None,
        is_training=is_training,
        sees_all=per_epoch * size >= len(data),
    )
    return solve(problem, w, model_state, static, params, key, state, steps)


def _batch_loss(training: Training, params: Params) -> AbstractBatchLoss:
    has_state = training.model_state is not None
    if training.objective is not None:
        return ObjectiveLoss(training.objective, has_state)
    return ExampleLosses(
        training.predict,
        params.loss,
        has_state=has_state,
        keyed=training.keyed,
        batched=training.batched,
        axis_name=training.axis_name,
    )


def _first(data: Dataset | Stream) -> Dataset:
    """The first example, in a batch of one."""
    return data.at(jnp.arange(1)) if isinstance(data, Stream) else jax.tree.map(lambda leaf: leaf[:1], data)


def _scale_of_weights(batch_loss: AbstractBatchLoss, data: Dataset | Stream, size: int) -> Callable[[Array], Array]:
    """What makes of a mean of weighted losses a weighted mean: a division by the mean weight over all of the data."""
    weigh = batch_loss.weights
    if jax.eval_shape(lambda: weigh(_first(data))) is None:
        return lambda value: value
    mean = mean_in_pieces(lambda examples, key: jnp.sum(weigh(examples)), data, min(size, len(data)))
    return lambda value: value / mean.astype(value.dtype)
