from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ._batches import Batches, mean_in_pieces, number_of_batches, shuffled
from ._data import Dataset
from ._loop import RunState, Task
from ._objective import as_scalar
from ._params import Params, as_params
from ._point import as_point
from ._range import resolve
from ._result import Result
from ._run import check_state, run, steps_to_make
from ._tree import float_dtype


def train(
    model: Callable[[Array], PyTree],
    data: Dataset,
    params: Params | None = None,
    *,
    valid: Dataset | None = None,
    key: PRNGKeyArray | None = None,
    batched: bool = False,
    state: RunState | None = None,
) -> Result:
    r"""Fit a model to data: find weights where the mean loss over the examples, plus the penalty, is small.

    The result is differentiable with respect to the floats of `model`, `data`, `valid` and `params`, in reverse and
    forward mode and to any order, in memory as `params.adjoint` says. It works under `jit` and `vmap`, and inside
    another training.

    Args:
        model: a pytree that is a function of one example; its float arrays are what is trained. A model with
            functions as leaves, such as `eqx.nn.MLP`, needs `eqx.filter_jit`, `eqx.filter_grad`, ... around this
            function.
        data: the training examples.
        params: how to optimize.
        valid: other examples; where there are some, the best weights and early stopping are judged by them, without
            the penalty.
        key: if given, every epoch goes through the examples in a new random order; else in their own.
        batched: whether `model` takes a whole batch, with the examples along the leading axis.
        state: the `state` of an earlier result, to go on where that run stopped, for another `params.epochs`, or to
            the end of its schedule; of `model` only the structure is used then, and the key is the state's.

    Returns:
        A `Result` whose `w` is the model trained.

    Raises:
        TypeError: if `model` is not callable or has no float leaf, if the data are not a `Dataset`, or if the loss is
            not a real scalar.
        ValueError: if a batch is larger than the data, if there are no examples, if predictions and targets have
            different shapes, if the floats of `model` are known not to be finite, if a schedule has no step left, or if
            `state` is that of another kind of run.
    """
    if not callable(model):
        raise TypeError(
            f"`model` must be a callable pytree, `model(x)` being the prediction of one example, got {model!r}."
        )
    return fit(_call, model, data, params, valid, key, batched, state)


def _call(model: Callable, x: Array) -> Any:
    return model(x)


def fit(
    apply: Callable[[PyTree, Array], PyTree],
    w0: PyTree,
    data: Dataset,
    params: Params | None,
    valid: Dataset | None,
    key: PRNGKeyArray | None,
    batched: bool,
    state: RunState | None,
) -> Result:
    """`train` for a model given as a function of weights and one example."""
    params = as_params(params)
    for name, examples in (("data", data), ("valid", valid)):
        if examples is not None or name == "data":
            _check_dataset(name, examples)
    w0 = as_point("model", w0)
    if state is not None:
        key = state.key
        check_state(state, w0, params, key)
    per_epoch = number_of_batches(len(data), params.batch.size(len(data)))
    steps = steps_to_make(params, per_epoch, state)
    return _fit(apply, w0, data, params, valid, key, batched, state, steps)


def _check_dataset(name: str, examples: Any) -> None:
    if not isinstance(examples, Dataset):
        raise TypeError(f"`{name}` must be a `Dataset(x, y)`, got {type(examples).__name__}.")
    if len(examples) == 0:
        raise ValueError(f"`{name}` must hold at least one example, got none.")


@eqx.filter_jit
def _fit(
    apply: Callable,
    w0: PyTree,
    data: Dataset,
    params: Params,
    valid: Dataset | None,
    key: PRNGKeyArray | None,
    batched: bool,
    state: RunState | None,
    steps: int,
) -> Result:
    w, rest = eqx.partition(w0, eqx.is_inexact_array)
    params = resolve(params, float_dtype(w))
    rows, size = len(data), params.batch.size(len(data))
    per_epoch = number_of_batches(rows, size)

    def losses(w: PyTree, examples: Dataset) -> Float[Array, " rows"]:
        predict = apply if batched else jax.vmap(apply, in_axes=(None, 0))
        predictions = predict(eqx.combine(w, rest), examples.x)
        return jax.vmap(lambda prediction, y: as_scalar("loss", params.loss(prediction, y)))(predictions, examples.y)

    def penalized(w: PyTree, loss: Float[Array, ""]) -> Float[Array, ""]:
        return loss + jnp.asarray(params.regularization(w), loss.dtype)

    def on_batch(w: PyTree, batch: tuple[Dataset, Float[Array, " rows"] | None]) -> Float[Array, ""]:
        examples, weights = batch
        each = losses(w, examples)
        return penalized(w, jnp.mean(each) if weights is None else jnp.sum(weights.astype(each.dtype) * each))

    def mean_loss(w: PyTree, examples: Dataset) -> Float[Array, ""]:
        return mean_in_pieces(lambda piece: losses(w, piece), examples, size)

    if per_epoch == 1:  # the data themselves, not a copy of them for each step
        objective, load = lambda w, batch: on_batch(w, (data, None)), lambda steps: ()
    else:
        first_epoch = 0 if state is None else state.step // per_epoch
        # A run that goes on in the middle of an epoch touches one more.
        epochs = number_of_batches(steps, per_epoch) + (state is not None)
        order = None if key is None else shuffled(key, rows, first_epoch, epochs)
        objective, load = on_batch, Batches(data, rows, size, order, first_epoch).load

    validate = None if valid is None else lambda w: mean_loss(w, valid)
    examples = None if rows % size == 0 else jnp.full(per_epoch, float(size)).at[-1].set(rows % size)
    task = Task(objective, load, per_epoch, validate, examples)
    return run(task, w, rest, params, key, state, steps, lambda w: penalized(w, mean_loss(w, data)))
