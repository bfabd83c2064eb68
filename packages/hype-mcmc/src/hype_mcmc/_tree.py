"""Arithmetic on positions: pytrees of float arrays."""

import math
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Bool, Float, PRNGKeyArray, PyTree

from ._checks import float_array

Position = PyTree[Float[Array, "..."]]
"""A point of the space that is sampled: any pytree of float arrays."""


def as_position(name: str, x: PyTree[ArrayLike]) -> Position:
    """`x` with numbers as arrays.

    Raises:
        TypeError: if a leaf is not made of floats.
        ValueError: if there is no number in it.
    """
    leaves, structure = jax.tree.flatten(x)
    arrays = [float_array(name, leaf) for leaf in leaves]
    for leaf in leaves:
        # Python's own integers are numbers like any other; an array of integers is likely a mistake.
        if not isinstance(leaf, int) and jnp.issubdtype(jnp.result_type(leaf), jnp.integer):
            raise TypeError(
                f"`{name}` must hold floats, got an array of {jnp.result_type(leaf)}: integers have no derivative. "
                "Convert it, or leave it to the log density."
            )
    if sum(array.size for array in arrays) == 0:
        raise ValueError(f"`{name}` must hold at least one number, got {x!r}.")
    return jax.tree.unflatten(structure, arrays)


def axpy(a: Float[Array, ""], x: Position, y: Position) -> Position:
    """`a x + y`, each leaf in its own precision."""
    return jax.tree.map(lambda xi, yi: a.astype(yi.dtype) * xi + yi, x, y)


def scale(a: Float[Array, ""], x: Position) -> Position:
    """`a x`, each leaf in its own precision."""
    return jax.tree.map(lambda xi: a.astype(xi.dtype) * xi, x)


def lerp(a: Float[Array, ""], x: Position, y: Position) -> Position:
    """The way from `x` (at 0) to `y` (at 1)."""
    return jax.tree.map(lambda xi, yi: xi + a.astype(xi.dtype) * (yi - xi), x, y)


def dot(x: Position, y: Position) -> Float[Array, ""]:
    """The inner product over all leaves."""
    terms = [jnp.sum(xi * yi) for xi, yi in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)]
    dtype = jnp.result_type(*[t.dtype for t in terms])
    return reduce(jnp.add, [t.astype(dtype) for t in terms])


def total(x: Position) -> Float[Array, ""]:
    """The sum over all leaves."""
    return dot(x, jax.tree.map(jnp.ones_like, x))


def add(x: PyTree, y: PyTree) -> PyTree:
    """`x + y`."""
    return jax.tree.map(jnp.add, x, y)


def subtract(x: Position, y: Position) -> Position:
    """`x - y`."""
    return jax.tree.map(jnp.subtract, x, y)


def where(condition: Bool[Array, ""], x: PyTree, y: PyTree) -> PyTree:
    """`x` if the condition holds, else `y`."""
    return jax.tree.map(lambda xi, yi: jnp.where(condition, xi, yi), x, y)


def all_finite(x: PyTree) -> Bool[Array, ""]:
    """Whether every number of `x` is finite."""
    return reduce(jnp.logical_and, [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(x)])


def standard_normal(key: PRNGKeyArray, like: Position) -> Position:
    """Independent standard normal numbers in the shape of a position.

    One draw of the raveled size, so that a vector and a dict of its pieces get the same numbers.
    """
    flat, unravel = ravel_pytree(like)
    return unravel(jax.random.normal(key, flat.shape, flat.dtype))


def normal_and_uniform(key: PRNGKeyArray, like: Position) -> tuple[Position, Float[Array, ""]]:
    """Standard normal numbers in the shape of a position, and one number uniform in (0, 1).

    From one draw of uniform numbers: where a gradient is cheap, hashing keys is what a transition spends its time on.
    """
    flat, unravel = ravel_pytree(like)
    lowest = np.nextafter(np.array(-1.0, flat.dtype), np.array(0.0, flat.dtype))
    numbers = jax.random.uniform(key, (flat.size + 1,), flat.dtype, lowest, 1.0)
    return unravel(math.sqrt(2) * jax.lax.erf_inv(numbers[:-1])), 0.5 + 0.5 * numbers[-1]


def uniform(key: PRNGKeyArray, like: Position) -> Position:
    """Independent numbers from -1 to 1 in the shape of a position, drawn as `standard_normal` draws."""
    flat, unravel = ravel_pytree(like)
    return unravel(jax.random.uniform(key, flat.shape, flat.dtype, -1.0, 1.0))


def same_shape(name: str, x: PyTree, like: Position, like_name: str = "position") -> None:
    """Check that `x` is a pytree built like a position.

    Raises:
        ValueError: if its structure or the shape of a leaf differs.
    """
    if jax.tree.structure(x) != jax.tree.structure(like):
        raise ValueError(
            f"`{name}` must be built like the {like_name}, {jax.tree.structure(like)}, got {jax.tree.structure(x)}."
        )
    got, expected = ([jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (x, like))
    if got != expected:
        raise ValueError(f"`{name}` must have the shapes of the {like_name}, {expected}, got {got}.")


def numbers_as_arrays(tree: PyTree) -> PyTree:
    """The tree with Python floats and NumPy arrays as JAX arrays, which a compiled program takes as arguments."""
    numbers = (float, np.ndarray, np.generic)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, numbers) else leaf, tree)
