"""A transition of Hamiltonian Monte Carlo: draw a momentum, follow a trajectory, accept its end or stay."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import known
from hype_ad.internal.tree import all_finite, where
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray, PyTree

from ._adjoint import AbstractTrajectoryAdjoint
from ._custom_types import LogDensity, Position
from ._dynamics import Dynamics, Phase
from ._logdensity import check_logdensity, value_and_gradient
from ._mass import AbstractMass
from ._position import as_position
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


def init(mass: AbstractMass, position: PyTree[ArrayLike], logdensity: LogDensity) -> HMCState:
    """The state of a chain at a position, with the checks that `HMC.init` says."""
    position = as_position("position", position)
    mass.check(position)
    value, gradient = value_and_gradient(check_logdensity(logdensity), position)
    finite = jnp.isfinite(value) & all_finite(gradient)
    if known(finite) and not np.asarray(finite):
        raise ValueError(
            f"`position` must have a finite log density and gradient to start from, got log density {value}. "
            "Choose a position inside the support."
        )
    return HMCState(position, value, gradient)


def transition(
    key: PRNGKeyArray,
    state: HMCState,
    dynamics: Dynamics,
    num_steps: int | Int[Array, ""],
    adjoint: AbstractTrajectoryAdjoint,
    divergence_threshold: float,
) -> tuple[HMCState, HMCInfo]:
    """A momentum, a trajectory, and the choice of Metropolis et al. (1953) between its ends."""
    noise, uniform = normal_and_uniform(key, state.position)
    start = Phase(state.position, dynamics.mass.draw(noise), state.logdensity, state.logdensity_grad)
    end = adjoint.trajectory(start, dynamics, num_steps)

    start_energy = start.energy(dynamics.mass)
    error = end.energy(dynamics.mass) - start_energy
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
        num_integration_steps=jnp.asarray(num_steps, jnp.int32),
    )
    return HMCState(kept.position, kept.logdensity, kept.logdensity_grad), info
