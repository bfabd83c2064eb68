"""What a run minimizes."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int, PyTree

from .._config.constraint.base import AbstractConstraint
from .._objective import Kind


class Problem(NamedTuple):
    """An objective, and the batches that the steps of a run evaluate it on.

    All are functions of the weights and of the model's state, such as running statistics, which is `None` if it has
    none. Only a step changes it.
    """

    objective: Callable[[PyTree, PyTree], Float[Array, ""]]  # on all data
    # On a batch, with the weights before the step, which several losses hold, and with the model's next state:
    batch_objective: Callable[[PyTree, PyTree, PyTree, Any], tuple[Float[Array, ""], PyTree]]
    load: Callable[[Int[Array, " n"]], PyTree]  # from step numbers to their batches, with leading axis n
    kind: Kind
    steps_per_epoch: int
    constraint: AbstractConstraint
    validate: Callable[[PyTree, PyTree], Float[Array, ""]] | None  # the validation loss
    is_fixed: bool = False  # whether the steps of a run all have the same objective
    examples: Float[Array, " steps_per_epoch"] | None = None  # how many each batch of an epoch has, if they differ
    is_training: bool = False  # whether `batch_objective` depends on keys or changes a state, unlike the others
    sees_all: bool = True  # whether an epoch looks at all data

    def total(self, w: PyTree, model_state: PyTree) -> Float[Array, ""]:
        """The objective with the penalty that a constraint adds."""
        return self.constraint.penalized(self.objective(w, model_state), w)

    def with_losses_in(self, dtype: Any) -> "Problem":
        """The same with losses of one dtype, whatever weights and data of several make of them."""
        cast = lambda f: None if f is None else lambda *args: f(*args).astype(dtype)

        def batch_objective(*args: Any) -> tuple[Float[Array, ""], PyTree]:
            value, model_state = self.batch_objective(*args)
            return value.astype(dtype), model_state

        return self._replace(
            objective=cast(self.objective), batch_objective=batch_objective, validate=cast(self.validate)
        )

    @property
    def judged_by_value(self) -> bool:
        """Whether the value that a step computes is all there is to know of the weights before the step."""
        return self.steps_per_epoch == 1 and self.sees_all and self.validate is None
