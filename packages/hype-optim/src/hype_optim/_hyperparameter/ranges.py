"""Constrained hyperparameters, stored as one unconstrained array: a logarithm, a logit, logits.

A raw learning rate is a poor coordinate to take gradient steps in: its useful values span decades, and a step can
leave its range. Here the leaf of the pytree is the logarithm or the logit, so whoever moves along the gradient stays
inside, whatever the step.
"""

import abc
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import as_float_array, check_entries, float_array, is_real, static_number
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


class Interval(AbstractRange):
    """A number between two bounds, stored as the logit of its place between them; made by `interval`."""

    raw: Float[Array, "..."]
    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)

    @property
    def value(self) -> Float[Array, "..."]:
        """The logistic function of `raw`, stretched to the interval."""
        return self.low + (self.high - self.low) * jax.nn.sigmoid(self.raw)


class Unbounded(AbstractRange):
    """Any number, stored as it is; made by `unbounded`."""

    raw: Float[Array, "..."]

    @property
    def value(self) -> Float[Array, "..."]:
        """The field `raw`."""
        return self.raw


class Probabilities(AbstractRange):
    """Numbers above 0 that sum to 1 along the last axis, stored as their logarithms; made by `probabilities`."""

    raw: Float[Array, "... classes"]

    @property
    def value(self) -> Float[Array, "... classes"]:
        """The softmax of `raw`."""
        return jax.nn.softmax(self.raw, axis=-1)


def positive(value: ArrayLike, upper: float | None = None) -> Positive | Interval:
    """Stand for a positive float, or an array of them, anywhere in a configuration or a point.

    Examples:
        >>> from hype_optim import positive
        >>> rate = positive(0.1)
        >>> print(f"{rate.value:.3f}, stored as {rate.raw:.3f}")
        0.100, stored as -2.303

    Args:
        value: where to start, above 0. Differentiable.
        upper: what it stays below; not given, there is no limit. Not a leaf, so another one compiles again.

    Returns:
        A pytree with one leaf, `log(value)`, or the logit of `value / upper`, which is like the logarithm far below
        it. A loop that finds it in its `Params` uses its `.value`.

    Raises:
        TypeError: if `upper` is not a number known before compiling.
        ValueError: if `upper` is not above 0 and finite, or if `value` is known and some of it is not above 0, finite
            and below `upper`.
    """
    if upper is not None:
        return interval(value, 0.0, static_number("upper", upper, above=0.0))
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


def interval(value: ArrayLike, low: float, high: float) -> Interval:
    """Stand for a float between two bounds, or an array of them, anywhere in a configuration or a point.

    Args:
        value: where to start, above `low` and below `high`. Differentiable.
        low: the lower bound. Not a leaf, so another one compiles again.
        high: the upper bound, likewise.

    Returns:
        A pytree with one leaf, the logit of `(value - low) / (high - low)`.

    Raises:
        TypeError: if a bound is not a number known before compiling.
        ValueError: if a bound is not finite, `low` is not below `high`, or `value` is known and some of it is not
            strictly between them.
    """
    high = static_number("high", high)
    low = static_number("low", low, below=high)
    value = as_float_array(value)
    check_entries("value", value, lambda x: (x > low) & (x < high), f"above {low:g} and below {high:g}")
    return Interval(jnp.log(value - low) - jnp.log(high - value), low, high)


def unbounded(value: PyTree) -> PyTree:
    """Stand for any float, or an array of them, that `tune` is to move.

    Args:
        value: where to start. Differentiable. Of a pytree, such as a model or a `Dataset`, each leaf of floats becomes
            such a range, and the others stay.

    Returns:
        A pytree with one leaf, `value`; or a pytree of them.

    Raises:
        ValueError: if `value` is known and some of it is not finite.
    """

    def convert(leaf: Any) -> Any:
        if not is_float(leaf):
            return leaf
        check_entries("value", leaf, lambda x: x == x, "finite")
        return Unbounded(as_float_array(leaf))

    return jax.tree.map(convert, value)


def probabilities(value: ArrayLike | Sequence[Any]) -> Probabilities:
    """Stand for floats above 0 that sum to 1, such as the weights of a mixture.

    Args:
        value: where to start, above 0, of shape `(..., classes)`; divided by its sum along the last axis.
            Differentiable.

    Returns:
        A pytree with one leaf, the logarithms of the normalized `value`.

    Raises:
        TypeError: if `value` is not an array or a list of numbers.
        ValueError: if `value` is a single number, or is known and some of it is not above 0 and finite.
    """
    value = float_array("value", value, "an array or a list of numbers above 0")
    if value.ndim == 0:
        raise ValueError(f"`value` must have at least one axis, along which it sums to 1, got the number {value}.")
    check_entries("value", value, lambda x: x > 0, "above 0 and finite")
    return Probabilities(jnp.log(value) - jnp.log(jnp.sum(value, axis=-1, keepdims=True)))


def is_float(x: Any) -> bool:
    """Whether `x` is a real float or an array of them; an integer is none."""
    return is_real(x) and bool(jnp.issubdtype(jnp.result_type(x), jnp.floating))


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
