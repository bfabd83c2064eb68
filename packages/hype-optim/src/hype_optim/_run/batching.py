"""Training data cut into the batches of a run, and sums over all of them in pieces."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._config.batch import AbstractBatch
from .._data import blocks
from .._data.dataset import Dataset
from .._data.stream import Stream


class Batches(NamedTuple):
    """What the steps of a run look at."""

    data: Dataset | Stream
    size: int  # of a batch; the last one of an epoch has what is left
    per_epoch: int
    blocks: int  # of the rows: a batch has as many of each, those of a block together
    order: Int[Array, "epochs blocks block"] | None  # of the examples in each of the run's epochs; `None` for their own
    first_epoch: Int[Array, ""] | int  # the number of the epoch that `order` begins with

    def load(self, steps: Int[Array, " n"]) -> tuple[Dataset, Float[Array, "n size"] | None]:
        """The examples of steps, with leading axes `(n, size)`, and their weights in a mean, if these differ."""
        rows = self._rows(steps)
        if isinstance(self.data, Stream):
            nearby = [self._rows(jnp.maximum(steps + by, 0)) for by in (steps.size, -steps.size)]
            examples = self.data.in_blocks(rows, nearby)
        else:
            examples = blocks.take(self.data, rows)
        if self.per_epoch * self.size <= len(self.data):
            return examples, None
        # The last batch of an epoch is filled up with rows that count nothing.
        is_there = jnp.broadcast_to(self._places(steps)[:, None] < self._block, rows.shape)
        counted = is_there.reshape(steps.size, self.size).astype(jnp.result_type(float))
        return examples, counted / jnp.sum(counted, axis=1, keepdims=True)

    @property
    def _block(self) -> int:
        return len(self.data) // self.blocks

    def _places(self, steps: Int[Array, " n"]) -> Int[Array, "n each"]:
        """Where in the order of a block what a step looks at is; beyond its end where that only fills a batch up."""
        each = self.size // self.blocks
        return lax.rem(steps, self.per_epoch)[:, None] * each + jnp.arange(each)[None]

    def _rows(self, steps: Int[Array, " n"]) -> Int[Array, "n blocks each"]:
        """The rows of each block that steps look at."""
        places = jnp.minimum(self._places(steps), self._block - 1)
        places = jnp.broadcast_to(places[:, None], (steps.size, self.blocks, places.shape[1]))
        if self.order is None:
            return places
        epochs = lax.div(steps, self.per_epoch) - self.first_epoch
        entries = self.order.at[epochs[:, None, None], jnp.arange(self.blocks)[None, :, None], places]
        return entries.get(mode="clip", wrap_negative_indices=False)


def orders(
    batch: AbstractBatch, key: PRNGKeyArray, data: Dataset | Stream, first_epoch: Int[Array, ""] | int, epochs: int
) -> Int[Array, "epochs blocks block"]:
    """The order of the rows in each epoch; that of an epoch depends on the key and the epoch's number alone."""
    numbers, count = first_epoch + jnp.arange(epochs), batch.blocks

    def order(epoch: Int[Array, ""]) -> Int[Array, "blocks block"]:
        of_epoch = jax.random.fold_in(key, epoch)
        if count == 1:
            return batch.order(of_epoch, data)[None]
        keys = jax.vmap(lambda block: jax.random.fold_in(of_epoch, block))(jnp.arange(count))
        return jax.vmap(lambda key: jax.random.permutation(key, len(data) // count))(keys)

    return lax.map(order, numbers)


def mean_in_pieces(
    sum_over: Callable[[Dataset, PRNGKeyArray | None], Float[Array, ""]],
    data: Dataset | Stream,
    size: int,
    key: PRNGKeyArray | None = None,
    count: int = 1,
) -> Float[Array, ""]:
    """The mean over all examples of what `sum_over` sums, `size` of them at a time in forward and in reverse mode.

    Each piece has a key of its own, if there is one, and as many rows of each of `count` blocks, if that can be.
    """
    rows = len(data)
    count = count if rows % count == 0 and size % count == 0 else 1
    if not isinstance(data, Stream) and count % blocks.spread(data):
        size = rows  # no part of them could be taken without moving the others
    pieces, left = divmod(rows, size)
    keys = None if key is None else jax.random.split(key, pieces + 1)
    whole, last = (None, None) if keys is None else (keys[:-1], keys[-1])
    piece_sum = jax.checkpoint(sum_over, prevent_cse=False)
    sums = lambda examples, keys: lax.map(lambda x: piece_sum(*x), (examples, keys))
    if isinstance(data, Stream):
        total = jnp.sum(_sums_of_read(sums, data, size, pieces, whole, count))
        some = jnp.broadcast_to(jnp.arange(pieces * size // count, rows // count), (1, count, left // count))
        rest = lambda: jax.tree.map(lambda leaf: leaf[0], data.in_blocks(some))
    else:
        if pieces <= 1 and not left:
            return sum_over(data, None if keys is None else keys[0]) / rows
        total = jnp.sum(sums(blocks.pieces(data, count, size), whole))
        rest = lambda: blocks.part(data, count, pieces * size, rows)
    if left:
        total += sum_over(rest(), last)
    return total / rows


def _sums_of_read(
    sums: Callable[[Dataset, PRNGKeyArray | None], Float[Array, " n"]],
    data: Stream,
    size: int,
    pieces: int,
    keys: PRNGKeyArray | None,
    count: int,
) -> Float[Array, " pieces"]:
    """The sums over pieces of the rows, read about as many at a time as there are such chunks: a read is dear."""
    at_once = math.isqrt(pieces)
    chunks = pieces // at_once
    first = chunks * at_once
    each = size // count
    rows = jnp.broadcast_to(jnp.arange(pieces * each).reshape(pieces, 1, each), (pieces, count, each))
    numbers = rows[:first].reshape(chunks, at_once, count, each)
    nearby = lambda numbers: [(numbers + by * at_once * each) % (first * each) for by in (1, -1)]
    chunk_sums = jax.checkpoint(
        lambda numbers, keys: sums(data.in_blocks(numbers, nearby(numbers)), keys), prevent_cse=False
    )
    first_keys = None if keys is None else keys[:first].reshape(chunks, at_once, *keys.shape[1:])
    found = lax.map(lambda x: chunk_sums(*x), (numbers, first_keys)).ravel()
    if first == pieces:
        return found
    return jnp.append(found, sums(data.in_blocks(rows[first:]), None if keys is None else keys[first:]))
