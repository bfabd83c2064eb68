"""How long trajectories are: how many steps they have, and whether that changes from one to the next."""

from abc import abstractmethod
from typing import TypeVar

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.checks import integer, static_number
from jaxtyping import Array, ArrayLike, Float, Int

from ._checks import number

Self = TypeVar("Self", bound="AbstractLength")


class AbstractLength(eqx.Module):
    """Picks the number of steps of a trajectory by a number `u`, uniform in (0, 1), that is drawn for a transition."""

    @abstractmethod
    def pick(self, u: Float[Array, ""], step_size: Float[Array, ""]) -> tuple[int | Int[Array, ""], Float[Array, ""]]:
        """How many steps to make, at least 1, and what to multiply their size by.

        A Python integer is known when a program is compiled, and reverse mode through the steps needs that.
        """

    @abstractmethod
    def is_random(self) -> bool:
        """Whether anything depends on `u`."""

    @abstractmethod
    def most_steps(self) -> int:
        """The largest number of steps."""

    @abstractmethod
    def mean_length(self, step_size: Float[Array, ""]) -> Float[Array, ""]:
        """The mean of the number of steps, times the step size."""

    @abstractmethod
    def adapted(self: Self, mean_length: Float[Array, ""]) -> Self:
        """This one with the mean length that warm-up has found, or as it is where it has no place for that."""


class FixedSteps(AbstractLength):
    r"""The same number of steps for each trajectory, so that it is smooth in the step size.

    On a nearly Gaussian target a fixed length can come back to where it started at every transition: high acceptance
    and wrong variances. `jitter` prevents that. It scales the step size, not the number of steps, so that chains side
    by side take equally many.

    Args:
        num_steps: how many, at least 1.
        jitter: each transition uses a step size drawn from $h (1 \pm$ `jitter`$)$; at least 0, below 1.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if `num_steps` is not an integer or `jitter` not a number.
    """

    num_steps: int = eqx.field(static=True)
    jitter: float = eqx.field(static=True)

    def __init__(self, num_steps: int, jitter: float = 0.0):
        self.num_steps = integer("num_steps", num_steps, 1)
        self.jitter = static_number("jitter", jitter, at_least=0.0, below=1.0)

    def pick(self, u: Float[Array, ""], step_size: Float[Array, ""]) -> tuple[int, Float[Array, ""]]:
        """The number, and a factor from `1 - jitter` to `1 + jitter`."""
        return self.num_steps, 1 + self.jitter * (2 * u - 1) if self.is_random() else jnp.ones_like(u)

    def is_random(self) -> bool:
        """Whether there is jitter."""
        return self.jitter != 0

    def most_steps(self) -> int:
        """The number."""
        return self.num_steps

    def mean_length(self, step_size: Float[Array, ""]) -> Float[Array, ""]:
        """The number times the step size."""
        return self.num_steps * step_size

    def adapted(self, mean_length: Float[Array, ""]) -> "FixedSteps":
        """Itself."""
        return self


class RandomLength(AbstractLength):
    r"""Lengths $n h$ spread evenly over (0, 2 `mean`), as Hoffman, Radul and Sountsov (2021) jitter them.

    No target is resonant with them, and since the length is a float, warm-up can adapt it in a compiled program. The
    number of steps is found by a `while_loop`: given it, a trajectory is a smooth function of step size, mass and
    start, in forward mode at any order, and in reverse mode with `ReversibleTrajectory`.

    Args:
        mean: mean of $n h$, positive.
        max_steps: bound on the number of steps $n$.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if `max_steps` is not an integer or `mean` not a number.
    """

    mean: Float[Array, ""]
    max_steps: int = eqx.field(static=True)

    def __init__(self, mean: ArrayLike, max_steps: int = 1000):
        self.mean = number("mean", mean)
        self.max_steps = integer("max_steps", max_steps, 1)

    def pick(self, u: Float[Array, ""], step_size: Float[Array, ""]) -> tuple[Int[Array, ""], Float[Array, ""]]:
        """As many steps as cover `u` of twice the mean length, within 1 and `max_steps`."""
        steps = jnp.ceil(2 * u.astype(step_size.dtype) * self.mean.astype(step_size.dtype) / step_size)
        return jnp.clip(steps, 1, self.max_steps).astype(jnp.int32), jnp.ones_like(u)

    def is_random(self) -> bool:
        """It is."""
        return True

    def most_steps(self) -> int:
        """The field `max_steps`."""
        return self.max_steps

    def mean_length(self, step_size: Float[Array, ""]) -> Float[Array, ""]:
        """The field `mean`."""
        return self.mean

    def adapted(self, mean_length: Float[Array, ""]) -> "RandomLength":
        """With another mean."""
        return eqx.tree_at(lambda length: length.mean, self, mean_length)
