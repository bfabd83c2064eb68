"""Whether a run that goes on is on the problem that its best weights were judged by, and if not, judging them anew.

Two objectives can only be told apart by their values. So the best weights are evaluated once more when a run goes on.
What they are worth now is what they were worth then to rounding, if nothing has changed, and then the judgement stays
as it is, so that the run goes on bit for bit.
"""

from dataclasses import replace

import jax.numpy as jnp
from hype_ad.internal.tree import where
from jaxtyping import Array, Float

from .._config.params import Params
from .._transform.stop_gradient import call_stopped
from .problem import Problem
from .state import Judgement, RunState


def judged_by(problem: Problem, state: RunState, fresh: RunState) -> RunState:
    """The state of a run to go on with, its judgement being by this problem."""
    old, now = state.judgement, _worth(problem, state.judgement)
    close = jnp.isclose(now, old.worth, rtol=float(jnp.finfo(now.dtype).eps) ** 0.75, atol=0, equal_nan=True)
    same = close | jnp.isinf(old.worth)
    again = now if _is_judged_by_worth(problem) else jnp.full_like(now, jnp.inf)
    best_loss = jnp.where(same, old.best_loss, jnp.where(jnp.isnan(again), jnp.inf, again))
    stopping = where(same, old.stopping, fresh.judgement.stopping)
    return replace(state, judgement=replace(old, best_loss=best_loss, stopping=stopping))


def with_worth(problem: Problem, params: Params, state: RunState, loss: Float[Array, ""]) -> RunState:
    """The state at the end of a run whose result has the objective `loss`, for `judged_by` to compare with."""
    judgement = state.judgement
    if not params.return_best and judgement.stopping is None:
        return state
    if params.return_best and _is_judged_by_worth(problem):
        worth = judgement.best_loss
    elif params.return_best and not problem.judged_by_value:  # the result is the best weights
        worth = loss.astype(judgement.worth.dtype)
    else:
        worth = _worth(problem, judgement)
    return replace(state, judgement=replace(judgement, worth=worth))


def _is_judged_by_worth(problem: Problem) -> bool:
    """Whether the best loss is what the weights are worth, not a mean over steps or of a model in training."""
    return problem.validate is not None or (problem.judged_by_value and not problem.is_training)


def _worth(problem: Problem, judgement: Judgement) -> Float[Array, ""]:
    judge = problem.total if problem.validate is None else problem.validate
    return call_stopped(judge, judgement.best_w, judgement.best_model_state).astype(judgement.worth.dtype)
