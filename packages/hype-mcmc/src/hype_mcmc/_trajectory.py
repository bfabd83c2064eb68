"""Following Hamilton's equations for a number of steps."""

from collections.abc import Callable
from typing import TypeVar

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

Carry = TypeVar("Carry")

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


def kick(length: Float[Array, ""], gradient: Position, momentum: Position) -> Position:
    """The momentum that a force pushes for a time `length`."""
    return _tree.axpy(length, gradient, momentum)


def drift(length: Float[Array, ""], mass: AbstractMass, momentum: Position, position: Position) -> Position:
    """The position that a momentum carries for a time `length`."""
    return _tree.axpy(length, mass.velocity(momentum), position)


def step(
    phase: Phase, logdensity: LogDensity, step_size: Float[Array, ""], mass: AbstractMass, integrator: Integrator
) -> Phase:
    """One step of the integrator; the gradient at its start is taken from `phase`."""
    q, value, gradient = phase.position, phase.logdensity, phase.logdensity_grad
    p = kick(integrator.kicks[0] * step_size, gradient, phase.momentum)
    for a, b in zip(integrator.drifts, integrator.kicks[1:], strict=True):
        q = drift(a * step_size, mass, p, q)
        value, gradient = value_and_gradient(logdensity, q)
        p = kick(b * step_size, gradient, p)
    return Phase(q, p, value, gradient)


def repeat(f: Callable[[Carry], Carry], carry: Carry, times: int | Int[Array, ""]) -> Carry:
    """`f` of `f` of ... `carry`.

    A known number of times: differentiable in every mode to any order, keeping about `2 sqrt(times)` carries. A
    number that is only known when the program runs: a `while_loop`, so without reverse mode.
    """
    if isinstance(times, int):
        levels = 1 if times <= _FEW_STEPS else 2
        return checkpointed_scan(lambda carry, _: (f(carry), None), carry, length=times, levels=levels)[0]
    return jax.lax.fori_loop(jnp.zeros((), times.dtype), times, lambda _, carry: f(carry), carry)
