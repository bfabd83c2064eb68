"""Converters of fields: what a caller gives as a hyperparameter becomes arrays, and is checked where it is known.

As in `rate: Hyperparameter = eqx.field(converter=non_negative("rate"), default=0.001)`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import as_float_array, check_entries, integer, is_real
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from .ranges import AbstractRange, is_float, is_range, value_of

Hyperparameter = PyTree[Float[Array, "..."] | AbstractRange]
"""A float that something can be differentiated by: an array, a range such as `positive(0.1)`, or a pytree of them."""

HyperparameterLike = PyTree[ArrayLike | AbstractRange]
"""What a hyperparameter can be made of: numbers will do for arrays."""

T = TypeVar("T")
Converter = Callable[[HyperparameterLike], Hyperparameter]


def hyperparameter(
    name: str, accept: Callable[[np.ndarray], Any], accepted: str, *, single: bool = False, finite: bool = True
) -> Converter:
    """A converter to arrays and ranges; `accepted` is what `accept` checks, in words; `single` allows one number."""
    numbers = f"a number or an array of them, {accepted}"

    def convert_leaf(leaf: Any) -> Any:
        if not (is_range(leaf) or is_real(leaf)):
            raise TypeError(f"`{name}` must be {numbers}, got {leaf!r}.")
        converted = leaf if is_range(leaf) else as_float_array(leaf)
        check_entries(name, value_of(converted), accept, accepted, finite)
        return converted

    def convert(value: HyperparameterLike) -> Hyperparameter:
        leaves, structure = jax.tree.flatten(value, is_leaf=is_range)
        if not leaves:
            raise TypeError(f"`{name}` must be {numbers}, got {value!r}.")
        converted = jax.tree.unflatten(structure, list(map(convert_leaf, leaves)))
        if single and [jnp.shape(leaf) for leaf in jax.tree.leaves(converted)] != [()]:
            raise ValueError(f"`{name}` must be one number for all weights, got {value}.")
        return converted

    return convert


def optional(convert: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """A converter that leaves `None` as it is."""
    return lambda given: None if given is None else convert(given)


def positive_number(name: str, *, single: bool = False) -> Converter:
    """For numbers above 0."""
    return hyperparameter(name, lambda x: x > 0, "above 0", single=single)


def non_negative(name: str, *, single: bool = False) -> Converter:
    """For numbers of at least 0."""
    return hyperparameter(name, lambda x: x >= 0, "at least 0", single=single)


def fraction(name: str, *, single: bool = False) -> Converter:
    """For numbers from 0 to 1, 1 excluded."""
    return hyperparameter(name, lambda x: (x >= 0) & (x < 1), "at least 0 and below 1", single=single)


def open_fraction(name: str, *, single: bool = False) -> Converter:
    """For numbers from 0 to 1, both excluded."""
    return hyperparameter(name, lambda x: (x > 0) & (x < 1), "above 0 and below 1", single=single)


def at_least(name: str, lowest: int) -> Callable[[int], int]:
    """For integers of at least `lowest`, which are part of the program and have no derivative."""
    return lambda value: integer(name, value, lowest)


def as_arrays(tree: PyTree) -> PyTree:
    """A pytree whose Python floats are arrays, so that they have derivatives too."""
    return jax.tree.map(lambda x: as_float_array(x) if is_float(x) else x, tree)


def check_prefix(name: str, factors: PyTree, w: PyTree) -> None:
    """Check that `factors` is a prefix of the structure of `w` and broadcasts to its shapes."""
    try:
        parts = jax.tree.structure(factors).flatten_up_to(w)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be one number or a prefix of the weights' structure {jax.tree.structure(w)}, got "
            f"{jax.tree.structure(factors)}."
        ) from error
    for factor, part in zip(jax.tree.leaves(factors), parts, strict=True):
        for leaf in jax.tree.leaves(part):
            if not _broadcasts(jnp.shape(factor), jnp.shape(leaf)):
                raise ValueError(
                    f"`{name}` must broadcast to the weights that it is for, got shape {jnp.shape(factor)} for weights "
                    f"of shape {jnp.shape(leaf)}."
                )


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False
