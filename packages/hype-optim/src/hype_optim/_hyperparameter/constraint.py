"""Constrained hyperparameters, stored as one unconstrained array: a logarithm or a logit.

A raw learning rate is a poor coordinate to take gradient steps in: its useful values span decades, and a step can
leave its range. Here the leaf of the pytree is the logarithm or the logit, so whoever moves along the gradient stays
inside, whatever the step.
"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import as_float_array, check_entries
from hype_ad.internal.tree import float_dtype
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree


class AbstractRange(eqx.Module):
    """A hyperparameter that is constrained to a range, in unconstrained coordinates."""

    raw: eqx.AbstractVar[Float[Array, "..."]]

    @property
    @abc.abstractmethod
    def value(self) -> Float[Array, "..."]:
        """The constrained hyperparameter, differentiable in `raw`."""


class Positive(AbstractRange):
    """A positive number stored as its logarithm; made by `positive`."""

    raw: Float[Array, "..."]

    @property
    def value(self) -> Float[Array, "..."]:
        """The exponential of `raw`."""
        return jnp.exp(self.raw)


class UnitInterval(AbstractRange):
    """A number between 0 and 1 stored as its logit; made by `unit_interval`."""

    raw: Float[Array, "..."]

    @property
    def value(self) -> Float[Array, "..."]:
        """The logistic function of `raw`."""
        return jax.nn.sigmoid(self.raw)


def positive(value: ArrayLike) -> Positive:
    """Stand for a positive float, or an array of them, anywhere in a configuration or a point.

    Args:
        value: where to start, above 0. Differentiable.

    Returns:
        A pytree with one leaf, `log(value)`. A loop that finds it in its `Params` uses its `.value`.

    Raises:
        ValueError: if `value` is known and some of it is not above 0 and finite.
    """
    value = as_float_array(value)
    check_entries("value", value, lambda x: x > 0, "above 0 and finite")
    return Positive(jnp.log(value))


def unit_interval(value: ArrayLike) -> UnitInterval:
    """Stand for a float between 0 and 1, or an array of them, anywhere in a configuration or a point.

    Args:
        value: where to start, above 0 and below 1. Differentiable.

    Returns:
        A pytree with one leaf, `log(value / (1 - value))`. A loop that finds it in its `Params` uses its `.value`.

    Raises:
        ValueError: if `value` is known and some of it is not strictly between 0 and 1.
    """
    value = as_float_array(value)
    check_entries("value", value, lambda x: (x > 0) & (x < 1), "above 0 and below 1")
    return UnitInterval(jnp.log(value) - jnp.log1p(-value))


def is_range(x: Any) -> bool:
    """Whether `x` is a constrained hyperparameter, such as `positive(0.1)`."""
    return isinstance(x, AbstractRange)


def value_of(x: Any) -> Any:
    """The value of a constrained hyperparameter; anything else as it is."""
    return x.value if is_range(x) else x


def dtype_of_hyperparameters(w: PyTree) -> Any:
    """The widest dtype of the weights, but at least single precision: 0.999 is 1 in bfloat16."""
    return np.promote_types(float_dtype(w), jnp.float32)


def resolve(tree: PyTree, dtype: Any) -> PyTree:
    """Replace each constrained hyperparameter in `tree` by its value, and give every float leaf the dtype `dtype`."""
    tree = jax.tree.map(value_of, tree, is_leaf=is_range)
    return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, tree)
