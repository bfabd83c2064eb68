"""Judging the weights of a run: which are the best, when to validate, when to stop early.

Where the value of a step is not the whole objective, weights are judged at the end of an epoch, by their validation
loss or by the mean of the epoch's training losses. Epochs are counted from the end of the run, so that its last step
ends one.
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from hype_ad.internal.settled import like
from hype_ad.internal.tree import all_finite, where
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._config.params import Params
from .problem import Problem
from .state import Judgement, Place, RunState
from .status import Status


class Checks(NamedTuple):
    """Which steps end an epoch, and which are checks (validation, early stopping), by how many are left after them."""

    steps: int
    steps_per_epoch: int
    interval: int  # epochs from one check to the next

    @property
    def window(self) -> int:
        """How many steps an epoch has: fewer where the whole run is shorter."""
        return min(self.steps_per_epoch, self.steps)

    def begins_epoch(self, left: Int[Array, "..."]) -> Bool[Array, "..."]:
        """Whether a step is the first of an epoch."""
        return lax.rem(left, self.steps_per_epoch) == self.window - 1

    def ends_epoch(self, left: Int[Array, "..."]) -> Bool[Array, "..."]:
        """Whether a step is the last of a whole epoch."""
        return self._is_whole(left) & (lax.rem(left, self.steps_per_epoch) == 0)

    def due(self, left: Int[Array, "..."]) -> Bool[Array, "..."]:
        """Whether there is a check after a step."""
        return self._is_whole(left) & (lax.rem(left, self.steps_per_epoch * self.interval) == 0)

    def _is_whole(self, left: Int[Array, "..."]) -> Bool[Array, "..."]:
        """False in what is left over before the first whole epoch."""
        return left + self.window <= self.steps

    @property
    def taken(self) -> slice:
        """The steps that are followed by a check."""
        every = self.steps_per_epoch * self.interval
        first = (self.steps - 1) % every
        return slice(first if first + 1 >= self.window else first + every, None, every)


class Verdict(NamedTuple):
    """What judging makes of a step."""

    judgement: Judgement
    valid: Float[Array, ""] | None  # the validation loss, NaN where there was no check; `None` without such data
    stop: Bool[Array, ""]


class Judge(NamedTuple):
    """What finds the best weights of a run, and says when to stop."""

    problem: Problem
    params: Params
    checks: Checks

    def __call__(
        self,
        state: RunState,
        place: Place,
        value: Float[Array, ""],
        w: PyTree,
        model_state: PyTree,
        running: Bool[Array, ""],
    ) -> Verdict:
        """Judge the step from `state` to `w` and `model_state`, if it was made; `value` is the objective before it."""
        problem, old, examples = self.problem, state.judgement, self.problem.examples
        unknown = None if problem.validate is None else jnp.full_like(old.best_loss, jnp.nan)
        no_stop = jnp.array(False)
        if not self.params.return_best and old.stopping is None and problem.validate is None:
            return Verdict(old, unknown, no_stop)
        value = lax.stop_gradient(value)
        counted = value if examples is None else value * self._of(examples, place.number).astype(value.dtype)
        losses = counted
        if self.checks.window > 1:
            losses = jnp.where(self.checks.begins_epoch(place.left), counted, old.losses + counted)
        due = self.checks.due(place.left)

        def decide(old: Judgement) -> Verdict:
            training = losses / self.checks.window
            if examples is not None:  # a batch of few examples must not decide for all
                epoch = place.number - jnp.arange(self.checks.window)
                training = losses / jnp.sum(self._of(examples, epoch)).astype(losses.dtype)
            valid = None if problem.validate is None else problem.validate(w, model_state)
            monitored = training if valid is None else lax.stop_gradient(valid)
            best, best_loss, stopping, stop = (old.best_w, old.best_model_state), old.best_loss, old.stopping, no_stop
            if self.params.return_best:
                by_value = problem.judged_by_value
                better = running & (monitored < best_loss) & (True if by_value else all_finite(w))
                judged = (state.w, state.model_state) if by_value else (w, model_state)
                best, best_loss = where(better, (judged, monitored), (best, best_loss))
            if stopping is not None:
                after, stop = self.params.early_stopping.check(
                    stopping, training, None if valid is None else monitored, self.params.improvement_threshold
                )
                stopping, stop = where(due, after, stopping), due & stop
            valid = None if valid is None else jnp.where(state.running, valid, jnp.nan)
            return Verdict(Judgement(best[0], best_loss, losses, stopping, old.worth, best[1]), valid, stop)

        if problem.judged_by_value:
            return decide(old)
        now = due if problem.validate is not None else self.checks.ends_epoch(place.left)
        keep = replace(old, losses=losses)
        return lax.cond(now, decide, like(decide, lambda _: Verdict(keep, unknown, no_stop)), old)

    def _of(self, batches: Float[Array, " steps_per_epoch"], numbers: Int[Array, "..."]) -> Float[Array, "..."]:
        """What of an epoch's batches belongs to the steps with these numbers."""
        return jnp.take(batches, numbers % self.problem.steps_per_epoch)

    def last_point(self, state: RunState) -> tuple[PyTree, PyTree, Status]:
        """The weights that a run results in, the model's state with them, and how it ended."""
        last_point = state.w, state.model_state
        if not self.params.return_best:
            return *last_point, state.status
        best, best_point = state.judgement.best_loss, (state.judgement.best_w, state.judgement.best_model_state)
        if not self.problem.judged_by_value:
            return *where(jnp.isfinite(best), best_point, last_point), state.status
        batch = jax.tree.map(lambda leaf: leaf[0], self.problem.load(state.step[None]))
        last, _ = self.problem.batch_objective(state.w, state.w, state.model_state, batch)
        last = lax.stop_gradient(self.problem.constraint.penalized(last, state.w))
        # A point that is lower only by rounding can have a longer gradient than the one at which the run converged.
        converged = state.status == Status.CONVERGED
        point = where((last <= best) | jnp.isinf(best) | converged, last_point, best_point)
        return *point, Status.where(state.running & ~jnp.isfinite(last), Status.DIVERGED, state.status)
