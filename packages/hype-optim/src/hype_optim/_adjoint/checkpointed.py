"""Reverse mode that keeps some states and computes the rest again."""

from collections.abc import Callable

import equinox as eqx
from hype_ad import checkpointed_scan
from jaxtyping import PyTree

from .._hyperparameter.converters import at_least
from .base import AbstractAdjoint, Load, Run, Solution, Step


class Checkpointed(AbstractAdjoint):
    """Exact, in any mode and to any order; the reverse pass keeps about `levels * steps**(1/levels)` states.

    Each level beyond the first costs one more forward pass in reverse mode, and nothing in a run that is not
    differentiated.

    Args:
        levels: how deep segments of steps are nested, at least 1.

    Raises:
        TypeError: if `levels` is not an integer.
        ValueError: if `levels` is below 1.
    """

    levels: int = eqx.field(static=True, converter=at_least("levels", 1), default=2)

    def solve(self, run: Run, state: PyTree, params: PyTree, gradient: Callable[[PyTree], PyTree]) -> Solution:
        """The run by `hype_ad.checkpointed_scan`."""

        def scan(step: Step, init: PyTree, xs: PyTree, load: Load) -> tuple[PyTree, PyTree]:
            return checkpointed_scan(step, init, xs, self.levels, load=load)

        return Solution(*run(scan, state, params))
