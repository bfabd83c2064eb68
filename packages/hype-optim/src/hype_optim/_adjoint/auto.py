"""The adjoint chosen by what fits and by what is perturbed."""

from collections.abc import Callable

import equinox as eqx
from hype_ad import checkpointed_scan
from hype_ad.internal.closing import closure_convert
from jaxtyping import PyTree

from .._hyperparameter.converters import at_least
from .._transform.forward_if_few import forward_if_few
from .base import AbstractAdjoint, Load, Run, Solution, Step
from .recomputing import CACHE, Sizes, alone, sizes

DEEPEST = 8


class Auto(AbstractAdjoint):
    r"""Forward mode for few numbers; else the fastest of `Unrolled()` and `Checkpointed(levels)` that fits a budget.

    Exact, in any mode and to any order. The budget decides when a run is compiled, by what can be known then: its $T$
    steps, the bytes $s$ of its state, and the bytes $r$ that the derivative of one step keeps, which are found by
    tracing (not running) that derivative. `Unrolled` is taken to keep $T r$ bytes, and $L$ levels $T^{1/L} (L s + r)$,
    or with single steps as the innermost of them, where that is less, $(L - 1) T^{1/(L - 1)} s + r$.
    `Unrolled` is chosen where it keeps at most 64 MB, since more than fits a cache takes longer to move than to compute
    again; else the fewest levels that keep at most `memory`; else, where none do, those that keep least. The data, the
    model and the copies of a `vmap` are not counted. `Reversible` is never chosen: it has no forward mode and no second
    derivatives, and a run under it is another one in its last digits.

    If at most `max(2, levels)` scalars are perturbed, even `jax.grad` uses forward mode inside: on a CPU, $k$ tangents
    take about as long as $k$ levels (`Unrolled` no less than two), need $k$ more states and store nothing per step.
    Scalars are counted where they enter the loop, with all entries of arrays: a `Constant` rate is one; a factor that
    multiplies a `StepSchedule` or the first weights outside of the run counts as many as these have. Where the caller
    uses forward mode, such as `jax.jvp` along one direction in $k$ such scalars, it costs $k$ tangents instead of one.

    Args:
        memory: the budget in bytes, at least 1.

    Raises:
        TypeError: if `memory` is not an integer.
        ValueError: if `memory` is below 1.
    """

    memory: int = eqx.field(static=True, converter=at_least("memory", 1), default=2**30)

    def solve(self, run: Run, state: PyTree, params: PyTree, gradient: Callable[[PyTree], PyTree]) -> Solution:
        """The run by segments of steps, with a derivative as chosen."""
        return Solution(*run(self._scan, state, params))

    def _scan(self, step: Step, init: PyTree, xs: PyTree, load: Load) -> tuple[PyTree, PyTree]:
        known = sizes(step, init, xs, load)
        levels = self.levels(*known)

        def scan(levels: int, single: bool) -> Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]:
            made = alone(step) if single else step
            run = lambda init, xs: checkpointed_scan(made, init, xs, levels, load=load, single_steps=single)
            return closure_convert(run, init, xs)

        # A run that keeps nothing need not load all data at once, as one that is not cut into segments does.
        few, single = max(2, levels), known.are_single(levels)
        segments = scan(few, False)
        other = segments if levels == few and not single else scan(levels, single)
        return forward_if_few(segments, other, few, init, xs)

    def levels(self, steps: int, state: int, kept: int) -> int:
        """How deep to nest, if the state has `state` bytes and a step's derivative keeps `kept`; 1 is not at all."""
        known = Sizes(steps, state, kept)
        if known.needed(1) <= min(CACHE, self.memory):
            return 1
        need = {n: known.needed(n) for n in range(2, DEEPEST + 1)}
        return next((n for n, size in need.items() if size <= self.memory), min(need, key=lambda n: need[n]))
