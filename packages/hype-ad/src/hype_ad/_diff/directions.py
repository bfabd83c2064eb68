"""JVPs along many directions, a batch at a time, that share one evaluation of the function's own value."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun
from jaxtyping import Array, PyTree

from ..internal import tree
from .checks import scalar_value
from .forms import Function

# How many directions are pushed at a time. For each such batch the function is evaluated once more, and the tangents of
# one batch are alive together: 32 make the first cost 3% of the time and keep memory at that of a small minibatch.
BATCH = 32


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
    return in_batches(lambda index: push(tree.unit_direction(x, index)), jnp.arange(tree.size(x)))


def inner(a: PyTree, b: PyTree) -> Array:
    """The inner product of `a` and `b`, in which an entry of `b` that is not finite does not count where `a` is 0."""
    products = [jnp.sum(jnp.where(u == 0, 0, u * v)) for u, v in zip(*map(jax.tree.leaves, (a, b)), strict=True)]
    return sum(products[1:], start=products[0])


def along_direction(f: Function, x: PyTree) -> Callable[[PyTree], tuple[Any, Any]]:
    r"""$v \mapsto (f(x), (\nabla f(x) \cdot v, v^\top H(x) v))$."""

    def along(direction: PyTree) -> tuple[Any, Any]:
        def first(x: PyTree) -> tuple[Any, Any]:
            value, derivative = jax.jvp(lambda x: scalar_value(f(x)), (x,), (direction,))
            return derivative, value

        first_derivative, second, value = jax.jvp(first, (x,), (direction,), has_aux=True)
        return value, (jax.tree.leaves(first_derivative)[0], jax.tree.leaves(second)[0])

    return along
