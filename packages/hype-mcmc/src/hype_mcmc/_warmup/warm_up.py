"""Warm-up: find step size, mass and trajectory length while the chains find the bulk of the density.

All chains share one kernel, and each transition teaches it from all of them: the step size by dual averaging of the
harmonic mean of their acceptances, the mass from the draws of windows that double, the trajectory length by the
correlation of jumps and velocities. With many chains little warm-up is needed; with one it is nearly Stan's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._jitter import jitter_at
from .._kernel import AbstractKernel, HMCState
from .._key import ChainKeys
from .._logdensity import LogDensity
from .._mass import AbstractMass
from .._progress import SILENT, Reporter, Tally
from .covariance import Moments
from .schedule import Schedule, windows
from .step_size import DualAveraging, follow_acceptance, harmonic_mean
from .trajectory_length import TrajectoryLength

_CAUTIOUS_STEPS = 64  # longest trajectory before the first estimate of the mass


class _Learned(NamedTuple):
    """What warm-up has learned so far."""

    mass: AbstractMass
    moments: Moments
    step_size: DualAveraging
    log_scale: Float[Array, " chains"]
    length: TrajectoryLength


def warm_up(
    logdensity: LogDensity,
    states: HMCState,
    kernel: AbstractKernel,
    keys: ChainKeys,
    target_acceptance: Float[Array, ""],
    num_warmup: int,
    num_left: int = 0,
    report: Reporter = SILENT,
) -> tuple[HMCState, AbstractKernel, Int[Array, ""]]:
    """Adapt a kernel.

    Args:
        logdensity: what is sampled.
        states: where the chains start, along the leading axis.
        kernel: where adaptation starts.
        keys: one for each chain.
        target_acceptance: the harmonic mean of the chains' acceptance probabilities that the step size is made for.
        num_warmup: transitions.
        num_left: transitions that come after them.
        report: what shows the progress.

    Returns:
        Where the chains are, the adapted kernel, and how many steps of the integrator all chains together took.
    """
    dtype = kernel.step_size.dtype
    most_steps = kernel.most_steps()
    target_acceptance = target_acceptance.astype(dtype)
    one_position = jax.tree.map(lambda x: x[0], states.position)

    def transition(
        carry: tuple[HMCState, _Learned, Int[Array, ""], Tally | None], x: tuple[Int[Array, ""], Schedule]
    ) -> tuple[tuple[HMCState, _Learned, Int[Array, ""], Tally | None], None]:
        (states, learned, total_steps, tally), (t, now) = carry, x
        step_size = jnp.exp(learned.step_size.log_step)
        # Lengths are spread to twice their mean.
        longest = jnp.where(now.cautious, min(_CAUTIOUS_STEPS, most_steps), most_steps) * step_size / 2
        length = jnp.minimum(jnp.exp(learned.length.log_length), longest)
        current = kernel.adapted(step_size, length, learned.mass)

        jitter = jitter_at(t, dtype)
        chain_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, t)
        after, info = jax.vmap(lambda key, state, scale: current.advance(key, state, logdensity, jitter, scale))(
            chain_keys, states, jnp.exp(learned.log_scale)
        )

        acceptance = info.acceptance_rate.astype(dtype)
        length = learned.length.update(learned.mass, states.position, after.position, info, step_size / 4, longest)
        learned = _Learned(
            learned.mass,
            jax.lax.cond(
                now.collect,
                lambda: learned.moments.update(learned.mass, after.position),
                lambda: learned.moments,
            ),
            learned.step_size.update(harmonic_mean(acceptance), target_acceptance),
            jnp.where(now.cautious, follow_acceptance(learned.log_scale, acceptance), 0.0),
            jax.tree.map(lambda new, old: jnp.where(now.lengthen, new, old), length, learned.length),
        )
        learned = jax.lax.cond(now.close, _close_window, lambda learned: learned, learned)
        total_steps = total_steps + jnp.sum(info.num_integration_steps, dtype=jnp.int32)
        left = num_left + num_warmup - 1 - t
        tally = report.step(tally, "warm-up", left, info.acceptance_rate, info.is_divergent)
        return (after, learned, total_steps, tally), None

    start = _Learned(
        kernel.mass,
        Moments.start(kernel.mass, one_position),
        DualAveraging.start(jnp.log(kernel.step_size)),
        jnp.zeros(states.logdensity.shape, dtype),
        TrajectoryLength.start(kernel.mean_length().astype(dtype), one_position),
    )
    times = jnp.arange(num_warmup, dtype=jnp.int32)
    (states, learned, total_steps, _), _ = jax.lax.scan(
        transition,
        (states, start, jnp.zeros((), jnp.int32), report.start),
        (times, jax.tree.map(jnp.asarray, windows(num_warmup))),
    )
    step_size = jnp.exp(learned.step_size.log_average)
    return states, kernel.adapted(step_size, jnp.exp(learned.length.log_average), learned.mass), total_steps


def _close_window(learned: _Learned) -> _Learned:
    mass = learned.mass.adapted(learned.moments.covariance(), learned.moments.count)
    position = learned.moments.mean
    return _Learned(
        mass,
        Moments.start(mass, position),
        DualAveraging.start(learned.step_size.log_average),
        learned.log_scale,
        learned.length.restart(learned.mass, mass),
    )
