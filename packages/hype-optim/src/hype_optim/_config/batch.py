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

    @property
    @abc.abstractmethod
    def blocks(self) -> int:
        """Into how many blocks of consecutive rows the data are cut, of each of which a batch has as many; or 1."""

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

    @property
    def blocks(self) -> int:
        """One."""
        return 1

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
        shards: into how many blocks of consecutive rows the data are cut. Each batch has `n / shards` examples of each
            block, in an order of its own, so that data whose rows are spread over as many devices, or over a number
            that divides it, are read where they are. The batches depend on this number and not on that of devices.

    Raises:
        TypeError: if `n` or `shards` is not an integer, `drop_last` not a truth value or `sampling` not an
            `AbstractSampling`.
        ValueError: if `n` is below 1, or, in training, above the number of examples; if `shards` is below 1, does not
            divide `n` or, in training, the number of examples, or is above 1 with another sampling than `Shuffled()`.
    """

    n: int = eqx.field(static=True, converter=at_least("n", 1))
    drop_last: bool = eqx.field(static=True, converter=partial(boolean, "drop_last"), default=False)
    sampling: AbstractSampling = eqx.field(
        converter=lambda s: instance("sampling", s, AbstractSampling, "a sampling such as Stratified()"),
        default=Shuffled(),
    )
    shards: int = eqx.field(static=True, converter=at_least("shards", 1), default=1)

    def __check_init__(self) -> None:
        if self.n % self.shards:
            raise ValueError(f"`shards` must divide the size of a batch, {self.n}, got {self.shards}.")
        if self.shards > 1 and not isinstance(self.sampling, Shuffled):
            raise ValueError(
                f"`sampling` must be Shuffled() with `shards`, which takes as many examples of each block, got "
                f"{self.sampling!r}."
            )

    @property
    def blocks(self) -> int:
        """The number `shards`."""
        return self.shards

    def size(self, rows: int) -> int:
        """The number `n`."""
        if rows % self.shards:
            raise ValueError(
                f"`Params.batch` has shards={self.shards}, which must divide the number of examples, {rows}: "
                f"`data.pad({self.shards})` adds rows of weight 0."
            )
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

    @property
    def blocks(self) -> int:
        """One."""
        return 1

    def size(self, rows: int) -> int:
        """One."""
        return 1

    def per_epoch(self, rows: int) -> int:
        """As many as there are rows."""
        return rows

    def order(self, key: PRNGKeyArray, data: Dataset | Stream) -> Int[Array, " rows"]:
        """A random one."""
        return Shuffled().order(key, data)
