"""Warm-up: find step size, mass and trajectory length while the chains find the bulk of the density.

All chains share one kernel, and each transition teaches it from all of them: the step size by dual averaging of the
harmonic mean of their acceptances, the mass from the draws of windows that double, the trajectory length by the
correlation of jumps and velocities. With many chains little warm-up is needed; with one it is nearly Stan's.
"""

from typing import NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.tree import where
from jaxtyping import Array, Float, Int, PyTree

from .._custom_types import ChainKeys, LogDensity
from .._draws import advance
from .._kernel import AbstractAdaptiveKernel
from .._mass import AbstractMass
from .._position import first_of
from .._progress import Reporter, Tally
from .._samples import SamplerState
from .._transition import HMCState
from .schedule import Schedule, windows
from .step_size import DualAveraging, follow_acceptance, harmonic_mean
from .trajectory_length import TrajectoryLength

_CAUTIOUS_STEPS = 64  # longest trajectory before the first estimate of the mass


class Warmup(eqx.Module):
    """What warm-up is told."""

    keys: ChainKeys  # what each chain draws from
    target_acceptance: Float[Array, ""]  # the harmonic mean over the chains that the step size is made for
    num_transitions: int = eqx.field(static=True)


class _Learned(NamedTuple):
    """What warm-up has learned so far."""

    mass: AbstractMass
    statistics: PyTree[Float[Array, "..."]]  # what the mass is estimated from
    step_size: DualAveraging
    log_scale: Float[Array, " chains"]
    length: TrajectoryLength


class _Carry(NamedTuple):
    """What goes from one transition of warm-up to the next."""

    chains: HMCState
    learned: _Learned
    total_steps: Int[Array, ""]
    tally: Tally | None


def warm_up(
    logdensity: LogDensity, state: SamplerState, warmup: Warmup, num_left: int, report: Reporter
) -> tuple[SamplerState, Int[Array, ""]]:
    """Adapt the kernel of a state, with `num_left` transitions to come after.

    Returns the state with the adapted kernel, and how many steps of the integrator all chains together took.
    """
    kernel = cast(AbstractAdaptiveKernel, state.kernel)
    num_transitions, most_steps = warmup.num_transitions, kernel.length.most_steps()
    dtype = kernel.step_size.dtype
    target_acceptance = warmup.target_acceptance.astype(dtype)
    one_position = first_of(state.chains.position)

    def transition(carry: _Carry, x: tuple[Int[Array, ""], Schedule]) -> tuple[_Carry, None]:
        (chains, learned, total_steps, tally), (t, now) = carry, x
        step_size = jnp.exp(learned.step_size.log_step)
        # Lengths are spread to twice their mean.
        longest = jnp.where(now.cautious, min(_CAUTIOUS_STEPS, most_steps), most_steps) * step_size / 2
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
            where(jnp.asarray(now.lengthen), length, learned.length),
        )
        learned = jax.lax.cond(now.close, _close_window, lambda learned: learned, learned)
        total_steps = total_steps + jnp.sum(info.num_integration_steps, dtype=jnp.int32)
        left = num_left + num_transitions - 1 - t
        tally = report.step(tally, "warm-up", left, info.acceptance_rate, info.is_divergent)
        return _Carry(after, learned, total_steps, tally), None

    first = _Learned(
        kernel.mass,
        kernel.mass.statistics(one_position),
        DualAveraging.start(jnp.log(kernel.step_size)),
        jnp.zeros(state.keys.shape[0], dtype),
        TrajectoryLength.start(kernel.length.mean_length(kernel.step_size).astype(dtype), one_position),
    )
    times = jnp.arange(num_transitions, dtype=jnp.int32), jax.tree.map(jnp.asarray, windows(num_transitions))
    carry = _Carry(state.chains, first, jnp.zeros((), jnp.int32), report.start)
    (chains, learned, total_steps, _), _ = jax.lax.scan(transition, carry, times)
    step_size, length = jnp.exp(learned.step_size.log_average), jnp.exp(learned.length.log_average)
    kernel = _adapted(kernel, step_size, length, learned.mass)
    return SamplerState(chains, kernel, state.keys, state.iteration), total_steps


def _adapted(
    kernel: AbstractAdaptiveKernel, step_size: Float[Array, ""], mean_length: Float[Array, ""], mass: AbstractMass
) -> AbstractAdaptiveKernel:
    parts = (step_size, mass, kernel.length.adapted(mean_length))
    return eqx.tree_at(lambda kernel: (kernel.step_size, kernel.mass, kernel.length), kernel, parts)


def _close_window(learned: _Learned) -> _Learned:
    mass = learned.mass.adapted(learned.statistics)
    return _Learned(
        mass,
        jax.tree.map(jnp.zeros_like, learned.statistics),
        DualAveraging.start(learned.step_size.log_average),
        learned.log_scale,
        learned.length.restart(learned.mass, mass),
    )
