"""Derivatives through the last steps of a run."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad import checkpointed_scan
from jaxtyping import PyTree

from .._hyperparameter.converters import at_least
from .._transform.stop_gradient import call_stopped
from .base import AbstractAdjoint, Load, Run, Solution, Step, number_of_steps
from .recomputing import recomputing_scan


class Truncated(AbstractAdjoint):
    """Derivatives through the last `steps` steps only, as if the run had begun there at weights that were given.

    They are exact for those steps, in any mode and to any order, and cost what a run of that many steps costs; what
    came before is never differentiated. The influence that hyperparameters and data have through earlier steps, and
    that of the first weights, is missing: a truncated hypergradient is biased towards what pays off within `steps`
    steps (Wu et al. 2018, "Understanding short-horizon bias in stochastic meta-optimization"; Shaban et al. 2019,
    "Truncated back-propagation for bilevel optimization"). With at least as many `steps` as the run makes it is exact.

    The last steps are those of the plan: where a run stopped more than `steps` steps before its end, or its best
    point (`Params.return_best`) is that old, nothing is left to differentiate.

    Args:
        steps: how many, at least 1.

    Raises:
        TypeError: if `steps` is not an integer.
        ValueError: if `steps` is below 1.
    """

    assumption: ClassVar[str] = "Under `Truncated` what comes of earlier steps is missing."

    steps: int = eqx.field(static=True, converter=at_least("steps", 1))

    def solve(self, run: Run, state: PyTree, params: PyTree, gradient: Callable[[PyTree], PyTree]) -> Solution:
        """The run by two scans, the first of them held constant."""
        return Solution(*run(self._scan, state, params))

    def _scan(self, step: Step, init: PyTree, xs: PyTree, load: Load) -> tuple[PyTree, PyTree]:
        scan = partial(recomputing_scan, 2, step, load=load)
        before = max(0, number_of_steps(xs) - self.steps)
        if before == 0:
            return scan(init, xs)
        early, late = (jax.tree.map(lambda x, part=part: x[part], xs) for part in (slice(before), slice(before, None)))
        state, first = call_stopped(partial(checkpointed_scan, step, load=load), init, early)
        state, last = scan(state, late)
        return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)
