"""What every kernel here does: draw a momentum, follow a trajectory, accept its end or stay."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from equinox import AbstractVar
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from . import _tree
from ._checks import is_concrete
from ._logdensity import LogDensity, check_logdensity, value_and_gradient
from ._mass import AbstractMass
from ._trajectory import Phase
from ._tree import Position


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
        acceptance_rate: the probability that the end of the trajectory was accepted with.
        is_accepted: whether it was.
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


class AbstractKernel(eqx.Module):
    """A transition that leaves a density as it is. A pytree: its floats are leaves."""

    step_size: AbstractVar[Float[Array, ""]]
    mass: AbstractVar[AbstractMass]
    divergence_threshold: AbstractVar[float]

    def init(self, position: PyTree[Any], logdensity: LogDensity) -> HMCState:
        """The state of a chain at a position.

        Args:
            position: a pytree of floats.
            logdensity: from a position to one number; its gradient is taken by JAX.

        Returns:
            The state; differentiable in `position`.

        Raises:
            ValueError: if the mass does not fit the position, if the log density is not one number, or if it or its
                gradient is not finite there (where they have values: not inside `jit`).
            TypeError: if the position is not made of floats, or the log density is not a function.
        """
        position = _tree.as_position("position", position)
        self.mass.check(position)
        value, gradient = value_and_gradient(check_logdensity(logdensity), position)
        finite = jnp.isfinite(value) & _tree.all_finite(gradient)
        if is_concrete(finite) and not np.asarray(finite):
            raise ValueError(
                f"`position` must have a finite log density and gradient to start from, got log density {value}. "
                "Choose a position inside the support."
            )
        return HMCState(position, value, gradient)

    @abstractmethod
    def step(self, key: PRNGKeyArray, state: HMCState, logdensity: LogDensity) -> tuple[HMCState, HMCInfo]:
        """One transition."""

    @abstractmethod
    def mean_length(self) -> Float[Array, ""]:
        """The mean of the number of steps, times the step size."""

    @abstractmethod
    def most_steps(self) -> int:
        """The largest number of steps."""

    @abstractmethod
    def adapted(
        self, step_size: Float[Array, ""], trajectory_length: Float[Array, ""], mass: AbstractMass
    ) -> "AbstractKernel":
        """This kernel with what warm-up has found, as far as it has a place for it."""

    @abstractmethod
    def advance(
        self,
        key: PRNGKeyArray,
        state: HMCState,
        logdensity: LogDensity,
        jitter: Float[Array, ""],
        scale: Float[Array, ""],
    ) -> tuple[HMCState, HMCInfo]:
        """One transition of one chain among many.

        `jitter`, in (0, 1), picks the length of the trajectory. Chains that share it take equally many steps, which
        is what runs fast side by side. `scale` multiplies the step size of this chain alone, and does not change how
        many steps it takes.
        """


def transition(
    key: PRNGKeyArray,
    state: HMCState,
    mass: AbstractMass,
    follow: Callable[[Phase], Phase],
    num_steps: Int[Array, ""],
    divergence_threshold: float,
) -> tuple[HMCState, HMCInfo]:
    """A momentum, a trajectory, and the choice of Metropolis et al. (1953) between its ends."""
    noise, uniform = _tree.normal_and_uniform(key, state.position)
    start = Phase(state.position, mass.draw(noise), state.logdensity, state.logdensity_grad)
    end = follow(start)

    start_energy = start.energy(mass)
    error = end.energy(mass) - start_energy
    # Where the gradient is not finite no trajectory can start again: going there would freeze the chain.
    finite = jnp.isfinite(error) & _tree.all_finite(end.logdensity_grad)
    safe_error = jnp.where(finite, error, jnp.zeros_like(error))
    probability = jnp.where(finite, jnp.exp(jnp.minimum(-safe_error, 0.0)), jnp.zeros_like(error))
    accepted = uniform.astype(probability.dtype) < probability
    end = _tree.where(finite, end, start)

    kept = _tree.where(accepted, end, start)
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
