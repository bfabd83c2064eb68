"""`train`: fit a model to data."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.captured import Captured, captured
from hype_ad.internal.checks import boolean, check_key, function, instance
from hype_ad.internal.progress import clearing
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Shaped

from .._config.loss import FunctionLoss
from .._config.params import Params, as_params, steps_to_make
from .._data.dataset import Dataset
from .._hyperparameter.ranges import dtype_of_hyperparameters, resolve
from .._objective import as_scalar
from .._run.batching import Batches, mean_in_pieces, number_of_batches, shuffled
from .._run.problem import Problem
from .._run.result import Result
from .._run.solve import solve
from .._run.state import RunState, check_state
from .._run.weights import check_weights

_MODEL_KEYS = 2**32 - 1  # a `fold_in` value that no epoch has: keeps the model's keys apart from the shuffling


def train(
    model: Callable[[Array], PyTree],
    data: Dataset,
    params: Params | None = None,
    *,
    valid: Dataset | None = None,
    key: PRNGKeyArray | None = None,
    batched: bool = False,
    keyed: bool = False,
    state: RunState | None = None,
) -> Result:
    r"""Fit a model to data: find weights where the mean loss over the examples, plus the penalty, is small.

    The result is differentiable with respect to the floats of `model`, `data`, `valid` and `params`, in reverse and
    forward mode and to any order, in memory as `params.adjoint` says. It works under `jit` and `vmap`, and inside
    another training.

    Args:
        model: a pytree that is a function of one example; its float arrays are what is trained. A model with
            functions as leaves, such as `eqx.nn.MLP`, needs `eqx.filter_jit`, `eqx.filter_grad`, ... around this
            function. Like the loss it is compiled again when arrays or numbers have changed that it reads as globals,
            closed-over variables or attributes, where that can be seen.
        data: the training examples.
        params: how to optimize.
        valid: other examples; where there are some, the best weights and early stopping are judged by them, without
            the penalty.
        key: if given, every epoch goes through the examples in a new random order; else in their own.
        batched: whether `model` takes a whole batch, with the examples along the leading axis: the last one of an
            epoch with what is left of them alone.
        keyed: whether `model` draws at random in training, as one with an `equinox.nn.Dropout` does. It is called as
            `model(x, key=k)` then, with a new key for each example of each step. For the validation loss and the
            final loss it is put into inference mode (`equinox.nn.inference_mode`) and called with `key=None`.
        state: the `state` of an earlier result, to go on where that run stopped, for another `params.epochs`, or to
            the end of its schedule; of `model` only the structure is used then, and the key is the state's. If the
            data, the loss, the penalty or `valid` are others, the best weights so far and early stopping are judged
            anew by them; what the method, the rate and the momentum remember stays.

    Returns:
        A `Result` whose `w` is the model trained.

    Raises:
        TypeError: if `model` is not callable, has no float leaf or keeps state (`equinox.nn.BatchNorm`), if the data
            are not a `Dataset`, if `key` is not a key, or if the loss is not a real scalar.
        ValueError: if a batch is larger than the data, if there are no examples, if predictions and targets have
            different shapes, if the floats of `model` are known not to be finite, if a schedule has no step left, if
            `state` is that of another kind of run, if `keyed` is true and there is no key, or if `key` is several.
    """
    function("model", model, "a callable pytree, `model(x)` being the prediction of one example")
    is_state = lambda node: isinstance(node, eqx.nn.StateIndex)
    if any(map(is_state, jax.tree.leaves(model, is_leaf=is_state))):
        raise TypeError(
            "`model` must not keep state from one call to the next, as equinox.nn.BatchNorm does: a prediction must be "
            "a function of one example. Take equinox.nn.LayerNorm or GroupNorm."
        )
    predict = _call_keyed if keyed else _call
    return fit("model", Training(predict, model, data, params, valid, key, batched, keyed, state))


def _call(model: Callable, x: Array) -> PyTree:
    try:
        return model(x)
    except RuntimeError as error:
        if "requires a key" in str(error):
            error.add_note("`train(..., keyed=True, key=key)` gives a key to a model that draws.")
        raise


def _call_keyed(model: Callable, x: Array, key: PRNGKeyArray | None) -> PyTree:
    return model(x, key=key)


class Training(NamedTuple):
    """What a training is given.

    Attributes:
        predict: maps weights, one example and, if it is `keyed`, a key or `None` to a prediction.
        w0: the weights to start from, with arrays for Python floats.
    """

    predict: Callable[..., PyTree]
    w0: PyTree
    data: Dataset
    params: Params | None
    valid: Dataset | None
    key: PRNGKeyArray | None
    batched: bool
    keyed: bool
    state: RunState | None


def fit(name: str, given: Training) -> Result:
    """Check what a training is given, and train; `name` is what the caller calls the weights."""
    _check_examples("data", given.data)
    if given.valid is not None:
        _check_examples("valid", given.valid)
    check_weights(name, given.w0)
    params, key, state = as_params(given.params), given.key, check_state(given.state)
    boolean("batched", given.batched)
    if state is not None:
        key = state.key
    if boolean("keyed", given.keyed) and key is None:
        raise ValueError("`key` must be given for a model that is `keyed`.")
    if key is not None:
        key = check_key("key", key)
    rows = len(given.data)
    per_epoch = number_of_batches(rows, params.batch.size(rows))
    steps = steps_to_make(params, per_epoch, None if state is None else state.step)
    with clearing():
        return _fit(given._replace(params=params, key=key), steps, captured(*_functions(given, params)))


def _check_examples(name: str, data: Dataset) -> None:
    if len(instance(name, data, Dataset, "a `Dataset(x, y)`")) == 0:
        raise ValueError(f"`{name}` must hold at least one example, got none.")


def _functions(given: Training, params: Params) -> list[Any]:
    """The caller's own functions, which may read what changes from one call to the next."""
    loss = params.loss
    return [given.predict, given.w0, loss.function if isinstance(loss, FunctionLoss) else loss, params.regularization]


