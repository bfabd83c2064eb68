"""Training data cut into the batches of a run, and means over all of them in pieces."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree


class Batches(NamedTuple):
    """What the steps of a run look at."""

    data: PyTree  # the examples: arrays with the leading axis `rows`
    rows: int
    size: int  # of a batch; the last one of an epoch has what is left
    order: Int[Array, "epochs rows"] | None  # of the examples in each of the run's epochs; `None` for their own
    first_epoch: Int[Array, ""] | int  # the number of the epoch that `order` begins with

    def load(self, steps: Int[Array, " n"]) -> tuple[PyTree, Float[Array, "n size"] | None]:
        """The examples of steps, with leading axes `(n, size)`, and their weights in a mean, if these differ."""
        rows, counted = jax.vmap(self._rows)(steps)
        examples = jax.tree.map(lambda leaf: leaf[rows], self.data)
        if self.rows % self.size == 0:
            return examples, None
        return examples, counted / jnp.sum(counted, axis=1, keepdims=True)

    def _rows(self, step: Int[Array, ""]) -> tuple[Int[Array, " size"], Float[Array, " size"]]:
        """The rows that a step looks at, and for each 1 if it counts, 0 if it only fills the epoch's last batch up."""
        per_epoch = number_of_batches(self.rows, self.size)
        numbers = step % per_epoch * self.size + jnp.arange(self.size)
        rows = jnp.minimum(numbers, self.rows - 1)
        if self.order is not None:
            rows = self.order[step // per_epoch - self.first_epoch, rows]
        return rows, (numbers < self.rows).astype(jnp.result_type(float))


def number_of_batches(rows: int, size: int) -> int:
    """How many batches of `size` it takes to see all rows."""
    return -(-rows // size)


def shuffled(key: PRNGKeyArray, rows: int, first_epoch: Int[Array, ""] | int, epochs: int) -> Int[Array, "epochs rows"]:
    """A random order of the rows for each epoch; that of an epoch depends on the key and the epoch's number alone."""
    numbers = first_epoch + jnp.arange(epochs)
    return lax.map(lambda epoch: jax.random.permutation(jax.random.fold_in(key, epoch), rows), numbers)


def mean_in_pieces(f: Callable[[PyTree], Float[Array, " rows"]], data: PyTree, size: int) -> Float[Array, ""]:
    """The mean of `f` over all examples, `size` of them at a time in forward and in reverse mode."""
    rows = jax.tree.leaves(data)[0].shape[0]
    if size >= rows:
        return jnp.mean(f(data))
    pieces = rows // size
    whole = jax.tree.map(lambda leaf: leaf[: pieces * size].reshape(pieces, size, *leaf.shape[1:]), data)
    piece_sum = jax.checkpoint(lambda piece: jnp.sum(f(piece)), prevent_cse=False)
    total = jnp.sum(lax.map(piece_sum, whole))
    if rows % size:
        total += jnp.sum(f(jax.tree.map(lambda leaf: leaf[pieces * size :], data)))
    return total / rows
