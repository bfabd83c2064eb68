"""Hyperparameters that have a range, stored in coordinates that have none.

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
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree


class AbstractRange(eqx.Module):
    """A float hyperparameter restricted to a range; its one leaf is unrestricted."""

    raw: eqx.AbstractVar[Float[Array, "..."]]

    @property
    @abc.abstractmethod
    def value(self) -> Float[Array, "..."]:
        """The hyperparameter itself, differentiable in `raw`."""


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
    if not isinstance(value, Tracer) and not np.all((np.asarray(value) > 0) & np.isfinite(value)):
        raise ValueError(f"`positive` takes finite numbers above 0, got {value}.")
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
    if not isinstance(value, Tracer) and not np.all((np.asarray(value) > 0) & (np.asarray(value) < 1)):
        raise ValueError(f"`unit_interval` takes numbers strictly between 0 and 1, got {value}.")
    return UnitInterval(jnp.log(value) - jnp.log1p(-value))


def as_float_array(x: ArrayLike) -> Float[Array, "..."]:
    """An array of `x`'s own float dtype, or of the default one if `x` holds no floats or is a Python number."""
    dtype = jnp.result_type(x) if isinstance(x, jax.Array | np.ndarray | np.floating) else jnp.result_type(float)
    # A stated dtype is a strong one: a weakly typed leaf would recompile when an update makes it strong.
    return jnp.asarray(x, dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float))


def is_range(x: Any) -> bool:
    """Whether `x` stands for a number by a `Positive` or a `UnitInterval`."""
    return isinstance(x, AbstractRange)


def resolve(tree: PyTree, dtype: Any) -> PyTree:
    """Replace each range in `tree` by its value, and give every float leaf the dtype `dtype`."""
    tree = jax.tree.map(lambda x: x.value if is_range(x) else x, tree, is_leaf=is_range)
    return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, tree)