@eqx.filter_jit
def _fit(given: Training, steps: int, captured: Captured) -> Result:
    w, static = eqx.partition(given.w0, eqx.is_inexact_array)
    params = resolve(given.params, dtype_of_hyperparameters(w))
    data, valid, key, state = given.data, given.valid, given.key, given.state
    rows, size = len(data), params.batch.size(len(data))
    per_epoch = number_of_batches(rows, size)

    def losses(w: PyTree, examples: Dataset, key: PRNGKeyArray | None = None) -> Float[Array, " rows"]:
        model = eqx.combine(w, static)
        if not given.keyed:
            keys = ()
        elif key is None:
            model, keys = eqx.nn.inference_mode(model), (None,)
        else:
            keys = (key if given.batched else jax.random.split(key, len(examples)),)
        predict = given.predict if given.batched else jax.vmap(given.predict, in_axes=(None, 0) + (0,) * len(keys))
        predictions = predict(model, examples.x, *keys)
        return jax.vmap(lambda prediction, y: as_scalar("loss", params.loss(prediction, y)))(predictions, examples.y)

    def penalized(w: PyTree, loss: Float[Array, ""]) -> Float[Array, ""]:
        return loss + jnp.asarray(params.regularization(w), loss.dtype)

    def batch_objective(w: PyTree, batch: tuple[tuple[Dataset, Array | None], PyTree]) -> Float[Array, ""]:
        (examples, weights), key = batch
        mean = lambda examples: lambda w: jnp.mean(losses(w, examples, key))
        if weights is None:
            loss = mean(examples)(w)
        elif given.batched:  # the rows that only fill a batch up must not reach a model that sees them all at once
            left = jax.tree.map(lambda leaf: leaf[: rows % size], examples)
            loss = lax.cond(weights[-1] > 0, mean(examples), mean(left), w)
        else:
            each = losses(w, examples, key)
            loss = jnp.sum(weights.astype(each.dtype) * each)
        return penalized(w, loss)

    def mean_loss(w: PyTree, examples: Dataset) -> Float[Array, ""]:
        return mean_in_pieces(lambda piece: losses(w, piece), examples, size)

    def model_keys(steps: Int[Array, " n"]) -> Shaped[Array, "n ..."] | None:
        if key is None or not given.keyed:
            return None
        # Folded twice: the orders of the epochs come from the key folded once.
        return jax.vmap(partial(jax.random.fold_in, jax.random.fold_in(key, _MODEL_KEYS)))(steps)

    if per_epoch == 1:  # the data themselves, not a copy of them for each step
        objective, load = lambda w, model_state, key: (batch_objective(w, ((data, None), key)), None), model_keys
    else:
        first_epoch = 0 if state is None else state.step // per_epoch
        # A run that goes on in the middle of an epoch touches one more.
        epochs = number_of_batches(steps, per_epoch) + (state is not None)
        order = None if key is None else shuffled(key, rows, first_epoch, epochs)
        batches = Batches(data, rows, size, order, first_epoch)
        objective, load = lambda w, model_state, batch: (batch_objective(w, batch), None), lambda steps: (batches.load(steps), model_keys(steps))

    problem = Problem(
        objective=lambda w, model_state: penalized(w, mean_loss(w, data)),
        batch_objective=objective,
        load=load,
        steps_per_epoch=per_epoch,
        constraint=params.constraint,
        validate=None if valid is None else lambda w, model_state: mean_loss(w, valid),
        is_fixed=per_epoch == 1 and not given.keyed,
        examples=None if rows % size == 0 else jnp.full(per_epoch, float(size)).at[-1].set(rows % size),
        is_training=given.keyed,
    )
    return solve(problem, w, None, static, params, key, state, steps)
