"""The Jacobian of a product of two arrays (`dot_general`) with respect to one of them."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from .local_jacobian import ABSENT, Index, LocalJacobian


def dot(jacobian: LocalJacobian, other: Array | np.ndarray, params: dict[str, Any], side: int) -> LocalJacobian:
    """The Jacobian of the product of a value, its first factor or (`side` 1) its second, and another array.

    Where each term of a sum depends on coordinates of its own, as in the product of a matrix and the coordinates
    themselves, no sum is taken: the terms have a slot each.
    """
    contracting, batch = params["dimension_numbers"]
    own, others = (contracting[side], batch[side]), (contracting[1 - side], batch[1 - side])
    summed = [axis + 1 for axis in own[0]]
    if not jacobian.same_along(summed):
        spread = _spread(jacobian, jnp.asarray(other), own, others, side)
        if spread is not None:
            return spread
        jacobian = jacobian.dense()
    later = tuple(tuple(axis + 1 for axis in axes) for axes in own)
    settings = {name: params[name] for name in ("precision", "preferred_element_type")}
    numbers = (later[0], others[0]), (later[1], others[1])
    entries = lax.dot_general(jacobian.entries, other, numbers, **settings)
    entries = jnp.moveaxis(entries, len(own[1]), 0)  # the slots come after the batch
    index = jacobian.index
    if index is not None:
        index = np.moveaxis(_without(index, summed, later[1]), len(own[1]), 0)
    return _in_order(entries, index, jacobian, len(own[1]), np.ndim(other) - len(others[0]) - len(others[1]), side)


def inner(a: LocalJacobian, b: LocalJacobian, params: dict[str, Any]) -> Array:
    """The product of two Jacobians in place of the values, summed over the coordinates, too."""
    (ca, cb), (ba, bb) = params["dimension_numbers"]
    later = lambda axes: tuple(axis + 1 for axis in axes)
    settings = {name: params[name] for name in ("precision", "preferred_element_type")}
    batches = later(ba), later(bb)
    few = len(a.entries) * len(b.entries) < a.size and a.same_along(later(ca)) and b.same_along(later(cb))
    if a.index is None or b.index is None or not few:
        numbers = ((0, *later(ca)), (0, *later(cb))), batches
        return lax.dot_general(a.dense().entries, b.dense().entries, numbers, **settings)
    # all pairs of slots, of which those count that are of the same coordinate
    pairs = lax.dot_general(a.entries, b.entries, ((later(ca), later(cb)), batches), **settings)
    own, other = _without(a.index, later(ca), batches[0]), _without(b.index, later(cb), batches[1])
    count, mine = len(ba), own.ndim - len(ba)
    own = own.reshape(*own.shape, *[1] * (other.ndim - count))
    other = other.reshape(*other.shape[:count], *[1] * mine, *other.shape[count:])
    same = (own == other) & (own != ABSENT)
    return jnp.sum(jnp.where(same, pairs, 0), axis=(count, count + mine))


def _without(index: Index, summed: Sequence[int], batches: Sequence[int]) -> Index:
    """The table without some axes, along which it is the same, and with the axes of a batch in front."""
    rest = [axis for axis in range(index.ndim) if axis not in (*summed, *batches)]
    ordered = index.transpose(*batches, *rest, *summed)
    return ordered[(..., *[0] * len(summed))]


def _spread(
    jacobian: LocalJacobian, other: Array, own: Sequence[Any], others: Sequence[Any], side: int
) -> LocalJacobian | None:
    """Each term of the sum in slots of its own; None if a coordinate is in two terms."""
    terms = jacobian.spread([axis + 1 for axis in own[0]])
    if terms is None or terms.index is None:
        return None
    batches = [axis - sum(c < axis for c in own[0]) for axis in own[1]]
    in_front = [b + 1 for b in batches], range(1, 1 + len(batches))
    index, entries = np.moveaxis(terms.index, *in_front), jnp.moveaxis(terms.entries, *in_front)
    # the other factor: contracted axes, which are slots here, then the batch, then its own axes
    free = [axis for axis in range(other.ndim) if axis not in (*others[0], *others[1])]
    factor = other.transpose(*others[0], *others[1], *free)
    contracted, batched = factor.shape[: len(others[0])], factor.shape[len(others[0]) : len(others[0]) + len(batches)]
    mine = entries.ndim - 1 - len(batches)
    factor = factor.reshape(1, -1, *batched, *[1] * mine, *(other.shape[axis] for axis in free))
    terms_of = entries.reshape(-1, int(np.prod(contracted)), *entries.shape[1:], *[1] * len(free))
    product = terms_of * factor
    return _in_order(product.reshape(-1, *product.shape[2:]), index, jacobian, len(batches), len(free), side)


def _in_order(
    entries: Array, index: Index | None, jacobian: LocalJacobian, batches: int, free: int, side: int
) -> LocalJacobian:
    """From (slots, batch, own axes, the other's axes), with the axes of the first factor first."""
    mine = entries.ndim - 1 - batches - free
    if index is not None:
        index = np.broadcast_to(index.reshape(*index.shape, *[1] * free), entries.shape)
    if side == 1 and mine and free:
        order = [*range(1 + batches), *range(1 + batches + mine, entries.ndim), *range(1 + batches, 1 + batches + mine)]
        entries = entries.transpose(order)
        index = None if index is None else index.transpose(order)
    return LocalJacobian(entries, index, jacobian.size)
