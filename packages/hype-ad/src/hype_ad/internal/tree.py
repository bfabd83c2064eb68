"""Arithmetic on pytrees of floats, each leaf in its own precision."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec, reshard
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, UInt


def add(a: PyTree, b: PyTree) -> PyTree:
    """`a + b`."""
    return jax.tree.map(jnp.add, a, b)


def subtract(a: PyTree, b: PyTree) -> PyTree:
    """`a - b`."""
    return jax.tree.map(jnp.subtract, a, b)


def negative(tree: PyTree) -> PyTree:
    """Minus `tree`."""
    return jax.tree.map(jnp.negative, tree)


def scale(factors: PyTree, tree: PyTree) -> PyTree:
    """Multiply each leaf of `tree` by a number, or by its entry in a prefix of `tree`'s structure."""
    return jax.tree.map(
        lambda factor, part: jax.tree.map(lambda leaf: factor.astype(leaf.dtype) * leaf, part), factors, tree
    )


def axpy(a: Float[Array, ""], x: PyTree, y: PyTree) -> PyTree:
    """`a x + y` for a number `a`."""
    return jax.tree.map(lambda xi, yi: a.astype(yi.dtype) * xi + yi, x, y)


def zeros_like(tree: PyTree) -> PyTree:
    """A tree of zeros."""
    return jax.tree.map(jnp.zeros_like, tree)


def where(condition: Bool[Array, ""], a: PyTree, b: PyTree) -> PyTree:
    """`a` if `condition` holds, else `b`."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether every entry of every leaf is finite."""
    return ~_largest_of([jnp.any(~jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)])


def all_equal(a: PyTree, b: PyTree) -> Bool[Array, ""]:
    """Whether every entry of every leaf is the same in both."""
    return reduce(jnp.logical_and, jax.tree.leaves(jax.tree.map(lambda x, y: jnp.all(x == y), a, b)))


def sum_of(tree: PyTree) -> Float[Array, ""]:
    """The sum of the leaves, which are scalars, in the widest of their dtypes."""
    dtype = float_dtype(tree)
    return reduce(jnp.add, [leaf.astype(dtype) for leaf in jax.tree.leaves(tree)])


def dot(a: PyTree, b: PyTree) -> Float[Array, ""]:
    """The inner product over all entries of two trees of equal structure."""
    return sum_of(jax.tree.map(lambda x, y: jnp.sum(x * y), a, b))


def squared_norm(tree: PyTree) -> Float[Array, ""]:
    """The sum of the squares of all entries."""
    return sum_of(jax.tree.map(_sum_of_squares, tree))


def _sum_of_squares(leaf: Array) -> Array:
    if _is_small(leaf):
        return reduce(jnp.add, [entry * entry for entry in _entries(leaf)])  # derivatives of `square` overflow earlier
    return jnp.sum(leaf * leaf)


def norm(tree: PyTree) -> Float[Array, ""]:
    """The 2-norm over all entries, also where squares overflow or underflow; of derivative 0 at 0."""
    greatest = largest(tree)
    # The derivative does not depend on the unit.
    unit = jnp.where((greatest > 0) & jnp.isfinite(greatest), greatest, 1)
    scaled = jax.tree.map(lambda leaf: leaf / unit.astype(leaf.dtype), tree)
    return unit * square_root(squared_norm(scaled))


def is_within(limit: Float[Array, ""], tree: PyTree) -> Bool[Array, ""]:
    """Whether the 2-norm is at most `limit`: with fewer operations than a norm, and in range where it is."""
    unit = lambda leaf: jnp.maximum(limit.astype(leaf.dtype), jnp.finfo(leaf.dtype).tiny)
    square = squared_norm(jax.tree.map(lambda leaf: leaf / unit(leaf), tree))
    return square <= jnp.where(limit > 0, 1, 0)


def is_shorter(a: PyTree, b: PyTree) -> Bool[Array, ""]:
    """Whether the 2-norm of `a` is below that of `b`: with fewer operations than norms, and in range where they are."""
    a, b = scale(inverse(power_of_two((a, b))), (a, b))
    # Of squares, also such would differ whose roots do not. Entry by entry, XLA evaluates `a` anew where it is read.
    return square_root(dot(a, a)) < square_root(dot(b, b))


