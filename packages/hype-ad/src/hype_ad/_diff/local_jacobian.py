"""Jacobians with respect to n coordinates that keep only the entries that may be other than zero.

An entry of a value that depends on few coordinates, as the product of one of them and a constant does, or a feature of
one particle of many, has a column of its Jacobian with few entries. Each of these has a slot, and a table that is known
when the program is traced says which coordinate the slot is of.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, Int

Index = Int[np.ndarray, "_ ..."]
Entries = Inexact[Array, "_ ..."]

ABSENT = -1  # the coordinate of a slot without an entry, which is 0
# Tables above this size are not looked at: the time would be Python's.
_TABLE = 2**22
_FEW = 8
# Numbers in the largest Jacobian of one value that is held, 64 MB in single precision.
_LARGEST = 2**24


class TooLarge(Exception):
    """A Jacobian of one value would take too much memory."""


@dataclass(frozen=True, eq=False)
class LocalJacobian:
    """The derivatives of a value of some shape with respect to each of `size` coordinates.

    Attributes:
        entries: one array of the value's shape for each slot.
        index: the coordinate that each entry is of, where no position has a coordinate twice; None says that there are
            `size` slots and slot i is of coordinate i.
        size: number of coordinates.
    """

    entries: Entries
    index: Index | None
    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self.entries.shape[1:]

    @property
    def is_distinct(self) -> bool:
        """Whether no position has a coordinate twice."""
        return self.index is None or (len(self.index) <= self.size and _distinct(self.index))

    def dense(self) -> "LocalJacobian":
        """With a slot for each coordinate."""
        if self.index is None:
            return self
        _check_size(self.size, *self.shape)
        slots = len(self.index)
        place = np.full((self.size, *self.shape), ABSENT)
        slot, *position = np.nonzero(self.index != ABSENT)
        place[(self.index[slot, *position], *position)] = slot
        only = place.max(axis=tuple(range(1, place.ndim)), initial=0)
        found = place == only.reshape(-1, *[1] * len(self.shape))
        if not (found | (place == ABSENT)).all():
            found = place != ABSENT
            entries = jnp.take_along_axis(self.entries, np.maximum(place, 0), axis=0)
        elif (only == np.arange(self.size) % slots).all() and self.size % slots == 0:
            # blocks, as of the coordinates of one particle of many: XLA takes repetitions into the next loop
            entries = jnp.tile(self.entries, (self.size // slots, *[1] * len(self.shape)))
        else:
            entries = self.entries[only]
        return LocalJacobian(jnp.where(_narrowed(found), entries, 0), None, self.size)

    def broadcast(self, shape: tuple[int, ...]) -> "LocalJacobian":
        """The Jacobian of the value repeated along axes of length 1, or of a number as an array."""
        wide = [1] * (len(shape) - len(self.shape)) + list(self.shape)
        spread = lambda library, part: library.broadcast_to(part.reshape(len(part), *wide), (len(part), *shape))
        index = None if self.index is None else spread(np, self.index)
        return LocalJacobian(spread(jnp, self.entries), index, self.size)

    def summed(self, axes: Sequence[int]) -> "LocalJacobian":
        """The Jacobian of the sum over some axes of the value."""
        axes = tuple(axis + 1 for axis in axes)
        if self.index is None or not axes:
            return LocalJacobian(jnp.sum(self.entries, axis=axes), self.index, self.size)
        if self.same_along(axes):
            index = self.index[tuple(0 if i in axes else slice(None) for i in range(self.index.ndim))]
            return LocalJacobian(jnp.sum(self.entries, axis=axes), index, self.size)
        return self.spread(axes).collected()

    def same_along(self, axes: Sequence[int]) -> bool:
        """Whether all positions along these axes of the table depend on the same coordinates, slot by slot."""
        if self.index is None:
            return True
        if not self.index.size:
            return False
        return all(bool((self.index == np.take(self.index, [0], axis)).all()) for axis in axes)

    def spread(self, axes: Sequence[int]) -> "LocalJacobian":
        """The positions along some axes of the entries as slots of one position, to be summed by `collected`."""
        assert self.index is not None
        kept = [i for i in range(1, self.index.ndim) if i not in axes]
        order = [0, *axes, *kept]
        slots = math.prod(self.index.shape[i] for i in (0, *axes))
        shape = (slots, *(self.index.shape[i] for i in kept))
        entries, index = self.entries.transpose(order).reshape(shape), self.index.transpose(order).reshape(shape)
        return LocalJacobian(entries, index, self.size)

    def collected(self) -> "LocalJacobian":
        """With at most one slot for each coordinate, where a position may have a coordinate several times."""
        if self.is_distinct:
            return self if len(self.entries) else nothing(jnp.zeros(self.shape, self.entries.dtype), self.size)
        assert self.index is not None
        _check_size(self.size, *self.shape)
        if self.same_along(range(1, self.index.ndim)):
            # the same sum at all positions: a few slots are added for each coordinate
            coordinates = self.index.reshape(len(self.index), -1)[:, 0]
            slots = [np.nonzero(coordinates == i)[0] for i in range(self.size)]
            most = max(map(len, slots))
            if most <= _FEW:
                table = np.array([[*own, *[ABSENT] * (most - len(own))] for own in slots], int).T
                terms = _rows(self.entries, table.reshape(-1)).reshape(*table.shape, *self.shape)
                return LocalJacobian(jnp.sum(terms, axis=0), None, self.size)
        grid = np.ix_(*map(np.arange, self.index.shape))[1:]
        start = jnp.zeros((self.size, *self.shape), self.entries.dtype)
        places = (np.where(self.index == ABSENT, self.size, self.index), *grid)
        return LocalJacobian(start.at[places].add(self.entries, mode="drop"), None, self.size)


def identity(value: Array, first: int, size: int) -> LocalJacobian:
    """The Jacobian of the coordinates from number `first` on that `value` consists of."""
    index = np.arange(first, first + value.size).reshape(1, *value.shape)
    return LocalJacobian(jnp.ones(index.shape, value.dtype), index, size)


def nothing(value: Array, size: int) -> LocalJacobian:
    """The Jacobian of what does not depend on the coordinates."""
    shape = (1, *value.shape)
    return LocalJacobian(jnp.zeros(shape, value.dtype), np.full(shape, ABSENT), size)


def aligned(jacobians: Sequence[LocalJacobian]) -> list[LocalJacobian]:
    """The Jacobians of values of one shape, with the same slots."""
    index = jacobians[0].index
    if all(_equal(jacobian.index, index) for jacobian in jacobians):
        return list(jacobians)
    tables = [jacobian.index for jacobian in jacobians if jacobian.index is not None]
    if len(tables) < len(jacobians) or sum(table.size for table in tables) > _TABLE:
        return [jacobian.dense() for jacobian in jacobians]
    # slots that are of the same coordinates at all positions are one
    rows = {row.tobytes(): row for table in tables for row in table}
    union = np.stack(list(rows.values()))
    if 2 * len(union) > jacobians[0].size or not _distinct(union):
        return [jacobian.dense() for jacobian in jacobians]
    widened = []
    for jacobian, table in zip(jacobians, tables, strict=True):
        own = {row.tobytes(): slot for slot, row in enumerate(table)}
        slots = np.array([own.get(row, ABSENT) for row in rows])
        widened.append(LocalJacobian(_rows(jacobian.entries, slots), union, jacobian.size))
    return widened


def _rows(entries: Entries, slots: Int[np.ndarray, " rows"]) -> Entries:
    """The entries of some slots, and zeros where there is none."""
    if (slots == np.arange(len(slots))).all():
        return entries
    there = (slots != ABSENT).reshape(-1, *[1] * (entries.ndim - 1))
    return jnp.where(there, entries[np.maximum(slots, 0)], 0)


def concatenated(jacobians: Sequence[LocalJacobian], axis: int) -> LocalJacobian:
    """The Jacobian of values one after the other along an axis."""
    if any(jacobian.index is None for jacobian in jacobians):
        jacobians = [jacobian.dense() for jacobian in jacobians]
    slots = max(len(jacobian.entries) for jacobian in jacobians)
    around = [[(0, slots - len(jacobian.entries)), *((0, 0) for _ in jacobian.shape)] for jacobian in jacobians]
    entries = [jnp.pad(jacobian.entries, pad) for jacobian, pad in zip(jacobians, around, strict=True)]
    tables = [
        np.pad(jacobian.index, pad, constant_values=ABSENT)
        for jacobian, pad in zip(jacobians, around, strict=True)
        if jacobian.index is not None
    ]
    index = np.concatenate(tables, axis + 1) if tables else None
    return LocalJacobian(jnp.concatenate(entries, axis + 1), index, jacobians[0].size)


def _narrowed(mask: np.ndarray) -> np.ndarray:
    """With length 1 along the axes on which it does not depend: it is a constant of the program."""
    for axis in range(mask.ndim):
        if mask.shape[axis] and (mask == mask.take([0], axis)).all():
            mask = mask.take([0], axis)
    return mask


def _check_size(*shape: int) -> None:
    if math.prod(shape) > _LARGEST:
        raise TooLarge


def _equal(a: Index | None, b: Index | None) -> bool:
    return a is b or (a is not None and b is not None and a.shape == b.shape and bool((a == b).all()))


def _distinct(index: Index) -> bool:
    """Whether no position has a coordinate twice."""
    if index.size > _TABLE:
        return False
    ordered = np.sort(index, axis=0)
    return not bool(((ordered[1:] == ordered[:-1]) & (ordered[1:] != ABSENT)).any())
