from collections.abc import Callable
from typing import Any

import equinox as eqx
from hype_ad import checkpointed_scan
from jaxtyping import PyTree

from .._checks import integer
from .base import AbstractAdjoint


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

    levels: int = eqx.field(static=True)

    def __init__(self, levels: int = 2):
        self.levels = integer("levels", levels, 1)

    def scan(
        self,
        step: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
        init: PyTree,
        xs: PyTree,
        load: Callable[[Any], Any],
    ) -> tuple[PyTree, PyTree]:
        """`hype_ad.checkpointed_scan`."""
        return checkpointed_scan(step, init, xs, self.levels, load=load)
