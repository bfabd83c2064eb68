"""Schedules that are sequences of rates: one per epoch, per step, per window of steps, or to interpolate between.

The last two steer many steps by few numbers: ten thousand steps by fifty.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import integer, is_real
from jaxtyping import Array, Int, PyTree

from ..._hyperparameter.converters import Hyperparameter, HyperparameterLike, at_least, non_negative
from .schedule import AbstractFiniteSchedule


def _sequence(rates: HyperparameterLike) -> Hyperparameter:
    """Rates, or a pytree of them, with a leading axis that is equally long everywhere."""
    if isinstance(rates, list | tuple) and all(is_real(rate) and jnp.ndim(rate) == 0 for rate in rates):
        rates = jnp.array(rates, float)
    rates = non_negative("rates")(rates)
    leaves = jax.tree.leaves(rates)
    if any(leaf.ndim == 0 for leaf in leaves):
        raise ValueError(
            "`rates` must have a leading axis, one entry per step or epoch, got a single number; use `Constant`."
        )
    lengths = [leaf.shape[0] for leaf in leaves]
    if len(set(lengths)) > 1:
        raise ValueError(f"`rates` must hold arrays of equal lengths, got {lengths}.")
    if lengths[0] == 0:
        raise ValueError("`rates` must hold at least one rate, got an empty array.")
    return rates


def _length(rates: PyTree) -> int:
    """How many rates there are."""
    return jax.tree.leaves(rates)[0].shape[0]


def _entry(rates: PyTree, index: Int[Array, ""]) -> PyTree:
    """The rates at `index`, the last ones beyond the end."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, index, axis=0, mode="clip"), rates)


class Schedule(AbstractFiniteSchedule):
    """One step length per epoch. Their number takes the place of `Params.epochs`.

    Args:
        rates: at least 0, shape `(epochs,)`; or a pytree of such arrays that is a prefix of the weights' structure.
            Differentiable.

    Raises:
        ValueError: if there is no rate, if arrays of a pytree differ in length, or if a rate is a number below 0.
    """

    rates: Hyperparameter = eqx.field(converter=_sequence)

    def total_steps(self, steps_per_epoch: int) -> int:
        """The steps of as many epochs as there are rates."""
        return _length(self.rates) * steps_per_epoch

    def at(self, step: Int[Array, ""], epoch: Int[Array, ""]) -> PyTree:
        """The epoch's rate."""
        return _entry(self.rates, epoch)


class StepSchedule(AbstractFiniteSchedule):
    """One step length per step. Their number is the number of steps.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_optim import Params, StepSchedule, minimize
        >>> loss = lambda rates: minimize(
        ...     lambda w: jnp.sum(w**2), jnp.ones(2), Params(learning_rate=StepSchedule(rates), silent=True)
        ... ).loss
        >>> jax.grad(loss)(jnp.array([0.25, 0.25])).round(3)
        Array([-1., -1.], dtype=float32)

    Args:
        rates: as in `Schedule`, of shape `(steps,)`. Differentiable.

    Raises:
        ValueError: as in `Schedule`.
    """

    rates: Hyperparameter = eqx.field(converter=_sequence)

    def total_steps(self, steps_per_epoch: int) -> int:
        """How many rates there are."""
        return _length(self.rates)

    def at(self, step: Int[Array, ""], epoch: Int[Array, ""]) -> PyTree:
        """The step's rate."""
        return _entry(self.rates, step)


class AbstractStretchedSchedule(AbstractFiniteSchedule):
    """Few rates for a given number of steps, at least as many."""

    rates: Hyperparameter = eqx.field(converter=_sequence)
    num_steps: int = eqx.field(static=True, converter=at_least("num_steps", 1))

    def __check_init__(self) -> None:
        integer("num_steps", self.num_steps, _length(self.rates))

    def total_steps(self, steps_per_epoch: int) -> int:
        """The field `num_steps`."""
        return self.num_steps


class WindowSchedule(AbstractStretchedSchedule):
    r"""One step length for each window of steps; their lengths differ by one step at most, the longer first.

    Args:
        rates: as in `Schedule`, of shape `(windows,)`. Differentiable.
        num_steps: the number of steps of the run.

    Raises:
        TypeError: if `num_steps` is not an integer.
        ValueError: as in `Schedule`, or if there are fewer steps than windows.
    """

    def at(self, step: Int[Array, ""], epoch: Int[Array, ""]) -> PyTree:
        """The window's rate."""
        # The first `left` windows are one step longer.
        whole, left = divmod(self.num_steps, _length(self.rates))
        longer = left * (whole + 1)
        first, second = step // (whole + 1), left + (step - longer) // whole
        return _entry(self.rates, jnp.where(step < longer, first, second))


class InterpolatedSchedule(AbstractStretchedSchedule):
    """Step lengths on the line through $n$ rates that are spread evenly from the first step to the last.

    Args:
        rates: as in `Schedule`, of shape `(knots,)`. Differentiable.
        num_steps: the number of steps of the run.

    Raises:
        TypeError: if `num_steps` is not an integer.
        ValueError: as in `Schedule`, or if there are fewer than two rates, or fewer steps than knots.
    """

    def __check_init__(self) -> None:
        if _length(self.rates) < 2:
            raise ValueError("`rates` must hold at least two rates to interpolate between, got one; use `Constant`.")

    def at(self, step: Int[Array, ""], epoch: Int[Array, ""]) -> PyTree:
        """The interpolated rate."""
        knot = step.astype(float) * ((_length(self.rates) - 1) / (self.num_steps - 1))
        before = jnp.clip(jnp.floor(knot).astype(step.dtype), 0, _length(self.rates) - 2)
        part = knot - before.astype(knot.dtype)
        mix = lambda left, right: (1 - part).astype(left.dtype) * left + part.astype(left.dtype) * right
        return jax.tree.map(mix, _entry(self.rates, before), _entry(self.rates, before + 1))
