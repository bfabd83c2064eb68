from collections.abc import Callable
from typing import Any

import jax
from hype_ad import checkpointed_scan
from jaxtyping import PyTree

from .base import AbstractAdjoint


class Unrolled(AbstractAdjoint):
    """Exact, in any mode and to any order; the reverse pass keeps all that every step computed.

    The fastest, while that fits.
    """

    def scan(
        self,
        step: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
        init: PyTree,
        xs: PyTree,
        load: Callable[[Any], Any],
    ) -> tuple[PyTree, PyTree]:
        """Segments as in `Checkpointed(2)`, for `load` to bring few data at a time, but nothing is computed again."""
        return checkpointed_scan(step, init, xs, 2, load=load, policy=jax.checkpoint_policies.everything_saveable)
