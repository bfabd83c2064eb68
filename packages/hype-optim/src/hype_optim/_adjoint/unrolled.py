"""Reverse mode that keeps all that every step computed."""

from collections.abc import Callable

from jaxtyping import PyTree

from .base import AbstractAdjoint, Run, Solution
from .checkpointed import Checkpointed


class Unrolled(AbstractAdjoint):
    """Exact, in any mode and to any order; the reverse pass keeps all that every step computed.

    The fastest, as long as that fits not only the memory but the processor's cache: beyond that `Checkpointed(2)`,
    which computes each step twice but touches little memory, is faster (on a CPU, from some 50 MB). All batches of a
    training are loaded at once, also in a run that is not differentiated.
    """

    def solve(self, run: Run, state: PyTree, params: PyTree, gradient: Callable[[PyTree], PyTree]) -> Solution:
        """The run by `lax.scan`: a scan of scans would copy what it keeps once more."""
        return Checkpointed(1).solve(run, state, params, gradient)
