"""What a run results in."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np
from hype_ad.internal import html
from hype_ad.internal.text import count
from jaxtyping import Array, Float, Int, PyTree

from .._adjoint.base import Stationarity
from .._file.plot import plot_histories
from .._progress.numbers import with_numbers
from .sensitivity import Sensitivity
from .state import RunState
from .status import Status, has_failed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Result(eqx.Module):
    """What a run gives, and how it ended; a pytree.

    Unpacks as `w, loss, w_history, loss_history`.

    Attributes:
        w: the best point seen, or the last, as `Params.return_best` says; of the kind that was passed in.
            Differentiable.
        loss: the objective at `w`; in training with the penalty, on all of the training data. Differentiable. NaN
            without `Params.evaluate`.
        valid_loss: the loss of `w` on the validation data without the penalty, or `None`. Differentiable.
        loss_history: the objective at each step, before the step, in training that of the step's batch; NaN
            past `steps`.
        learning_rate_history: the learning rate of each step: what a schedule of one number says, else the length of
            the step, before momentum, over that of the direction (0 where that vanishes). Where rates differ between
            weights a mean of them, taken over a sample of at most 128 entries of each leaf. NaN past `steps`; `None` if
            an Optax transformation made the steps.
        valid_history: the validation loss at each check, or `None`. The last check is after the last step, and the
            others are `validation_interval` epochs apart.
        valid_steps: after how many steps of this run each check was, or `None`.
        w_history: the weights at each step, before the step, with a leading axis over the steps, if
            `Params.keep_w_history`; else `None`. `loss_history[i]` belongs to `w_history[i]`.
        status: how the run ended, a member of `Status`.
        steps: the number of steps made, over all runs that were resumed.
        state: what `minimize` and `train` take as `state=` to go on.
        stationarity: how nearly the gradient vanishes at `w`, under `Implicit`, whose derivatives rest on that; else
            `None`.
        model_state: the state of the model that belongs to `w`, if `train` was given one; else `None`. Differentiable.
        sensitivity: how perturbations grew from step to step, if `Params.track_sensitivity`; else `None`.
    """

    w: PyTree
    loss: Float[Array, ""]
    valid_loss: Float[Array, ""] | None
    loss_history: Float[Array, " steps"]
    learning_rate_history: Float[Array, " steps"] | None
    valid_history: Float[Array, " checks"] | None
    valid_steps: Int[Array, " checks"] | None
    w_history: PyTree
    status: Status
    steps: Int[Array, ""]
    state: RunState
    stationarity: Stationarity | None = None
    model_state: PyTree = None
    sensitivity: Sensitivity | None = None

    def __repr__(self) -> str:
        """The numbers by their values, arrays by their shapes, the status by its sentence."""
        status = repr(self.status)
        return with_numbers(self, {"status": status[status.index("<") :], "state": "RunState(...)"})

    def _repr_html_(self) -> str:
        """The numbers and the loss curves, as a notebook shows them."""
        curves: dict[str, Any] = {"training": (np.arange(np.shape(self.loss_history)[-1]), self.loss_history)}
        if self.valid_history is not None:
            curves["validation"] = self.valid_steps, self.valid_history
        told = {
            "steps": self.steps,
            "loss": self.loss,
            "validation loss": self.valid_loss,
            "learning rate": self.learning_rate_history,
            "growth of perturbations": None if self.sensitivity is None else self.sensitivity.growth,
        }
        told = {name: value for name, value in told.items() if value is not None}
        if not html.has_values(*told.values(), *(array for pair in curves.values() for array in pair)):
            return html.preformatted(repr(self))
        if self.learning_rate_history is not None and np.isnan(self.learning_rate_history).all():
            del told["learning rate"]  # no step was made
        rows = [(name, html.number(value)) for name, value in told.items()]
        parts = html.table((), rows), html.curves("step", "loss", curves), html.folded("fields", repr(self))
        return html.page(f"Result: {self._ending()}", *parts)

    def _ending(self) -> str:
        """How the run ended, or how many runs of a batch failed."""
        if self.steps.ndim == 0:
            return Status[self.status]
        failed = int(np.sum(has_failed(self.status)))
        return f"{count(self.steps.size, 'run')}, of which {failed or 'none'} failed."

    def __iter__(self) -> Iterator[Any]:
        """The original's four results."""
        return iter((self.w, self.loss, self.w_history, self.loss_history))

    def check(self) -> "Result":
        """Itself, for those who want an exception where a run failed, or never left its first weights.

        Raises:
            RuntimeError: if the run diverged, or cannot be made under `Reversible`, or if its first line search found
                no decrease.
        """
        if self.status == Status.NO_DECREASE and self.steps == 0:
            raise RuntimeError(
                "The run could not leave its first weights: no step along its first direction decreases the objective. "
                "They may be a minimum; if not, the objective is not smooth there, or its gradient is wrong (compare "
                "it with differences, `hype_ad.testing.assert_derivatives_match`), or the square of the gradient is "
                "too large or too small for its dtype (multiply the objective by a constant)."
            )
        if self.status == Status.DIVERGED:
            if self.steps == 0:
                raise RuntimeError(
                    "The loss was not finite at the first step: look at the first weights, and at the data for NaN or "
                    "for class numbers that the model has no output for."
                )
            raise RuntimeError(f"The run diverged after {int(self.steps)} steps. {Status[self.status]}")
        if has_failed(self.status):
            raise RuntimeError(f"The run failed after {int(self.steps)} steps. {Status[self.status]}")
        return self

    def plot(self) -> "Figure":
        """Draw the loss curves and the learning rate over the steps; of a batch of results, a curve for each run.

        Needs Matplotlib, the extra `hype-optim[plot]`. Nothing is shown or written: `result.plot().savefig(path)` does
        the one, `matplotlib.pyplot.show()` the other.

        Returns:
            The figure; its `axes` are those of the losses and, where rates are known, those of the rate.

        Raises:
            ImportError: if Matplotlib is not installed.
        """
        histories = self.loss_history, self.learning_rate_history, self.valid_history, self.valid_steps
        several = self.loss_history.ndim > 1
        return plot_histories(*histories, title=f"{self.steps.size} runs" if several else Status[self.status])
