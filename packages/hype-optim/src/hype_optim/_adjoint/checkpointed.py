"""Reverse mode that keeps some states and computes the rest again."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
from jaxtyping import PyTree

from .._hyperparameter.converters import at_least
from .base import AbstractAdjoint, Run, Solution
from .recomputing import recomputing_scan


class Checkpointed(AbstractAdjoint):
    """Exact, in any mode and to any order; the reverse pass keeps about `levels * steps**(1/levels)` states.

    Each level beyond the first costs one more forward pass in reverse mode, and nothing in a run that is not
    differentiated. Within an innermost segment all is kept that its steps compute. Where that is more than 64 MB, and
    single steps as the innermost level would keep clearly less (deep models, whose steps compute tens of times their
    state), they are the innermost level: `levels=2` then keeps one state for each step, `levels=3` about `2 *
    steps**(1/2)`, and all of them what one step computes. The bytes are found by tracing the derivative of a step.

    Args:
        levels: how deep segments of steps are nested, at least 1.

    Raises:
        TypeError: if `levels` is not an integer.
        ValueError: if `levels` is below 1.
    """

    levels: int = eqx.field(static=True, converter=at_least("levels", 1), default=2)

    def solve(self, run: Run, state: PyTree, params: PyTree, gradient: Callable[[PyTree], PyTree]) -> Solution:
        """The run by `hype_ad.checkpointed_scan`."""
        return Solution(*run(partial(recomputing_scan, self.levels), state, params))
