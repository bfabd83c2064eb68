"""Checks of what a caller passes: by value where there is one, not at all where a transformation traces it."""

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from ._range import AbstractRange, as_float_array, is_range

Hyperparameter = PyTree[Float[Array, "..."] | AbstractRange]
"""A float that something can be differentiated by: an array, a range such as `positive(0.1)`, or a pytree of them."""


HyperparameterLike = PyTree[ArrayLike | AbstractRange]
"""What a hyperparameter can be made of: numbers will do for arrays."""


def hyperparameter(name: str, value: Any, accept: Callable[[np.ndarray], Any], accepted: str) -> Hyperparameter:
    """Turn numbers into arrays and check them, leaf by leaf; traced values and ranges pass.

    Raises:
        TypeError: if a leaf is not a real number.
        ValueError: if a leaf is known and `accept` is false for any of its entries.
    """

    def convert(leaf: Any) -> Any:
        if is_range(leaf):
            check(leaf.value)
            return leaf
        if isinstance(leaf, bool | str) or (not is_numeric(leaf)):
            raise TypeError(f"`{name}` must be a number or an array of them, {accepted}, got {leaf!r}.")
        leaf = as_float_array(leaf)
        check(leaf)
        return leaf

    def check(array: Any) -> None:
        if not isinstance(array, Tracer):
            known = np.asarray(array)
            if not np.all(accept(known) & np.isfinite(known)):
                raise ValueError(f"`{name}` must be {accepted}, got {known}.")

    leaves, structure = jax.tree.flatten(value, is_leaf=is_range)
    if not leaves:
        raise TypeError(f"`{name}` must be a number or an array of them, {accepted}, got {value!r}.")
    return jax.tree.unflatten(structure, [convert(leaf) for leaf in leaves])


def is_numeric(x: Any) -> bool:
    """Whether `x` is a real number or an array of real numbers."""
    if isinstance(x, int | float | np.number | np.ndarray | jax.Array):
        return bool(jnp.issubdtype(jnp.result_type(x), jnp.integer) or jnp.issubdtype(jnp.result_type(x), jnp.floating))
    return False


def positive_number(name: str, value: Any) -> Hyperparameter:
    """Check for numbers above 0."""
    return hyperparameter(name, value, lambda x: x > 0, "above 0")


def non_negative_number(name: str, value: Any) -> Hyperparameter:
    """Check for numbers of at least 0."""
    return hyperparameter(name, value, lambda x: x >= 0, "at least 0")


def fraction(name: str, value: Any) -> Hyperparameter:
    """Check for numbers from 0 to 1, 1 excluded."""
    return hyperparameter(name, value, lambda x: (x >= 0) & (x < 1), "at least 0 and below 1")


def open_fraction(name: str, value: Any) -> Hyperparameter:
    """Check for numbers from 0 to 1, both excluded."""
    return hyperparameter(name, value, lambda x: (x > 0) & (x < 1), "above 0 and below 1")


def single(name: str, value: Hyperparameter) -> Hyperparameter:
    """Check that a hyperparameter is one number, and not one for each part of the weights.

    Raises:
        ValueError: if it is an array or a pytree of several.
    """
    leaves = jax.tree.leaves(value)
    if len(leaves) != 1 or jnp.shape(leaves[0]) != ():
        raise ValueError(f"`{name}` must be one number for all weights, got {value}.")
    return value


def check_prefix(name: str, factors: PyTree, w: PyTree) -> None:
    """Check that there is a factor for each leaf of `w`.

    Raises:
        ValueError: if `factors` is not a prefix of the structure of `w`, or does not broadcast to its shapes.
    """

    def check(factor: Array, part: PyTree) -> None:
        for leaf in jax.tree.leaves(part):
            if not _broadcasts(jnp.shape(factor), jnp.shape(leaf)):
                raise ValueError(
                    f"`{name}` must broadcast to the weights that it is for, got shape {jnp.shape(factor)} for weights "
                    f"of shape {jnp.shape(leaf)}."
                )

    try:
        parts = jax.tree.structure(factors).flatten_up_to(w)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be one number or a prefix of the weights' structure {jax.tree.structure(w)}, got "
            f"{jax.tree.structure(factors)}."
        ) from error
    for factor, part in zip(jax.tree.leaves(factors), parts, strict=True):
        check(factor, part)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def integer(name: str, value: Any, lowest: int) -> int:
    """Check for an integer of at least `lowest`."""
    if isinstance(value, bool | Tracer):
        raise TypeError(f"`{name}` must be an integer known before compiling, got {value!r}.")
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, got {value!r}.") from None
    if value < lowest:
        raise ValueError(f"`{name}` must be at least {lowest}, got {value}.")
    return value


def instance(name: str, value: Any, kind: type, examples: str) -> Any:
    """Check for a member of a family."""
    if not isinstance(value, kind):
        raise TypeError(f"`{name}` must be {examples}, got {value!r}.")
    return value
