"""Training data cut into the batches of a run, and sums over all of them in pieces."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._config.batch import AbstractBatch
from .._data.dataset import Dataset
from .._data.stream import Stream


class Batches(NamedTuple):
    """What the steps of a run look at."""

    data: Dataset | Stream
    size: int  # of a batch; the last one of an epoch has what is left
    per_epoch: int
    order: Int[Array, "epochs rows"] | None  # of the examples in each of the run's epochs; `None` for their own
    first_epoch: Int[Array, ""] | int  # the number of the epoch that `order` begins with

    def load(self, steps: Int[Array, " n"]) -> tuple[Dataset, Float[Array, "n size"] | None]:
        """The examples of steps, with leading axes `(n, size)`, and their weights in a mean, if these differ."""
        rows = jax.vmap(self._rows)
        numbers, counted = rows(steps)
        if isinstance(self.data, Stream):
            examples = self.data.at(numbers, [rows(steps + by)[0] for by in (steps.size, -steps.size)])
        else:
            examples = jax.tree.map(lambda leaf: leaf[numbers], self.data)
        if self.per_epoch * self.size <= len(self.data):
            return examples, None
        return examples, counted / jnp.sum(counted, axis=1, keepdims=True)

    def _rows(self, step: Int[Array, ""]) -> tuple[Int[Array, " size"], Float[Array, " size"]]:
        """The rows that a step looks at, and for each 1 if it counts, 0 if it only fills the epoch's last batch up."""
        numbers = step % self.per_epoch * self.size + jnp.arange(self.size)
        rows = jnp.minimum(numbers, len(self.data) - 1)
        if self.order is not None:
            rows = self.order[step // self.per_epoch - self.first_epoch, rows]
        return rows, (numbers < len(self.data)).astype(jnp.result_type(float))


def orders(
    batch: AbstractBatch, key: PRNGKeyArray, data: Dataset | Stream, first_epoch: Int[Array, ""] | int, epochs: int
) -> Int[Array, "epochs rows"]:
    """The order of the rows in each epoch; that of an epoch depends on the key and the epoch's number alone."""
    numbers = first_epoch + jnp.arange(epochs)
    return lax.map(lambda epoch: batch.order(jax.random.fold_in(key, epoch), data), numbers)


def mean_in_pieces(
    sum_over: Callable[[Dataset, PRNGKeyArray | None], Float[Array, ""]],
    data: Dataset | Stream,
    size: int,
    key: PRNGKeyArray | None = None,
) -> Float[Array, ""]:
    """The mean over all examples of what `sum_over` sums, `size` of them at a time in forward and in reverse mode.

    Each piece has a key of its own, if there is one.
    """
    rows = len(data)
    pieces, left = divmod(rows, size)
    keys = None if key is None else jax.random.split(key, pieces + 1)
    whole, last = (None, None) if keys is None else (keys[:-1], keys[-1])
    piece_sum = jax.checkpoint(sum_over, prevent_cse=False)
    sums = lambda examples, keys: lax.map(lambda x: piece_sum(*x), (examples, keys))
    if isinstance(data, Stream):
        total = jnp.sum(_sums_of_read(sums, data, size, pieces, whole))
        rest = lambda: data.at(jnp.arange(pieces * size, rows))
    else:
        if pieces <= 1 and not left:
            return sum_over(data, None if keys is None else keys[0]) / rows
        cut = lambda leaf: leaf[: pieces * size].reshape(pieces, size, *leaf.shape[1:])
        total = jnp.sum(sums(jax.tree.map(cut, data), whole))
        rest = lambda: jax.tree.map(lambda leaf: leaf[pieces * size :], data)
    if left:
        total += sum_over(rest(), last)
    return total / rows


def _sums_of_read(
    sums: Callable[[Dataset, PRNGKeyArray | None], Float[Array, " n"]],
    data: Stream,
    size: int,
    pieces: int,
    keys: PRNGKeyArray | None,
) -> Float[Array, " pieces"]:
    """The sums over pieces of the rows, read about as many at a time as there are such chunks: a read is dear."""
    at_once = math.isqrt(pieces)
    chunks = pieces // at_once
    first = chunks * at_once
    rows = jnp.arange(pieces * size).reshape(pieces, size)
    numbers = rows[:first].reshape(chunks, at_once, size)
    nearby = lambda numbers: [(numbers + by * at_once * size) % (first * size) for by in (1, -1)]
    chunk_sums = jax.checkpoint(lambda numbers, keys: sums(data.at(numbers, nearby(numbers)), keys), prevent_cse=False)
    first_keys = None if keys is None else keys[:first].reshape(chunks, at_once, *keys.shape[1:])
    found = lax.map(lambda x: chunk_sums(*x), (numbers, first_keys)).ravel()
    if first == pieces:
        return found
    return jnp.append(found, sums(data.at(rows[first:]), None if keys is None else keys[first:]))
