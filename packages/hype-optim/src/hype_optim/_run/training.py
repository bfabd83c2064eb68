"""From a model, data and settings to the problem that a training solves."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.captured import Captured, captured
from hype_ad.internal.progress import clearing
from hype_ad.internal.settled import varying
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Shaped

from .._config.loss import FunctionLoss
from .._config.params import Params, steps_to_make
from .._data import blocks
from .._data.dataset import Dataset
from .._data.stream import Stream
from .._hyperparameter.ranges import dtype_of_hyperparameters, resolve
from .._objective import Kind, kind_of
from .batch_loss import AbstractBatchLoss, Batch, ExampleLosses, ObjectiveLoss, at_least_single
from .batching import Batches, mean_in_pieces, orders
from .problem import Problem
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
    data: Dataset | Stream
    params: Params
    static: PyTree = None
    model_state: PyTree = None
    valid: Dataset | Stream | None = None
    key: PRNGKeyArray | None = None
    evaluation_key: PRNGKeyArray | None = None
    objective: Callable[..., Any] | None = None
    batched: bool = False
    keyed: bool = False
    axis_name: Any = None
    state: RunState | None = None

    @property
    def size(self) -> int:
        """The number of examples in a batch."""
        return self.params.batch.size(len(self.data))

    @property
    def per_epoch(self) -> int:
        """The number of steps in an epoch."""
        return self.params.batch.per_epoch(len(self.data))

    @property
    def is_full(self) -> bool:
        """Whether each step looks at all of the data."""
        return self.per_epoch == 1 and self.size == len(self.data)

    @property
    def draws(self) -> bool:
        """Whether a step draws at random, beside the order of the examples."""
        return self.key is not None and (self.keyed or self.objective is not None)

    @property
    def in_training(self) -> bool:
        """Whether the model may behave otherwise in a step than where it is judged."""
        return self.keyed or self.objective is not None or self.model_state is not None


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
    params = resolve(training.params, dtype_of_hyperparameters(training.w))
    training = training._replace(params=params)
    problem = _problem(training, steps, _batch_loss(training))
    return solve(
        problem, training.w, training.model_state, training.static, params, training.key, training.state, steps
    )


def _problem(training: Training, steps: int, batch_loss: AbstractBatchLoss) -> Problem:
    data, valid, size, per_epoch = training.data, training.valid, training.size, training.per_epoch
    model_of = lambda w: eqx.combine(w, training.static)
    evaluation_key = training.evaluation_key
    if evaluation_key is None and training.objective is not None and training.key is not None:
        evaluation_key = jax.random.fold_in(training.key, _EVALUATION_KEYS)
    count = training.params.batch.blocks

    def penalized(w: PyTree, loss: Float[Array, ""]) -> Float[Array, ""]:
        return loss + jnp.asarray(training.params.regularization(w), loss.dtype)

    def batch_objective(w: PyTree, held: PyTree, state: PyTree, batch: Any) -> tuple[Float[Array, ""], PyTree]:
        (examples, counted), key = batch
        loss = partial(batch_loss, model_of(w), model_of(held), state)
        if counted is None or not batch_loss.is_whole:
            value, state = loss(Batch(examples, key, counted))
        else:  # the rows that only fill a batch up must not reach what sees them all at once
            left = blocks.first(examples, count, len(data) % size)
            whole, part = (lambda: loss(Batch(examples, key, None))), (lambda: loss(Batch(left, key, None)))
            value, state = lax.cond(counted[-1] > 0, whole, part)
        return penalized(w, scale(everywhere(value))), state

    def everywhere(mean: Float[Array, ""]) -> Float[Array, ""]:
        """The mean over the parts of the data on all devices, inside of a `shard_map` of one training."""
        axes = () if training.objective is not None else tuple(varying(mean) - varying(training.w))
        return lax.pmean(mean, axes) if axes else mean

    def mean_loss(w: PyTree, state: PyTree, data: Dataset | Stream, scale: Callable) -> Float[Array, ""]:
        model = eqx.nn.inference_mode(model_of(w)) if training.in_training else model_of(w)
        ones = lambda examples: jnp.ones(len(examples))
        sum_over = lambda examples, key: batch_loss(model, None, state, Batch(examples, key, ones(examples)))[0]
        return scale(everywhere(mean_in_pieces(sum_over, data, min(size, len(data)), evaluation_key, count)))

    scale = _scale_of_weights(batch_loss, data, size, count, everywhere)
    scale_valid = scale if valid is None else _scale_of_weights(batch_loss, valid, size, count, everywhere)
    # Where a step looks at all of the data it is given the data themselves, not a copy of them for each step.
    on_all = lambda w, held, state, key: batch_objective(w, held, state, ((data, None), key))
    is_training = training.draws or training.model_state is not None
    is_uneven = per_epoch * size > len(data)
    objective = lambda w, state: penalized(w, mean_loss(w, state, data, scale))
    if isinstance(batch_loss, ObjectiveLoss):
        some, key = _first(data, size, count), training.key if training.draws else None
        losses = lambda w: batch_loss.losses(model_of(w), training.model_state, some, key)[0]
        kind = kind_of("objective", losses, training.w)
        kind = kind._replace(dtype=at_least_single(kind.dtype))
    else:
        kind = Kind(False, jax.eval_shape(objective, training.w, training.model_state).dtype)
    return Problem(
        objective=objective,
        kind=kind,
        batch_objective=on_all if training.is_full else batch_objective,
        load=_loader(training, steps),
        steps_per_epoch=per_epoch,
        constraint=training.params.constraint,
        validate=None if valid is None else lambda w, state: mean_loss(w, state, valid, scale_valid),
        is_fixed=training.is_full and not is_training,
        examples=jnp.full(per_epoch, float(size)).at[-1].set(len(data) % size) if is_uneven else None,
        is_training=is_training,
        sees_all=per_epoch * size >= len(data),
    )


def _loader(training: Training, steps: int) -> Callable[[Int[Array, " n"]], PyTree]:
    """From step numbers to their keys; with batches and what counts in them, if these are not all of the data."""
    key, data, state, per_epoch = training.key, training.data, training.state, training.per_epoch

    def keys(steps: Int[Array, " n"]) -> Shaped[Array, "n ..."] | None:
        if key is None or not training.draws:
            return None
        # Folded twice: the orders of the epochs come from the key folded once.
        return jax.vmap(partial(jax.random.fold_in, jax.random.fold_in(key, _MODEL_KEYS)))(steps)

    if training.is_full:
        return keys
    devices = data.devices if isinstance(data, Stream) else blocks.spread(data)
    if training.params.batch.blocks % devices:
        raise ValueError(
            f"`Params.batch` must be Minibatch({training.size}, shards={devices}), or with a multiple of that, for "
            f"data whose rows are spread over {devices} devices, got {training.params.batch!r}."
        )
    first_epoch = 0 if state is None else state.step // per_epoch
    # A run that goes on in the middle of an epoch touches one more.
    epochs = -(-steps // per_epoch) + (state is not None)
    order = None if key is None else orders(training.params.batch, key, data, first_epoch, epochs)
    batches = Batches(data, training.size, per_epoch, training.params.batch.blocks, order, first_epoch)
    return lambda steps: (batches.load(steps), keys(steps))


def _batch_loss(training: Training) -> AbstractBatchLoss:
    has_state = training.model_state is not None
    if training.objective is not None:
        return ObjectiveLoss(objective=training.objective, has_state=has_state)
    return ExampleLosses(
        predict=training.predict,
        loss=training.params.loss,
        has_state=has_state,
        keyed=training.keyed,
        batched=training.batched,
        axis_name=training.axis_name,
    )


def _first(data: Dataset | Stream, rows: int, count: int) -> Dataset:
    """The first examples of each of `count` blocks."""
    return data.at(jnp.arange(rows)) if isinstance(data, Stream) else blocks.first(data, count, rows)


def _scale_of_weights(
    batch_loss: AbstractBatchLoss, data: Dataset | Stream, size: int, count: int, everywhere: Callable[[Array], Array]
) -> Callable[[Array], Array]:
    """What makes of a mean of weighted losses a weighted mean: a division by the mean weight over all of the data."""
    some = (lambda: data.at(jnp.arange(1))) if isinstance(data, Stream) else (lambda: data)
    if jax.eval_shape(lambda: batch_loss.weights(some())) is None:
        return lambda value: value
    total = lambda examples, key: jnp.sum(jnp.asarray(batch_loss.weights(examples)))
    mean = everywhere(mean_in_pieces(total, data, min(size, len(data)), count=count))
    return lambda value: value / mean.astype(value.dtype)
