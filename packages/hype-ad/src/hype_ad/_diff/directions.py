"""Pushing many directions through a function, whose own value is computed once for all of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun
from jaxtyping import Array, Float, Int, PyTree

from .point import dtype, shape

# How many directions are pushed at a time. For each such batch the function is evaluated once more, and the tangents of
# one batch are alive together: 32 make the first cost 3% of the time and keep memory at that of a small minibatch.
BATCH = 32


def size(x: PyTree) -> int:
    """How many numbers `x` consists of."""
    return sum(jnp.size(leaf) for leaf in jax.tree.leaves(x))


def unit_direction(x: PyTree, index: Int[Array, ""]) -> PyTree:
    """The direction in which number `index` of `x` grows and all others stay; zero if there is no such number."""
    leaves, structure = jax.tree.flatten(x)
    units, start = [], 0
    for leaf in leaves:
        places = jnp.arange(start, start + jnp.size(leaf)).reshape(shape(leaf))
        units.append((places == index).astype(dtype(leaf)))
        start += jnp.size(leaf)
    return jax.tree.unflatten(structure, units)


def basis(x: PyTree) -> PyTree:
    """All unit directions of `x`, along a new leading axis."""
    return jax.vmap(lambda index: unit_direction(x, index))(jnp.arange(size(x)))


def unflat(numbers: Float[Array, "total"], x: PyTree) -> PyTree:
    """One number for each number of `x`, in the structure, shapes, types and dtypes of `x`."""
    leaves, structure = jax.tree.flatten(x)
    filled, start = [], 0
    for leaf in leaves:
        piece = numbers[start : start + jnp.size(leaf)]
        filled.append(piece.reshape(shape(leaf)).astype(dtype(leaf)))
        start += jnp.size(leaf)
    return jax.tree.unflatten(structure, filled)


def in_batches(push: Callable[[Array], tuple[Any, Any]], items: Array, batch: int = BATCH) -> tuple[Any, Any]:
    """`push(item)` for each item along the leading axis, a batch at a time.

    `push` gives a pair: what is the same for all items, returned as it is, and what is not, returned along a new
    leading axis. It is called once. The last batch is filled up with the last item.
    """
    total = len(items)
    many = jax.vmap(push, out_axes=(None, 0))
    if total <= batch:
        return many(items)
    batches = -(-total // batch)
    width = -(-total // batches)
    rows = items[jnp.minimum(jnp.arange(batches * width), total - 1)].reshape(batches, width, *items.shape[1:])
    # A loop must know what it carries before it starts, and `push` may not be called once more to find out.
    closed, shapes = jax.make_jaxpr(many, return_shape=True)(rows[0])
    structure = jax.tree.structure(shapes)

    def body(_: Any, row: Array) -> tuple[Any, Any]:
        return jax.tree.unflatten(structure, jaxpr_as_fun(closed)(row))

    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes[0])
    same, results = jax.lax.scan(body, start, rows)
    return same, jax.tree.map(lambda leaf: leaf.reshape(batches * width, *leaf.shape[2:])[:total], results)


def along_each(push: Callable[[PyTree], tuple[Any, Any]], x: PyTree) -> tuple[Any, Any]:
    """`push(direction)` for each unit direction of `x`, as `in_batches`."""
    return in_batches(lambda index: push(unit_direction(x, index)), jnp.arange(size(x)))


def inner(a: PyTree, b: PyTree) -> Array:
    """Sum of the products of all numbers of `a` and `b`, where zeros of `a` leave out what is not finite in `b`."""
    products = [jnp.sum(jnp.where(u == 0, 0, u * v)) for u, v in zip(*map(jax.tree.leaves, (a, b)), strict=True)]
    return sum(products[1:], start=products[0])