def power_of_two(tree: PyTree) -> Float[Array, ""]:
    """That next below the largest entry, of derivative 0; 1 for zeros.

    Products with its `inverse` are exact, and their squares in range.
    """
    # In the range of each leaf, with its inverse.
    limit = 2.0 ** (min(jnp.finfo(leaf.dtype).maxexp for leaf in jax.tree.leaves(tree)) - 2)
    greatest = largest(tree)
    greatest = jnp.where(greatest > 0, jnp.clip(greatest, 1 / limit, limit), 1)
    return _of_bits(_bits(greatest) & _bits(jnp.full_like(greatest, jnp.inf)), greatest.dtype)


def inverse(unit: Float[Array, ""]) -> Float[Array, ""]:
    """One over a `power_of_two`, without a division, which XLA would not fuse into what reads it."""
    return _of_bits(2 * _bits(jnp.ones_like(unit)) - _bits(unit), unit.dtype)


def _bits(x: Float[Array, ""]) -> UInt[Array, ""]:
    return jax.lax.bitcast_convert_type(x, f"uint{jnp.finfo(x.dtype).bits}")


def _of_bits(bits: UInt[Array, ""], dtype: Any) -> Float[Array, ""]:
    return jax.lax.bitcast_convert_type(bits, dtype)


MANY = 8


def _largest_of(numbers: list[Array]) -> Array:
    """The largest of some numbers; of many by its place, for XLA computes a chain anew in each kernel that reads it."""
    if len(numbers) <= MANY:
        return reduce(jnp.maximum, numbers)
    together = jnp.stack(numbers)
    return together[jnp.argmax(together)]


def largest(tree: PyTree) -> Float[Array, ""]:
    """The largest absolute value of all entries, NaN if one of them is; of derivative 0."""
    entries, dtype = jax.lax.stop_gradient(jax.tree.leaves(tree)), float_dtype(tree)
    return _largest_of([_largest_entry(leaf).astype(dtype) for leaf in entries])


def _largest_entry(leaf: Array) -> Array:
    if _is_small(leaf):
        return reduce(jnp.maximum, map(jnp.abs, _entries(leaf)))
    sizes = jnp.abs(leaf)
    return jax.lax.reduce(sizes, jnp.zeros((), sizes.dtype), jax.lax.max, range(sizes.ndim))


def _is_small(leaf: Array) -> bool:
    """Whether it is quicker entry by entry: on a CPU, a reduction is a kernel, and numbers join what reads them."""
    return 0 < leaf.size <= 4 and not _is_sharded(leaf)


def _entries(leaf: Array) -> list[Array]:
    """Each entry as a number."""
    return [part.reshape(()) for part in jax.lax.split(leaf.reshape(-1), (1,) * leaf.size)]


def same_shapes(a: PyTree, b: PyTree) -> bool:
    """Whether two pytrees have one structure, and leaves of the same shapes: trees of shapes compare as nodes will."""
    shapes = lambda tree: list(map(jnp.shape, jax.tree.leaves(tree)))
    return jax.tree.structure(a) == jax.tree.structure(b) and shapes(a) == shapes(b)


def size(tree: PyTree) -> int:
    """The number of entries."""
    return sum(jnp.size(leaf) for leaf in jax.tree.leaves(tree))


def float_dtype(tree: PyTree) -> Any:
    """The widest dtype of the float leaves."""
    return reduce(np.promote_types, [leaf.dtype for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)])


def at_least_single(tree: PyTree) -> PyTree:
    """The tree with leaves of half precision in single precision."""
    return jax.tree.map(lambda leaf: leaf.astype(np.promote_types(leaf.dtype, jnp.float32)), tree)


def cast_like(tree: PyTree, like: PyTree) -> PyTree:
    """The tree in the dtypes of another one of its structure."""
    return jax.tree.map(lambda leaf, other: leaf.astype(other.dtype), tree, like)


