from collections.abc import Callable
from typing import Any

from hype_ad import checkpointed_scan
from jaxtyping import PyTree

from .base import AbstractAdjoint


class Unrolled(AbstractAdjoint):
    """Exact, in any mode and to any order; the reverse pass keeps all that every step computed.

    The fastest, as long as that fits not only the memory but the processor's cache: beyond that `Checkpointed(2)`,
    which computes each step twice but touches little memory, is faster (on a CPU, from some 50 MB). All batches of a
    training are loaded at once, also in a run that is not differentiated.
    """

    def scan(
        self,
        step: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
        init: PyTree,
        xs: PyTree,
        load: Callable[[Any], Any],
    ) -> tuple[PyTree, PyTree]:
        """`lax.scan`: a scan of scans would copy what it keeps once more."""
        return checkpointed_scan(step, init, xs, 1, load=load)
