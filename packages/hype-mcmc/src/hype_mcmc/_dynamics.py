"""Hamilton's equations, and steps of a symplectic integrator along them."""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox.internal import nondifferentiable_backward
from hype_ad import checkpointed_scan
from hype_ad.internal.tree import axpy
from jaxtyping import Array, Float, Int

from ._custom_types import Position
from ._integrator import Integrator
from ._logdensity import value_and_gradient
from ._mass import AbstractMass, kinetic_energy

Carry = TypeVar("Carry")

_FEW_STEPS = 64  # so few states are kept as they are: to run them again would cost more than it saves

_NO_REVERSE_MODE = (
    "Reverse mode does not go back along trajectories whose number of steps is found while they run, those of a "
    "`RandomLength`, which `sample` uses if no `kernel` is given, and of `RefinedHMC`. For the derivative of an "
    "expectation use `expectation(g, run, logdensity)`, which takes the draws as they are. For that of the draws use "
    "forward mode (`jax.jvp`, `jax.jacfwd`), or `num_warmup=0` and either `HMC(step_size, num_steps)` or "
    "`adjoint=ReversibleTrajectory()`."
)


class Phase(eqx.Module):
    """A point of phase space, with what has been computed there. Named as BlackJAX names it.

    Attributes:
        position: the position.
        momentum: the momentum.
        logdensity: the log density at the position.
        logdensity_grad: its gradient there.
    """

    position: Position
    momentum: Position
    logdensity: Float[Array, ""]
    logdensity_grad: Position

    def energy(self, mass: AbstractMass) -> Float[Array, ""]:
        """The Hamiltonian: minus the log density, plus the kinetic energy."""
        return kinetic_energy(mass, self.momentum).astype(self.logdensity.dtype) - self.logdensity


class Dynamics(eqx.Module):
    """What a trajectory follows: the Hamiltonian of a log density and a mass, discretized.

    Attributes:
        logdensity: the log density.
        mass: the mass matrix.
        step_size: the length of a step.
        integrator: the coefficients of the kicks and drifts that a step is made of.
    """

    logdensity: Any  # a `LogDensity`; None in the cotangent of one without arrays
    mass: AbstractMass
    step_size: Float[Array, ""]
    integrator: Integrator

    def step(self, phase: Phase) -> Phase:
        """One step of the integrator; the gradient at its start is taken from `phase`."""
        q, value, gradient = phase.position, phase.logdensity, phase.logdensity_grad
        p = kick(self.integrator.kicks[0] * self.step_size, gradient, phase.momentum)
        for a, b in zip(self.integrator.drifts, self.integrator.kicks[1:], strict=True):
            q = drift(a * self.step_size, self.mass, p, q)
            value, gradient = value_and_gradient(self.logdensity, q)
            p = kick(b * self.step_size, gradient, p)
        return Phase(q, p, value, gradient)


def kick(time: Float[Array, ""], gradient: Position, momentum: Position) -> Position:
    """The momentum after the gradient of the log density, a force, has acted on it for a time."""
    return axpy(time, gradient, momentum)


def drift(time: Float[Array, ""], mass: AbstractMass, momentum: Position, position: Position) -> Position:
    """The position after a momentum has carried it for a time."""
    return axpy(time, mass.velocity(momentum), position)


def repeat(f: Callable[[Carry], Carry], carry: Carry, times: int | Int[Array, ""]) -> Carry:
    """`f` applied `times` times to `carry`.

    A known number of times: differentiable in every mode to any order, keeping about `2 sqrt(times)` carries. A
    number that is only known when the program runs: a `while_loop`, so without reverse mode.
    """
    if isinstance(times, int):
        levels = 1 if times <= _FEW_STEPS else 2
        return checkpointed_scan(lambda carry, _: (f(carry), None), carry, length=times, levels=levels)[0]
    end = jax.lax.fori_loop(jnp.zeros((), times.dtype), times, lambda _, carry: f(carry), carry)
    return without_reverse_mode(end)


def without_reverse_mode(end: Carry) -> Carry:
    """The end of a trajectory whose number of steps is found while it runs; reverse mode says what there is instead."""
    return nondifferentiable_backward(end, msg=_NO_REVERSE_MODE)
