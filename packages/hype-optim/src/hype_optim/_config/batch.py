"""How many examples a step looks at."""

import abc

import equinox as eqx

from .._hyperparameter.converters import at_least


class AbstractBatch(eqx.Module):
    """Cuts the training data into batches."""

    @abc.abstractmethod
    def size(self, rows: int) -> int:
        """The number of examples in a batch, of `rows` in all."""


class Full(AbstractBatch):
    """Every step looks at all examples."""

    def size(self, rows: int) -> int:
        """All of them."""
        return rows


class Minibatch(AbstractBatch):
    """Every step looks at `n` examples; the last of an epoch at what is left.

    Args:
        n: how many, from 1 to the number of examples.

    Raises:
        TypeError: if `n` is not an integer.
        ValueError: if `n` is below 1, or, in training, above the number of examples.
    """

    n: int = eqx.field(static=True, converter=at_least("n", 1))

    def size(self, rows: int) -> int:
        """The number `n`."""
        if self.n > rows:
            raise ValueError(f"`Params.batch` is Minibatch({self.n}), but the data has only {rows} examples.")
        return self.n


class Stochastic(AbstractBatch):
    """Every step looks at one example."""

    def size(self, rows: int) -> int:
        """One."""
        return 1