def ravel(tree: PyTree) -> Float[Array, " size"]:
    """All entries in one vector, in the widest of the leaves' dtypes."""
    dtype = float_dtype(tree)
    return jnp.concatenate([_whole(leaf).reshape(-1).astype(dtype) for leaf in jax.tree.leaves(tree)])


def unravel(entries: Float[Array, " size"], like: PyTree) -> PyTree:
    """The entries of a vector in the structure, shapes and dtypes of `like`, whose leaves are arrays or numbers."""
    leaves, structure = jax.tree.flatten(like)
    parts, start = [], 0
    for leaf in leaves:
        part = entries[start : start + jnp.size(leaf)]
        parts.append(_placed_as(leaf, part.reshape(jnp.shape(leaf)).astype(jnp.result_type(leaf))))
        start += jnp.size(leaf)
    return jax.tree.unflatten(structure, parts)


def _whole(leaf: Array) -> Array:
    """The leaf on each device, if it is sharded along explicit axes of a mesh."""
    return reshard(leaf, PartitionSpec()) if _is_sharded(leaf) else leaf


def _placed_as(leaf: Any, other: Array) -> Array:
    """Another array of its shape, sharded as the leaf is along explicit axes of a mesh."""
    return reshard(other, jax.typeof(leaf).sharding.spec) if _is_sharded(leaf) else other


def _is_sharded(leaf: Any) -> bool:
    sharding = getattr(leaf if isinstance(leaf, jax.ShapeDtypeStruct) else jax.typeof(leaf), "sharding", None)
    return sharding is not None and any(axis is not None for axis in getattr(sharding, "spec", ()))


def unit_direction(tree: PyTree, index: Int[Array, ""]) -> PyTree:
    """The direction in which entry `index` grows and all others stay; zero if there is no such entry."""
    leaves, structure = jax.tree.flatten(tree)
    units, start = [], 0
    for leaf in leaves:
        places = jnp.arange(start, start + jnp.size(leaf)).reshape(jnp.shape(leaf))
        units.append((places == index).astype(jnp.result_type(leaf)))
        start += jnp.size(leaf)
    return jax.tree.unflatten(structure, units)


def basis(tree: PyTree) -> PyTree:
    """All unit directions, along a new leading axis."""
    return jax.vmap(lambda index: unit_direction(tree, index))(jnp.arange(size(tree)))


def random_like(draw: Callable[..., Array], key: PRNGKeyArray, tree: PyTree) -> PyTree:
    """What `draw(key, shape, dtype)` gives for each leaf, with a key of its own."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    drawn = [draw(k, jnp.shape(leaf), jnp.result_type(leaf)) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def random_unit_direction(random: np.random.Generator, tree: PyTree) -> PyTree:
    """A random direction of length 1 as NumPy arrays, so that nothing is compiled."""
    leaves, structure = jax.tree.flatten(tree)
    drawn = [np.asarray(random.normal(size=leaf.shape)) for leaf in leaves]
    norm = max(np.sqrt(sum(np.vdot(leaf, leaf) for leaf in drawn)), 1e-300)
    return jax.tree.unflatten(structure, [np.asarray(leaf / norm) for leaf in drawn])


@jax.custom_jvp
def quotient(numerator: Float[Array, "..."], denominator: Float[Array, "..."]) -> Float[Array, "..."]:
    """`numerator / denominator` entry by entry, and 0 with derivative 0 where the denominator is 0."""
    nothing = denominator == 0
    return jnp.where(nothing, 0, numerator / jnp.where(nothing, 1, denominator))


@quotient.defjvp
def _quotient_jvp(primals: tuple, tangents: tuple) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    (numerator, denominator), (dn, dd) = primals, tangents
    value = quotient(numerator, denominator)
    # JAX's own rule has the square of the denominator, which overflows in half precision from 1 / 256 on.
    return value, quotient(dn - value * dd, denominator)


def square_root(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The square root, and 0 with derivative 0 where `x` is at most 0."""
    none = x <= 0
    return jnp.where(none, 0, jnp.sqrt(jnp.where(none, 1, x)))
