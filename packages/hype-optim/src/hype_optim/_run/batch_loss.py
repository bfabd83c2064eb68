"""The loss of some examples: of each by itself, or of all of them by an objective of the caller's."""

import abc
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from .._config.loss import number_counted
from .._data import blocks
from .._data.dataset import Dataset
from .._objective import as_scalar, total_loss

Loss = tuple[Float[Array, ""], PyTree]
"""A loss, and the state of the model after it."""


class Batch(NamedTuple):
    """Examples, the key that the model or the objective draws from, and how much each of them counts in a sum."""

    examples: Dataset
    key: PRNGKeyArray | None
    counted: Float[Array, " rows"] | None


class AbstractBatchLoss(eqx.Module):
    """A function of a model, the model that several losses hold, its state, and a batch."""

    @property
    @abc.abstractmethod
    def is_whole(self) -> bool:
        """Whether a model or an objective sees examples together, so that rows to fill a batch up must not reach it."""

    @abc.abstractmethod
    def __call__(self, model: PyTree, held: PyTree, model_state: PyTree, batch: Batch) -> Loss:
        """The sum of the losses times what each counts, or their mean; and the state of the model after it."""

    @abc.abstractmethod
    def weights(self, examples: Dataset) -> Float[Array, " rows"] | None:
        """The weight of each example in a mean over all of the data; `None` if they are alike."""


class ObjectiveLoss(AbstractBatchLoss):
    """What the caller's objective makes of a model and a batch."""

    objective: Callable[..., Any]
    has_state: bool = eqx.field(static=True)

    @property
    def is_whole(self) -> bool:
        """It does."""
        return True

    def __call__(self, model: PyTree, held: PyTree, model_state: PyTree, batch: Batch) -> Loss:
        """The objective, times what the examples count in all."""
        examples, key, counted = batch
        losses = lambda model: self.losses(model, model_state, examples, key)
        value = total_loss("objective", lambda model: losses(model)[0], model, held)
        value = value.astype(at_least_single(value.dtype))
        after = losses(model)[1] if self.has_state else None
        return value if counted is None else value * jnp.sum(counted).astype(value.dtype), after

    def losses(
        self, model: PyTree, model_state: PyTree, examples: Dataset, key: PRNGKeyArray | None
    ) -> tuple[Any, PyTree]:
        """What the objective returns, one loss or several, and the state of the model after it."""
        state = (fresh(model_state),) if self.has_state else ()
        try:
            given = self.objective(model, examples, key, *state)
        except (TypeError, ValueError, RuntimeError) as error:
            if key is None and "key" in str(error):
                error.add_note("`train(..., key=key)` gives the objective a key.")
            if "positional argument" in str(error):
                error.add_note(
                    "`objective` is called as objective(model, batch, key)"
                    + (", with `model_state` as a fourth argument." if self.has_state else ".")
                )
            raise
        return pair("objective", "(loss, state)", given, model_state) if self.has_state else (given, None)

    def weights(self, examples: Dataset) -> None:
        """None: what they mean is the objective's to say."""


