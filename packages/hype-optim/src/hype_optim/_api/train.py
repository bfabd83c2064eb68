"""`train`: fit a model to data."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import boolean, check_key, function, known
from jaxtyping import PRNGKeyArray, PyTree

from .._config.batch import Minibatch
from .._config.loss import L2Loss
from .._config.params import Params, as_params
from .._config.sampling import Shuffled
from .._data.dataset import Dataset
from .._data.stream import Stream
from .._run.result import Result
from .._run.state import RunState, check_state
from .._run.training import Training, fit
from .._run.weights import partition


def train(
    model: Callable[..., Any] | PyTree,
    data: Dataset | Stream,
    params: Params | None = None,
    *,
    objective: Callable[..., Any] | None = None,
    valid: Dataset | Stream | None = None,
    key: PRNGKeyArray | None = None,
    evaluation_key: PRNGKeyArray | None = None,
    batched: bool = False,
    keyed: bool = False,
    model_state: PyTree = None,
    where: Callable[[Any], PyTree] | PyTree | None = None,
    state: RunState | None = None,
) -> Result:
    r"""Fit a model to data: find weights where the mean loss over the examples, plus the penalty, is small.

    The result is differentiable with respect to the floats of `model`, `model_state`, `data`, `valid` and `params`, in
    reverse and forward mode and to any order, in memory as `params.adjoint` says. It works under `jit` and `vmap`, and
    inside another training. Data and weights may be sharded over devices, and processes: the result is that of one
    device (docs/devices.md).

    For the validation loss and the final loss the model is put into inference mode (`equinox.nn.inference_mode`) if it
    draws at random, has a state or is given to an objective.

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_optim import Dataset, Params, train
        >>> x = jnp.linspace(-1.0, 1.0, 20)[:, None]
        >>> model = eqx.nn.Linear(1, 1, key=jax.random.key(0))
        >>> result = train(model, Dataset(x, 2 * x + 1), Params(epochs=100, learning_rate=0.1, silent=True))
        >>> print(f"{result.w.weight.item():.2f} {result.w.bias.item():.2f}")
        1.99 1.00

    Args:
        model: a pytree that is a function of one example, or with an objective any; its float arrays are what is
            trained. A model with
            functions as leaves, such as `eqx.nn.MLP`, needs `eqx.filter_jit`, `eqx.filter_grad`, ... around this
            function. Like the loss it is compiled again when arrays or numbers have changed that it reads as globals,
            closed-over variables or attributes, where that can be seen.
        data: the training examples.
        params: how to optimize.
        objective: what to minimize in place of the mean of `params.loss` over the predictions, where that does not say
            it: a variational bound, a contrastive or an adversarial loss, a penalty on gradients. It is called as
            `objective(model, batch, key)`, `batch` being a `Dataset`, and returns a scalar; or several, one for each
            part of the model in its upper structure, such as `{"generator": ..., "critic": ...}`: then each part is
            changed by the gradient of its own, and the loss is their sum. What is reported is the mean over batches, by
            their numbers of examples. Weights of examples are left to it. `key` is a new one for
            each step, and `None` if `train` has none.
        valid: other examples; where there are some, the best weights and early stopping are judged by them, without
            the penalty.
        key: if given, every epoch goes through the examples in a new random order; else in their own.
        evaluation_key: what a `keyed` model or an objective draws from where the validation loss and the final loss
            are computed, the same each time. Without it a model is called with `key=None` there, and an objective with
            a key that follows from `key`.
        batched: whether `model` takes a whole batch, with the examples along the leading axis: the last one of an
            epoch with what is left of them alone.
        keyed: whether `model` draws at random in training, as one with an `equinox.nn.Dropout` does. It is called as
            `model(x, key=k)` then, with a new key for each example of each step.
        model_state: the first state of a model that has one, such as the running statistics of `equinox.nn.BatchNorm`:
            `model, model_state = equinox.nn.make_with_state(Net)(key=key)`; or any pytree of arrays. The model is
            called as `model(x, model_state)` then, with `key=k` if it is `keyed`, and returns a pair of prediction and
            next state, the same for all examples of a batch; an objective as `objective(model, batch, key,
            model_state)`, and returns a pair of scalar and next state. `Result.model_state` is the state that belongs
            to the weights returned.
        where: which part of `model` is trained, all else being held: a function that gives it, such as `lambda model:
            model.layers[-1]`, or a pytree of truth values of the structure of `model` or of its upper part. Penalties
            see only what is trained. What is held is differentiated like any other constant.
        state: the `state` of an earlier result, to go on where that run stopped, for another `params.epochs`, or to
            the end of its schedule; of what is trained and of `model_state` only the structure is used then, and the
            key is the state's; held parts are those of `model`. If the data, the loss, the penalty or `valid` are
            others, the best weights so far and early stopping are judged anew by them; what the method, the rate and
            the momentum remember stays.

    Returns:
        A `Result` whose `w` is the model trained.

    Raises:
        TypeError: if `model` is not callable, has no float leaf, or keeps state and is given none, if the data are
            neither a `Dataset` nor a `Stream`, if `key` is not a key, if the loss is not a real scalar, or if what has
            a state does not return a pair.
        ValueError: if a batch is larger than the data, if there are no examples, or no targets for a loss, if
            predictions and targets have different shapes, if the floats of `model` are known not to be finite, if a
            schedule has no step left, if `state` is that of another kind of run, if `keyed` is true or examples are to
            be sampled and there is no key, if `key` is several, if the next state of a model is not like the one
            before, if `where` gives no floats or what is not there, or if `params.loss`, `batched` or `keyed` is given
            beside an objective; if the rows are spread along an explicit axis of a mesh and `params.batch` has no such
            `shards`, or if an objective differs between devices that have the same weights.
    """
    if objective is None:
        function("model", model, "a callable pytree, `model(x)` being the prediction of one example")
    training = Training(
        predict=_call,
        w=model,
        data=examples("data", data, objective),
        params=as_params(params),
        objective=objective,
        valid=valid,
        key=key,
        evaluation_key=evaluation_key,
        batched=batched,
        keyed=keyed,
        model_state=model_state,
        state=check_state(state),
    )
    return fit(checked("model", training, where))


def _call(model: Callable[..., Any], *args: Any, **keywords: Any) -> PyTree:
    try:
        return model(*args, **keywords)
    except RuntimeError as error:
        if "requires a key" in str(error):
            error.add_note("`train(..., keyed=True, key=key)` gives a key to a model that draws.")
        raise
    except (TypeError, KeyError) as error:
        if "positional argument" in str(error) and len(args) > 1:
            error.add_note("With `model_state`, `model` is called as model(x, model_state), and returns both.")
        elif isinstance(error, KeyError) and len(args) > 1:
            error.add_note("`model_state` must be the state that was made with `model`.")
        raise


def checked(name: str, given: Training, where: Callable[[Any], PyTree] | PyTree | None = None) -> Training:
    """What a training is given, checked, with its weights apart; `name` is what the caller calls the weights."""
    data, params, objective = given.data, given.params, given.objective
    if given.valid is not None:
        examples("valid", given.valid, objective)
    if isinstance(data, Stream) and params.batch.size(len(data)) == len(data):
        raise ValueError(f"`batch` must be smaller than a Stream, got {params.batch!r}: take Minibatch(n).")
    w, static = partition(name, given.w, where)
    key = given.key if given.state is None else given.state.key
    key = None if key is None else check_key("key", key)
    evaluation_key = None if given.evaluation_key is None else check_key("evaluation_key", given.evaluation_key)
    batched, keyed = boolean("batched", given.batched), boolean("keyed", given.keyed)
    if objective is not None:
        _check_objective(objective, params, batched, keyed)
    if keyed and key is None:
        raise ValueError("`key` must be given for a model that is `keyed`.")
    if key is None and isinstance(params.batch, Minibatch) and not isinstance(params.batch.sampling, Shuffled):
        raise ValueError(f"`key` must be given for {params.batch.sampling!r} to draw from.")
    return given._replace(
        w=w,
        static=static,
        model_state=_state_of_model(given.w, given.model_state),
        key=key,
        evaluation_key=evaluation_key,
        axis_name=_axis_name(given.w),
    )


def examples(name: str, data: Dataset | Stream, objective: Any = None) -> Dataset | Stream:
    """Data that can be trained on, by a loss or by an objective; else a TypeError or a ValueError."""
    if not isinstance(data, Dataset | Stream):
        raise TypeError(f"`{name}` must be a `Dataset(x, y)` or a `Stream`, got {data!r}.")
    if len(data) == 0:
        raise ValueError(f"`{name}` must hold at least one example, got none.")
    has_targets = (data.one if isinstance(data, Stream) else data).y is not None
    weights = data.weights if isinstance(data, Dataset) else None
    if weights is not None and known(weights) and not np.any(np.asarray(weights)):
        raise ValueError(f"The `weights` of `{name}` must not all be 0.")
    if objective is None and not has_targets:
        raise ValueError(f"`{name}` must have targets `y` for the loss, got none; or give `train` an `objective`.")
    return data


def _check_objective(objective: Any, params: Params, batched: bool, keyed: bool) -> None:
    function("objective", objective, "a function of a model, a batch and a key")
    given = {"loss": not isinstance(params.loss, L2Loss), "batched": batched, "keyed": keyed}
    if any(given.values()):
        names = " and ".join(f"`{name}`" for name, is_given in given.items() if is_given)
        raise ValueError(
            f"{names} must be left out beside an `objective`, which calls the model itself, on a whole batch."
        )


def _state_of_model(model: PyTree, model_state: PyTree) -> PyTree:
    has_index = any(map(_is_index, jax.tree.leaves(model, is_leaf=_is_index)))
    if model_state is None:
        if has_index:
            raise TypeError(
                "`model_state` must be given for a model that keeps state, as equinox.nn.BatchNorm does: "
                "model, model_state = equinox.nn.make_with_state(Net)(key=key)."
            )
        return None
    if has_index and not isinstance(model_state, eqx.nn.State):
        raise TypeError(
            f"`model_state` must be the `equinox.nn.State` of `model`, got {type(model_state).__name__}: model, "
            "model_state = equinox.nn.make_with_state(Net)(key=key)."
        )
    arrays = jax.tree.leaves(model_state)
    if not arrays or not all(map(eqx.is_array_like, arrays)):
        raise TypeError(f"`model_state` must be a pytree of arrays, got {model_state!r}.")
    return jax.tree.map(jnp.asarray, model_state)


def _is_index(node: Any) -> bool:
    return isinstance(node, eqx.nn.StateIndex)


def _axis_name(model: PyTree) -> Any:
    """What the layers of a model call the axis of the examples."""
    is_norm = lambda node: isinstance(node, eqx.nn.BatchNorm)
    norms = filter(is_norm, jax.tree.leaves(model, is_leaf=is_norm))
    names = {norm.axis_name if isinstance(norm.axis_name, str) else tuple(norm.axis_name) for norm in norms}
    if len(names) > 1 or any(isinstance(name, tuple) for name in names):
        raise ValueError(
            f"`model` must have one `axis_name` for all of its BatchNorm layers, got {sorted(map(str, names))}."
        )
    return names.pop() if names else "batch"
