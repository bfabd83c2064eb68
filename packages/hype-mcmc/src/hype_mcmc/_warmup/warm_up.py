"""Warm-up: find step size, mass and trajectory length while the chains find the bulk of the density.

All chains share one kernel, and each transition teaches it from all of them: the step size by dual averaging of the
harmonic mean of their acceptances, the mass from the draws of windows that double, the trajectory length by the
correlation of jumps and velocities. With many chains little warm-up is needed; with one it is nearly Stan's.

Where it may end before its time, it looks at its latest transitions each time a block of them is full. If the chains
agree and the window has draws enough for the mass, the window is closed and the end follows at once.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.while_loop import bounded_while_loop
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._custom_types import ChainKeys, LogDensity
from .._draws import Spent, advance
from .._kernel import AbstractAdaptiveKernel
from .._mass import AbstractMass
from .._position import first_of
from .._progress import Reporter, Tally
from .._samples import SamplerState
from .._transition import HMCState
from .agreement import BLOCK, Agreement, draws_wanted
from .schedule import stop_of, windows
from .step_size import DualAveraging, follow_acceptance, harmonic_mean
from .trajectory_length import TrajectoryLength

_SHORT_STEPS = 32  # of the longest trajectory before the mass is known well


class Warmup(eqx.Module):
    """What warm-up is told."""

    keys: ChainKeys  # what each chain draws from
    target_acceptance: Float[Array, ""]  # the harmonic mean over the chains that the step size is made for
    num_transitions: int = eqx.field(static=True)
    may_end: bool = eqx.field(static=True)  # before that, if nothing more is to be learned


class _Learned(NamedTuple):
    """What warm-up has learned so far."""

    mass: AbstractMass
    statistics: PyTree[Float[Array, "..."]]  # what the mass is estimated from
    step_size: DualAveraging
    log_scale: Float[Array, " chains"]
    length: TrajectoryLength


class _Carry(NamedTuple):
    """What goes from one transition of warm-up to the next."""

    t: Int[Array, ""]  # of the schedule, some of which may be left out
    chains: HMCState
    learned: _Learned
    agreement: Agreement | None  # if it matters
    spent: Spent
    tally: Tally | None


def warm_up(
    logdensity: LogDensity, state: SamplerState, warmup: Warmup, num_left: int, report: Reporter
) -> tuple[SamplerState, Spent]:
    """Adapt the kernel of a state, with `num_left` transitions to come after: the state with the adapted kernel."""
    kernel = cast(AbstractAdaptiveKernel, state.kernel)
    num_transitions, most_steps = warmup.num_transitions, kernel.length.most_steps()
    stop = stop_of(num_transitions)
    dtype = kernel.step_size.dtype
    target_acceptance = warmup.target_acceptance.astype(dtype)
    one_position = first_of(state.chains.position)
    num_chains, wanted = state.keys.shape[0], draws_wanted(kernel.mass, one_position)

    def is_enough(agreement: Agreement, seen: Int[Array, ""]) -> Bool[Array, ""]:
        asked = (seen % BLOCK == 0) & (seen * num_chains >= wanted)
        return jax.lax.cond(asked, Agreement.is_reached, lambda _: jnp.asarray(False), agreement)

    def transition(carry: _Carry, now: Any) -> _Carry:
        t, chains, learned, agreement, spent, tally = carry
        step_size = jnp.exp(learned.step_size.log_step)
        # Lengths are spread to twice their mean.
        longest = jnp.where(now.short, min(_SHORT_STEPS, most_steps), most_steps) * step_size / 2
        length = jnp.minimum(jnp.exp(learned.length.log_length), longest)
        current = _adapted(kernel, step_size, length, learned.mass)
        after, info = advance(current, warmup.keys, t, chains, logdensity, jnp.exp(learned.log_scale))

        acceptance = info.acceptance_rate.astype(dtype)
        least = jnp.where(now.cautious, 0.0, kernel.least_length).astype(dtype)
        length = learned.length.update(
            learned.mass, chains.position, after.position, info, step_size / 4, longest, least
        )
        learned = _Learned(
            learned.mass,
            jax.lax.cond(
                now.collect,
                lambda: learned.mass.update(learned.statistics, after.position, after.logdensity_grad),
                lambda: learned.statistics,
            ),
            learned.step_size.update(harmonic_mean(acceptance), target_acceptance),
            jnp.where(now.cautious, follow_acceptance(learned.log_scale, acceptance), 0.0),
            length if stop else learned.length,
        )
        agreement = None if agreement is None else agreement.update(after)
        ends = jnp.asarray(False) if agreement is None else is_enough(agreement, now.seen)
        next_t = jnp.where(ends, stop, t + 1)
        learned = jax.lax.cond(
            now.close | ends, _close_window, lambda learned, is_last: learned, learned, next_t >= stop
        )
        steps = jnp.sum(info.num_integration_steps, dtype=jnp.int32)
        spent = Spent(spent.steps + steps, spent.transitions + 1)
        left = num_left + num_transitions - 1 - t
        tally = report.step(tally, "warm-up", left, info.acceptance_rate, info.is_divergent)
        return _Carry(next_t, after, learned, agreement, spent, tally)

    first = _Learned(
        kernel.mass,
        kernel.mass.statistics(one_position),
        DualAveraging.start(jnp.log(kernel.step_size)),
        jnp.zeros(num_chains, dtype),
        TrajectoryLength.start(kernel.length.mean_length(kernel.step_size).astype(dtype), one_position),
    )
    agreement = Agreement.start(state.chains) if warmup.may_end else None
    first_t = jnp.zeros((), jnp.int32)
    carry = _repeat(transition, _Carry(first_t, state.chains, first, agreement, Spent.nothing(), report.start), warmup)
    learned = carry.learned
    step_size, length = jnp.exp(learned.step_size.log_average), jnp.exp(learned.length.log_average)
    kernel = _adapted(kernel, step_size, length, learned.mass)
    return SamplerState(carry.chains, kernel, state.keys, state.iteration), carry.spent


def _repeat(transition: Callable[[_Carry, Any], _Carry], carry: _Carry, warmup: Warmup) -> _Carry:
    """Go through the schedule, or as much of it as is needed."""
    schedule = jax.tree.map(jnp.asarray, windows(warmup.num_transitions))
    if not warmup.may_end:
        return jax.lax.scan(lambda carry, now: (transition(carry, now), None), carry, schedule)[0]
    at = lambda t: jax.tree.map(lambda part: part[t], schedule)
    is_left = lambda carry: carry.t < warmup.num_transitions
    return bounded_while_loop(is_left, lambda carry: transition(carry, at(carry.t)), carry, warmup.num_transitions)


def _adapted(
    kernel: AbstractAdaptiveKernel, step_size: Float[Array, ""], mean_length: Float[Array, ""], mass: AbstractMass
) -> AbstractAdaptiveKernel:
    parts = (step_size, mass, kernel.length.adapted(mean_length))
    return eqx.tree_at(lambda kernel: (kernel.step_size, kernel.mass, kernel.length), kernel, parts)


def _close_window(learned: _Learned, is_last: Bool[Array, ""]) -> _Learned:
    mass = learned.mass.adapted(learned.statistics)
    return _Learned(
        mass,
        jax.tree.map(jnp.zeros_like, learned.statistics),
        DualAveraging.start(learned.step_size.log_average),
        learned.log_scale,
        learned.length.restart(learned.mass, mass, is_last),
    )
