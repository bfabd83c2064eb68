"""A transition of Hamiltonian Monte Carlo: draw a momentum, follow a trajectory, accept its end or stay."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.tree import all_finite, where
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ._custom_types import Position
from ._dynamics import Phase
from ._mass import AbstractMass
from ._random import normal_and_uniform


class HMCState(eqx.Module):
    """Where a chain is. Fields are named as BlackJAX names them.

    Attributes:
        position: the position.
        logdensity: the log density there.
        logdensity_grad: its gradient there.
    """

    position: Position
    logdensity: Float[Array, ""]
    logdensity_grad: Position


class HMCInfo(eqx.Module):
    """What happened in a transition. Fields are named as BlackJAX names them.

    All but the flags and the count are differentiable in the step size, the mass and the position the state was made
    from.

    Attributes:
        momentum: the momentum that was drawn.
        acceptance_rate: the Metropolis acceptance probability of the proposal.
        is_accepted: whether it was accepted.
        is_divergent: whether the energy error was above the kernel's threshold, or not a number.
        energy: the Hamiltonian of the state that the chain went to, with the momentum that brought it there.
        energy_error: how much the Hamiltonian grew along the trajectory; infinity where it was not finite.
        proposal: the end of the trajectory, or its start where the end was not finite.
        num_integration_steps: steps of the integrator.
    """

    momentum: Position
    acceptance_rate: Float[Array, ""]
    is_accepted: Bool[Array, ""]
    is_divergent: Bool[Array, ""]
    energy: Float[Array, ""]
    energy_error: Float[Array, ""]
    proposal: Phase
    num_integration_steps: Int[Array, ""]


def transition(
    key: PRNGKeyArray,
    state: HMCState,
    mass: AbstractMass,
    follow: Callable[[Phase], Phase],
    num_steps: Int[Array, ""],
    divergence_threshold: float,
) -> tuple[HMCState, HMCInfo]:
    """A momentum, a trajectory, and the choice of Metropolis et al. (1953) between its ends."""
    noise, uniform = normal_and_uniform(key, state.position)
    start = Phase(state.position, mass.draw(noise), state.logdensity, state.logdensity_grad)
    end = follow(start)

    start_energy = start.energy(mass)
    error = end.energy(mass) - start_energy
    # Where the gradient is not finite no trajectory can start again: going there would freeze the chain.
    finite = jnp.isfinite(error) & all_finite(end.logdensity_grad)
    safe_error = jnp.where(finite, error, jnp.zeros_like(error))
    probability = jnp.where(finite, jnp.exp(jnp.minimum(-safe_error, 0.0)), jnp.zeros_like(error))
    accepted = uniform.astype(probability.dtype) < probability
    end = where(finite, end, start)

    kept = where(accepted, end, start)
    info = HMCInfo(
        momentum=start.momentum,
        acceptance_rate=probability,
        is_accepted=accepted,
        is_divergent=~finite | (error > divergence_threshold),
        energy=start_energy + jnp.where(accepted, safe_error, jnp.zeros_like(error)),
        energy_error=jnp.where(finite, error, jnp.full_like(error, jnp.inf)),
        proposal=end,
        num_integration_steps=num_steps,
    )
    return HMCState(kept.position, kept.logdensity, kept.logdensity_grad), info
