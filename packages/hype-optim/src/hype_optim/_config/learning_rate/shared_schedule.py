"""Schedules of few numbers for many steps, so that ten thousand steps are steered by fifty."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._checks import Hyperparameter, HyperparameterLike, integer
from .._objective import Iterate
from .schedule import AbstractSchedule, entry, length, rates_along_an_axis


class WindowSchedule(AbstractSchedule):
    r"""One step length for each window of steps; their lengths differ by one step at most, the longer first.

    Args:
        rates: at least 0, shape `(windows,)`; or a pytree of such arrays that is a prefix of the weights' structure.
            Differentiable.
        num_steps: the number of steps of the run.

    Raises:
        TypeError: if `num_steps` is not an integer.
        ValueError: if there is no rate, if arrays of a pytree differ in length, if a rate is a number below 0, or if
            there are fewer steps than windows.
    """

    rates: Hyperparameter
    num_steps: int = eqx.field(static=True)

    def __init__(self, rates: HyperparameterLike, num_steps: int):
        self.rates = rates_along_an_axis(rates)
        self.num_steps = integer("num_steps", num_steps, length(self.rates))

    @property
    def steps(self) -> int:
        """`num_steps`."""
        return self.num_steps

    def at(self, iterate: Iterate) -> PyTree:
        """The window's rate."""
        windows = length(self.rates)
        # The first `left` windows are one step longer.
        whole, left = divmod(self.num_steps, windows)
        longer = left * (whole + 1)
        first, second = iterate.step // (whole + 1), left + (iterate.step - longer) // whole
        return entry(self.rates, jnp.where(iterate.step < longer, first, second))


class InterpolatedSchedule(AbstractSchedule):
    """Step lengths on the line through $n$ rates that are spread evenly from the first step to the last.

    Args:
        rates: at least 0, shape `(knots,)`; or a pytree of such arrays that is a prefix of the weights' structure.
            Differentiable.
        num_steps: the number of steps of the run.

    Raises:
        TypeError: if `num_steps` is not an integer.
        ValueError: if there are fewer than two rates, if arrays of a pytree differ in length, if a rate is a number
            below 0, or if there are fewer steps than knots.
    """

    rates: Hyperparameter
    num_steps: int = eqx.field(static=True)

    def __init__(self, rates: HyperparameterLike, num_steps: int):
        self.rates = rates_along_an_axis(rates)
        if length(self.rates) < 2:
            raise ValueError("`rates` must hold at least two rates to interpolate between, got one; use `Constant`.")
        self.num_steps = integer("num_steps", num_steps, length(self.rates))

    @property
    def steps(self) -> int:
        """`num_steps`."""
        return self.num_steps

    def at(self, iterate: Iterate) -> PyTree:
        """The interpolated rate."""
        place = iterate.step.astype(float) * ((length(self.rates) - 1) / (self.num_steps - 1))
        before = jnp.clip(jnp.floor(place).astype(iterate.step.dtype), 0, length(self.rates) - 2)
        part = place - before.astype(place.dtype)
        mix = lambda left, right: (1 - part).astype(left.dtype) * left + part.astype(left.dtype) * right
        return jax.tree.map(mix, entry(self.rates, before), entry(self.rates, before + 1))
