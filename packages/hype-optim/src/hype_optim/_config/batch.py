"""How many examples a step looks at, and which."""

import abc
from functools import partial

import equinox as eqx
from hype_ad.internal.checks import boolean, instance
from jaxtyping import Array, Int, PRNGKeyArray

from .._data.dataset import Dataset
from .._data.stream import Stream
from .._hyperparameter.converters import at_least
from .sampling import AbstractSampling, Shuffled


class AbstractBatch(eqx.Module):
    """Cuts the training data into batches."""

    @abc.abstractmethod
    def size(self, rows: int) -> int:
        """The number of examples in a batch, of `rows` in all."""

    @abc.abstractmethod
    def per_epoch(self, rows: int) -> int:
        """The number of batches in an epoch, with or without one of what is left at the end."""

    @abc.abstractmethod
    def order(self, key: PRNGKeyArray, data: Dataset | Stream) -> Int[Array, " rows"]:
        """The row numbers in the order in which an epoch goes through them, in a training that has a key."""


class Full(AbstractBatch):
    """Every step looks at all examples."""

    def size(self, rows: int) -> int:
        """All of them."""
        return rows

    def per_epoch(self, rows: int) -> int:
        """One."""
        return 1

    def order(self, key: PRNGKeyArray, data: Dataset | Stream) -> Int[Array, " rows"]:
        """A random one."""
        return Shuffled().order(key, data)


class Minibatch(AbstractBatch):
    """Every step looks at `n` examples; the last of an epoch at what is left.

    Args:
        n: how many, from 1 to the number of examples.
        drop_last: whether to leave out, in each epoch, what does not fill a last batch. The final loss is that of all.
        sampling: how the order of an epoch is drawn, such as `Stratified()` or `Weighted(weights)`; the training needs
            a key then. By default every example comes once: in a random order, or, without a key, in their own.

    Raises:
        TypeError: if `n` is not an integer, `drop_last` not a truth value or `sampling` not an `AbstractSampling`.
        ValueError: if `n` is below 1, or, in training, above the number of examples.
    """

    n: int = eqx.field(static=True, converter=at_least("n", 1))
    drop_last: bool = eqx.field(static=True, converter=partial(boolean, "drop_last"), default=False)
    sampling: AbstractSampling = eqx.field(
        converter=lambda s: instance("sampling", s, AbstractSampling, "a sampling such as Stratified()"),
        default=Shuffled(),
    )

    def size(self, rows: int) -> int:
        """The number `n`."""
        if self.n > rows:
            raise ValueError(f"`Params.batch` is Minibatch({self.n}), but the data has only {rows} examples.")
        return self.n

    def per_epoch(self, rows: int) -> int:
        """As many as it takes to see all rows, or as there are full ones."""
        return rows // self.n if self.drop_last else -(-rows // self.n)

    def order(self, key: PRNGKeyArray, data: Dataset | Stream) -> Int[Array, " rows"]:
        """That of `sampling`."""
        return self.sampling.order(key, data)


class Stochastic(AbstractBatch):
    """Every step looks at one example."""

    def size(self, rows: int) -> int:
        """One."""
        return 1

    def per_epoch(self, rows: int) -> int:
        """As many as there are rows."""
        return rows

    def order(self, key: PRNGKeyArray, data: Dataset | Stream) -> Int[Array, " rows"]:
        """A random one."""
        return Shuffled().order(key, data)