class ExampleLosses(AbstractBatchLoss):
    """The loss of the prediction of each example.

    Attributes:
        predict: from a model, an input, its state if it has one, and `key=` if it is keyed, to a prediction, and the
            next state if there is one.
        axis_name: of the examples, for models that look at the whole batch by it.
    """

    predict: Callable[..., Any] = eqx.field(static=True)
    loss: Callable[..., Any]
    has_state: bool = eqx.field(static=True)
    keyed: bool = eqx.field(static=True)
    batched: bool = eqx.field(static=True)
    axis_name: Any = eqx.field(static=True)

    @property
    def is_whole(self) -> bool:
        """Whether the model takes the batch as one, or has a state that it changes."""
        return self.batched or self.has_state

    def __call__(self, model: PyTree, held: PyTree, model_state: PyTree, batch: Batch) -> Loss:
        """The sum of what the examples count times their weights times their losses."""
        examples, key, counted = batch
        weights = self.weights(examples)
        examples = examples if weights is None else without_padding(examples, weights)[0]
        predictions, model_state = self._predictions(model, model_state, examples, key)
        loss = lambda prediction, y: as_scalar("loss", self.loss(prediction, y))
        losses = jax.vmap(loss)(predictions, examples.y)
        losses = losses.astype(at_least_single(losses.dtype))
        if weights is not None:
            losses = weights.astype(losses.dtype) * losses
        if counted is None:
            return jnp.mean(losses), model_state
        return jnp.sum(counted.astype(losses.dtype) * losses), model_state

    def weights(self, examples: Dataset) -> Float[Array, " rows"] | None:
        """The examples' weights times the number of their targets that count."""
        counted = jax.vmap(lambda y: number_counted(self.loss, y))(examples.y)
        if examples.weights is None:
            return counted
        weights = examples.weights if counted is None else examples.weights * counted.astype(examples.weights.dtype)
        return jnp.where(without_padding(examples, weights)[1], 0, weights)

    def _predictions(
        self, model: PyTree, model_state: PyTree, examples: Dataset, key: PRNGKeyArray | None
    ) -> tuple[PyTree, PyTree]:
        def predict(x: PyTree, state: PyTree, key: PRNGKeyArray | None) -> tuple[PyTree, PyTree]:
            keys = {"key": key} if self.keyed else {}
            if not self.has_state:
                return self.predict(model, x, **keys), None
            return pair("model", "(prediction, state)", self.predict(model, x, fresh(state), **keys), model_state)

        if self.batched:
            return predict(examples.x, model_state, key)
        keys = None if key is None else blocks.along(jax.random.split(key, len(examples)), examples.x)
        if self.has_state:
            mapped = jax.vmap(predict, in_axes=(0, None, 0), out_axes=(0, None), axis_name=self.axis_name)
            try:
                return mapped(examples.x, model_state, keys)
            except ValueError as error:
                if "out_axes" in str(error):
                    error.add_note(
                        "The state that `model` returns must be the same for all examples of a batch: take means over "
                        f"them by `jax.lax.pmean(value, {self.axis_name!r})`, as equinox.nn.BatchNorm does, or "
                        "`batched=True`."
                    )
                raise
        return jax.vmap(predict, in_axes=(0, None, 0), axis_name=self.axis_name)(examples.x, None, keys)


def at_least_single(dtype: Any) -> Any:
    """The dtype that losses are added up in: sums over an epoch are too large or too rough for half precision."""
    return np.promote_types(dtype, np.float32)


def without_padding(examples: Dataset, weights: Float[Array, " rows"]) -> tuple[Dataset, Bool[Array, " rows"]]:
    """Zeros in rows of weight 0 that are not finite, which then have finite derivatives; and which rows these are."""
    leaves = [leaf for leaf in jax.tree.leaves((examples.x, examples.y)) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    wide = lambda row, leaf: row.reshape(-1, *(1,) * (leaf.ndim - 1))
    broken = [jnp.any(~jnp.isfinite(leaf), axis=range(1, leaf.ndim)) for leaf in leaves]
    is_padding = (weights == 0) & jnp.any(jnp.stack([*broken, jnp.zeros_like(weights, bool)]), axis=0)

    def clean(leaf: Array) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        return jnp.where(wide(is_padding, leaf) & ~jnp.isfinite(leaf), 0, leaf)

    x, y = jax.tree.map(clean, (examples.x, examples.y))
    return replace(examples, x=x, y=y), is_padding


def fresh(model_state: PyTree) -> PyTree:
    """A copy of the state: an `equinox.nn.State` can be written to once only."""
    return jax.tree.map(lambda leaf: leaf, model_state)


def pair(name: str, accepted: str, given: Any, model_state: PyTree) -> tuple[Any, PyTree]:
    """What a function with a state gives, checked: its output and the next state, of the kind of the state before."""
    if not isinstance(given, tuple) or len(given) != 2:
        raise TypeError(f"`{name}` must return the pair {accepted} with `model_state`, got {type(given).__name__}.")
    output, after = given
    kind = lambda tree: (jax.tree.structure(tree), [(jnp.shape(x), jnp.result_type(x)) for x in jax.tree.leaves(tree)])
    if kind(after) != kind(model_state):
        raise ValueError(
            f"`{name}` must return a state of the structure, shapes and dtypes of `model_state`, {model_state}, got "
            f"{after}."
        )
    return output, after
