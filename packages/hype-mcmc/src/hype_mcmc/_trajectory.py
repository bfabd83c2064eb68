"""Following Hamilton's equations for a number of steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad import checkpointed_scan
from jaxtyping import Array, Float, Int

from . import _tree
from ._integrator import Integrator
from ._logdensity import LogDensity, value_and_gradient
from ._mass import AbstractMass, kinetic_energy
from ._tree import Position

_FEW_STEPS = 64  # so few states are kept as they are: to run them again would cost more than it saves


class Phase(eqx.Module):
    """A point of phase space, with what has been computed there. Named as BlackJAX names it.

    Attributes:
        position: where.
        momentum: with what momentum.
        logdensity: the log density there.
        logdensity_grad: its gradient there.
    """

    position: Position
    momentum: Position
    logdensity: Float[Array, ""]
    logdensity_grad: Position

    def energy(self, mass: AbstractMass) -> Float[Array, ""]:
        """The Hamiltonian: minus the log density, plus the kinetic energy."""
        return kinetic_energy(mass, self.momentum).astype(self.logdensity.dtype) - self.logdensity


def step(
    phase: Phase, logdensity: LogDensity, step_size: Float[Array, ""], mass: AbstractMass, integrator: Integrator
) -> Phase:
    """One step of the integrator; the gradient at its start is taken from `phase`."""
    q, value, gradient = phase.position, phase.logdensity, phase.logdensity_grad
    p = _tree.axpy(integrator.kicks[0] * step_size, gradient, phase.momentum)
    for drift, kick in zip(integrator.drifts, integrator.kicks[1:], strict=True):
        q = _tree.axpy(drift * step_size, mass.velocity(p), q)
        value, gradient = value_and_gradient(logdensity, q)
        p = _tree.axpy(kick * step_size, gradient, p)
    return Phase(q, p, value, gradient)


def fixed_trajectory(
    phase: Phase,
    logdensity: LogDensity,
    step_size: Float[Array, ""],
    mass: AbstractMass,
    integrator: Integrator,
    num_steps: int,
) -> Phase:
    """A known number of steps: differentiable in every mode to any order, with about `2 sqrt(num_steps)` states."""
    end, _ = checkpointed_scan(
        lambda phase, _: (step(phase, logdensity, step_size, mass, integrator), None),
        phase,
        length=num_steps,
        levels=1 if num_steps <= _FEW_STEPS else 2,
    )
    return end


def counted_trajectory(
    phase: Phase,
    logdensity: LogDensity,
    step_size: Float[Array, ""],
    mass: AbstractMass,
    integrator: Integrator,
    num_steps: Int[Array, ""],
) -> Phase:
    """A number of steps that is only known when the program runs: a `while_loop`, so without reverse mode."""
    return jax.lax.fori_loop(
        jnp.zeros((), num_steps.dtype),
        num_steps,
        lambda _, phase: step(phase, logdensity, step_size, mass, integrator),
        phase,
    )
