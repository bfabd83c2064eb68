"""The Jacobian of a product of two arrays (`dot_general`) with respect to one of them."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from .local_jacobian import ABSENT, Index, LocalJacobian

# A sum of products that XLA takes term by term is that much slower than a product of matrices.
_FUSED = 8


def dot(jacobian: LocalJacobian, other: Array | np.ndarray, params: dict[str, Any], side: int) -> LocalJacobian:
    """The Jacobian of the product of a value, its first factor or (`side` 1) its second, and another array.

    Where each term of a sum depends on coordinates of its own, as in the product of a matrix and the coordinates
    themselves, no sum is taken: the terms have a slot each.
    """
    contracting, batch = params["dimension_numbers"]
    own, others = (contracting[side], batch[side]), (contracting[1 - side], batch[1 - side])
    summed = [axis + 1 for axis in own[0]]
    if not jacobian.same_along(summed):
        free = np.size(other) // max(1, math.prod(np.shape(other)[axis] for axes in others for axis in axes))
        terms = jacobian.spread(summed)
        if terms.is_distinct or 4 * len(jacobian.entries) * free <= jacobian.size:  # else a product of matrices is less
            return _spread(terms, jnp.asarray(other), own, others, side)
        jacobian = jacobian.dense()
    later = tuple(tuple(axis + 1 for axis in axes) for axes in own)
    settings = {name: params[name] for name in ("precision", "preferred_element_type")}
    numbers = (later[0], others[0]), (later[1], others[1])
    entries = lax.dot_general(jacobian.entries, other, numbers, **settings)
    entries = jnp.moveaxis(entries, len(own[1]), 0)  # the slots come after the batch
    index = jacobian.index
    if index is not None:
        index = np.moveaxis(_without(index, summed, later[1]), len(own[1]), 0)
    return _in_order(entries, index, jacobian.size, len(own[1]), np.ndim(other) - len(others[0]) - len(others[1]), side)


def inner(a: LocalJacobian, b: LocalJacobian, params: dict[str, Any]) -> Array:
    """The product of two Jacobians in place of the values, summed over the coordinates, too."""
    (ca, cb), (ba, bb) = params["dimension_numbers"]
    later = lambda axes: tuple(axis + 1 for axis in axes)
    settings = {name: params[name] for name in ("precision", "preferred_element_type")}
    contracting, batches = (later(ca), later(cb)), (later(ba), later(bb))
    pairs = len(a.entries) * len(b.entries)
    if a.index is not None and b.index is not None and pairs < a.size:
        if a.same_along(contracting[0]) and b.same_along(contracting[1]):
            return _by_pairs(a, b, contracting, batches, settings)
        if _FUSED * pairs <= a.size:
            return _term_by_term(a, b, contracting, batches)
    numbers = ((0, *contracting[0]), (0, *contracting[1])), batches
    return lax.dot_general(a.dense().entries, b.dense().entries, numbers, **settings)


def _by_pairs(a: LocalJacobian, b: LocalJacobian, contracting: Any, batches: Any, settings: dict[str, Any]) -> Array:
    """The products of all pairs of slots, of which those count that are of the same coordinate."""
    assert a.index is not None
    assert b.index is not None
    products = lax.dot_general(a.entries, b.entries, (contracting, batches), **settings)
    own, other = _without(a.index, contracting[0], batches[0]), _without(b.index, contracting[1], batches[1])
    count, mine = len(batches[0]), own.ndim - len(batches[0])
    own = own.reshape(*own.shape, *[1] * (other.ndim - count))
    other = other.reshape(*other.shape[:count], *[1] * mine, *other.shape[count:])
    same = (own == other) & (own != ABSENT)
    return jnp.sum(jnp.where(same, products, 0), axis=(count, count + mine))


def _term_by_term(a: LocalJacobian, b: LocalJacobian, contracting: Any, batches: Any) -> Array:
    """The same where the coordinates differ from term to term of the sum."""
    assert a.index is not None
    assert b.index is not None
    front = [(*b, *c) for b, c in zip(batches, contracting, strict=True)]
    orders = [
        [0, *f, *(i for i in range(1, part.ndim) if i not in f)]
        for f, part in zip(front, (a.entries, b.entries), strict=True)
    ]
    shared, mine = 1 + len(front[0]), a.entries.ndim - 1 - len(front[0])
    theirs = b.entries.ndim - shared

    def in_front(part: Any, order: list[int]) -> Any:
        part = part.transpose(order)
        return part.reshape(len(part), 1, *part.shape[1:], *[1] * theirs)

    def behind(part: Any, order: list[int]) -> Any:
        part = part.transpose(order)
        return part.reshape(1, len(part), *part.shape[1:shared], *[1] * mine, *part.shape[shared:])

    own, other = in_front(a.index, orders[0]), behind(b.index, orders[1])
    products = in_front(a.entries, orders[0]) * behind(b.entries, orders[1])
    summed = (0, 1, *range(2 + len(batches[0]), 1 + shared))
    return jnp.sum(jnp.where((own == other) & (own != ABSENT), products, 0), axis=summed)


def _without(index: Index, summed: Sequence[int], batches: Sequence[int]) -> Index:
    """The table without some axes, along which it is the same, and with the axes of a batch in front."""
    rest = [axis for axis in range(index.ndim) if axis not in (*summed, *batches)]
    ordered = index.transpose(*batches, *rest, *summed)
    return ordered[(..., *[0] * len(summed))]


def _spread(terms: LocalJacobian, other: Array, own: Sequence[Any], others: Sequence[Any], side: int) -> LocalJacobian:
    """Each term of the sum in slots of its own, or in that of its coordinate."""
    assert terms.index is not None
    batches = [axis - sum(c < axis for c in own[0]) for axis in own[1]]
    in_front = [b + 1 for b in batches], range(1, 1 + len(batches))
    index, entries = np.moveaxis(terms.index, *in_front), jnp.moveaxis(terms.entries, *in_front)
    # the other factor: contracted axes, which are slots here, then the batch, then its own axes
    free = [axis for axis in range(other.ndim) if axis not in (*others[0], *others[1])]
    factor = other.transpose(*others[0], *others[1], *free)
    contracted, batched = factor.shape[: len(others[0])], factor.shape[len(others[0]) : len(others[0]) + len(batches)]
    mine = entries.ndim - 1 - len(batches)
    terms_in_sum = math.prod(contracted)
    factor = factor.reshape(1, terms_in_sum, *batched, *[1] * mine, *(other.shape[axis] for axis in free))
    terms_of = entries.reshape(len(index) // max(1, terms_in_sum), terms_in_sum, *entries.shape[1:], *[1] * len(free))
    product = terms_of * factor
    products = product.reshape(len(index), *product.shape[2:])
    return _in_order(products, index, terms.size, len(batches), len(free), side).collected()


def _in_order(entries: Array, index: Index | None, size: int, batches: int, free: int, side: int) -> LocalJacobian:
    """From (slots, batch, own axes, the other's axes), with the axes of the first factor first."""
    mine = entries.ndim - 1 - batches - free
    if index is not None:
        index = np.broadcast_to(index.reshape(*index.shape, *[1] * free), entries.shape)
    if side == 1 and mine and free:
        order = [*range(1 + batches), *range(1 + batches + mine, entries.ndim), *range(1 + batches, 1 + batches + mine)]
        entries = entries.transpose(order)
        index = None if index is None else index.transpose(order)
    return LocalJacobian(entries, index, size)
