"""Arithmetic on pytrees of floats."""

from functools import reduce
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree


def scale(factors: PyTree, tree: PyTree) -> PyTree:
    """Multiply each leaf of `tree` by a number, or by its entry in a prefix of `tree`'s structure."""
    return jax.tree.map(
        lambda factor, part: jax.tree.map(lambda leaf: factor.astype(leaf.dtype) * leaf, part), factors, tree
    )


def squared_norm(tree: PyTree) -> Float[Array, ""]:
    """The sum of the squares of all entries."""
    return sum_of(jax.tree.map(lambda leaf: jnp.sum(leaf * leaf), tree))


def dot(a: PyTree, b: PyTree) -> Float[Array, ""]:
    """The inner product of two trees of equal structure, all entries in a row."""
    return sum_of(jax.tree.map(lambda x, y: jnp.sum(x * y), a, b))


def add(a: PyTree, b: PyTree) -> PyTree:
    """`a + b`."""
    return jax.tree.map(jnp.add, a, b)


def subtract(a: PyTree, b: PyTree) -> PyTree:
    """`a - b`."""
    return jax.tree.map(jnp.subtract, a, b)


def negative(tree: PyTree) -> PyTree:
    """Minus `tree`."""
    return jax.tree.map(jnp.negative, tree)


def zeros_like(tree: PyTree) -> PyTree:
    """A tree of zeros."""
    return jax.tree.map(jnp.zeros_like, tree)


def quotient(numerator: Float[Array, ""], denominator: Float[Array, ""]) -> Float[Array, ""]:
    """`numerator / denominator`, and 0 with derivative 0 where the denominator is 0."""
    nothing = denominator == 0
    return jnp.where(nothing, 0, numerator / jnp.where(nothing, 1, denominator))


def square_root(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The square root, 0 with derivative 0 where `x` is not above 0."""
    above = x > 0
    return jnp.where(above, jnp.sqrt(jnp.where(above, x, 1)), 0)


def sum_of(tree: PyTree) -> Float[Array, ""]:
    """The sum of the leaves, which are scalars, in the widest of their dtypes."""
    leaves = jax.tree.leaves(tree)
    dtype = float_dtype(tree)
    return reduce(jnp.add, [leaf.astype(dtype) for leaf in leaves])


def float_dtype(tree: PyTree) -> Any:
    """The widest dtype of the float leaves."""
    return reduce(np.promote_types, [leaf.dtype for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)])


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether every entry of every leaf is finite."""
    return reduce(jnp.logical_and, [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)])


def where(condition: Bool[Array, ""], a: PyTree, b: PyTree) -> PyTree:
    """`a` if `condition` holds, else `b`."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def size(tree: PyTree) -> int:
    """The number of entries."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
