from collections.abc import Iterator
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, Int, PyTree

from ._adjoint import Stationarity
from ._loop import RunState
from ._status import Status


class Result(eqx.Module):
    """What a run gives, and how it ended; a pytree.

    Unpacks as `w, loss, w_history, loss_history`.

    Attributes:
        w: the best point seen, or the last, as `Params.return_best` says; of the kind that was passed in.
            Differentiable.
        loss: the objective at `w`; in training with the penalty, on all of the training data. Differentiable.
        valid_loss: the loss of `w` on the validation data without the penalty, or `None`. Differentiable.
        loss_history: the objective at each step, before the step, in training that of the step's batch; NaN
            past `steps`.
        valid_history: the validation loss at each check, or `None`. The last check is after the last step, and the
            others are `validation_interval` epochs apart.
        w_history: the weights at each step, before the step, with a leading axis over the steps, if
            `Params.keep_w_history`; else `None`. `loss_history[i]` belongs to `w_history[i]`.
        status: how the run ended, a member of `Status`.
        steps: the number of steps made, over all runs that were resumed.
        state: what `minimize` and `train` take as `state=` to go on.
        stationarity: how nearly the gradient vanishes at `w`, under `Implicit`, whose derivatives rest on that; else
            `None`.
    """

    w: PyTree
    loss: Float[Array, ""]
    valid_loss: Float[Array, ""] | None
    loss_history: Float[Array, " steps"]
    valid_history: Float[Array, " checks"] | None
    w_history: PyTree
    status: Status
    steps: Int[Array, ""]
    state: RunState
    stationarity: Stationarity | None = None

    def __iter__(self) -> Iterator[Any]:
        """The original's four results."""
        return iter((self.w, self.loss, self.w_history, self.loss_history))

    def check(self) -> "Result":
        """Itself, for those who want an exception where a run diverged.

        Raises:
            RuntimeError: if the run diverged.
        """
        if self.status == Status.DIVERGED:
            if self.steps == 0:
                raise RuntimeError(
                    "The loss was not finite at the first step: look at the first weights, and at the data for NaN or "
                    "for class numbers that the model has no output for."
                )
            raise RuntimeError(f"The run diverged after {int(self.steps)} steps. {Status[self.status]}")
        return self
