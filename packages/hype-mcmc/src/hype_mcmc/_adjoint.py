"""How reverse mode goes back along a trajectory: what it keeps, and what it computes again."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Int

from ._dynamics import Dynamics, Phase, repeat


class AbstractTrajectoryAdjoint(eqx.Module):
    """What follows a trajectory, and brings derivatives back along it."""

    @abstractmethod
    def trajectory(self, start: Phase, dynamics: Dynamics, num_steps: int | Int[Array, ""]) -> Phase:
        """The end of a trajectory of so many steps, differentiable in the start and in all floats of the dynamics."""


class CheckpointedTrajectory(AbstractTrajectoryAdjoint):
    """Differentiates the steps themselves, and keeps about `2 sqrt(num_steps)` states for reverse mode.

    Every mode, to any order. A number of steps that is found when the program runs (`RandomLength`) has forward mode
    only: reverse mode would have to know how much to keep.
    """

    def trajectory(self, start: Phase, dynamics: Dynamics, num_steps: int | Int[Array, ""]) -> Phase:
        """The end of a trajectory."""
        return repeat(dynamics.step, start, num_steps)
