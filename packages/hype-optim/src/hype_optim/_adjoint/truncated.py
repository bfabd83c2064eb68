from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad import checkpointed_scan
from jaxtyping import PyTree

from .._checks import integer
from .base import AbstractAdjoint, number_of_steps
from .held import held_constant


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

    steps: int = eqx.field(static=True)

    def __init__(self, steps: int):
        self.steps = integer("steps", steps, 1)

    def scan(
        self,
        step: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
        init: PyTree,
        xs: PyTree,
        load: Callable[[Any], Any],
    ) -> tuple[PyTree, PyTree]:
        """Two scans, the first of them held constant."""
        before = max(0, number_of_steps(xs) - self.steps)
        if before == 0:
            return checkpointed_scan(step, init, xs, load=load)
        early, late = (jax.tree.map(lambda x, part=part: x[part], xs) for part in (slice(before), slice(before, None)))
        state, first = held_constant(lambda init, xs: checkpointed_scan(step, init, xs, load=load), init, early)
        state, last = checkpointed_scan(step, state, late, load=load)
        return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)
