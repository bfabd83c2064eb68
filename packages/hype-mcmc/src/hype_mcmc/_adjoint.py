"""How reverse mode goes back along a trajectory: what it keeps, and what it computes again."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float, Int

from ._integrator import Integrator
from ._logdensity import LogDensity
from ._mass import AbstractMass
from ._trajectory import Phase, repeat, step


class AbstractAdjoint(eqx.Module):
    """What follows a trajectory, and brings derivatives back along it."""

    @abstractmethod
    def trajectory(
        self,
        start: Phase,
        logdensity: LogDensity,
        step_size: Float[Array, ""],
        mass: AbstractMass,
        integrator: Integrator,
        num_steps: int | Int[Array, ""],
    ) -> Phase:
        """The end of a trajectory of so many steps, differentiable in all that is made of floats."""


class Checkpointed(AbstractAdjoint):
    """Differentiates the steps themselves, and keeps about `2 sqrt(num_steps)` states for reverse mode.

    Every mode, to any order. A number of steps that is found when the program runs (`DynamicHMC`) has forward mode
    only: reverse mode would have to know how much to keep.
    """

    def trajectory(
        self,
        start: Phase,
        logdensity: LogDensity,
        step_size: Float[Array, ""],
        mass: AbstractMass,
        integrator: Integrator,
        num_steps: int | Int[Array, ""],
    ) -> Phase:
        """The end of a trajectory."""
        return repeat(lambda phase: step(phase, logdensity, step_size, mass, integrator), start, num_steps)


def check_adjoint(adjoint: AbstractAdjoint | None) -> AbstractAdjoint:
    """`adjoint`, or `Checkpointed()` for `None`.

    Raises:
        TypeError: if it is something else.
    """
    adjoint = Checkpointed() if adjoint is None else adjoint
    if not isinstance(adjoint, AbstractAdjoint):
        raise TypeError(
            f"`adjoint` must be an adjoint such as `Checkpointed()` or `Reversible()`, got {type(adjoint).__name__}."
        )
    return adjoint
