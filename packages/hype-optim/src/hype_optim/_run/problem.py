"""What a run minimizes."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int, PyTree


class Problem(NamedTuple):
    """An objective, and the batches that the steps of a run evaluate it on.

    Attributes:
        objective: maps the weights to the whole objective, on all data.
        batch_objective: maps the weights and a batch to the objective on the batch.
        load: maps step numbers, shape `(n,)`, to their batches, with leading axis n.
        steps_per_epoch: the number of batches in an epoch.
        validate: maps the weights to their validation loss, if there are validation data.
        examples: how many each batch of an epoch has, if they differ.
    """

    objective: Callable[[PyTree], Float[Array, ""]]
    batch_objective: Callable[[PyTree, Any], Float[Array, ""]]
    load: Callable[[Int[Array, " n"]], PyTree]
    steps_per_epoch: int
    validate: Callable[[PyTree], Float[Array, ""]] | None
    examples: Float[Array, " steps_per_epoch"] | None = None

    @property
    def judged_by_value(self) -> bool:
        """Whether the value that a step computes is all there is to know of the weights before the step."""
        return self.steps_per_epoch == 1 and self.validate is None
