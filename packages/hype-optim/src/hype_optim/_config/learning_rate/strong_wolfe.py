"""Line search for the strong Wolfe conditions."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.checks import known
from hype_ad.internal.tree import float_dtype, quotient, scale, square_root, where
from jaxtyping import Array, Bool, Float, PyTree

from ..._hyperparameter.constraint import value_of
from ..._hyperparameter.converters import Hyperparameter, at_least, open_fraction, positive_number
from ..._objective import Iterate
from ..._transform.while_loop import bounded_while_loop
from .base import AbstractLearningRate
from .line import Line


class _End(eqx.Module):
    """A length, and the objective and its slope there."""

    length: Float[Array, ""]
    value: Float[Array, ""]
    slope: Float[Array, ""]


class _Search(eqx.Module):
    """The interval known to hold a good length, and the next length to try."""

    low: _End  # the end with the lowest value of those that decreased the objective enough
    high: _End  # the other end; its length is infinite until one is found
    trial: Float[Array, ""]
    found: Bool[Array, ""]  # whether `low` is good


class StrongWolfe(AbstractLearningRate):
    r"""Line search for a length that fulfills the strong Wolfe conditions, without randomness.

    A length $a$ is good where $f(w + a p) \le f(w) + c_1 a\, p \cdot \nabla f(w)$, but for rounding, and
    $|p \cdot \nabla f(w + a p)| \le c_2\, |p \cdot \nabla f(w)|$. Lengths grow until an interval is known to hold a
    good one, which is then made smaller by cubic interpolation (Nocedal & Wright 2006, algorithms 3.5 and 3.6 and
    equation 3.59). The first trial of a step is the minimum of the parabola through the last decrease (equation
    3.60), and at most `rate`. Each trial costs one evaluation with a derivative in forward mode. If none of
    `max_trials` is good, the best of those that decreased the objective enough is taken, or else no step is made.

    The derivative is that of the search with its decisions as they came out: exact, through all interpolations.

    Args:
        rate: the first trial, above 0. Differentiable.
        c1: the Armijo (sufficient decrease) constant, above 0 and below 1.
        c2: the curvature constant, above `c1` and below 1.
        max_trials: the most lengths tried in one step.

    Raises:
        TypeError: if `max_trials` is not an integer.
        ValueError: if a number is out of its range.
    """

    searches: ClassVar[bool] = True

    rate: Hyperparameter = eqx.field(converter=positive_number("rate", single=True), default=1.0)
    c1: Hyperparameter = eqx.field(converter=open_fraction("c1", single=True), default=1e-4)
    c2: Hyperparameter = eqx.field(converter=open_fraction("c2", single=True), default=0.5)
    max_trials: int = eqx.field(static=True, converter=at_least("max_trials", 1), default=20, kw_only=True)

    def __check_init__(self) -> None:
        low, high = value_of(self.c1), value_of(self.c2)
        if known(low) and known(high) and not low < high:
            raise ValueError(f"`c2` must be above `c1` = {low}, got {high}.")

    def init(self, w: PyTree) -> Float[Array, ""]:
        """The value before the last step, infinite before the first."""
        return jnp.array(jnp.inf, float_dtype(w))

    def update(self, direction: PyTree, memory: Float[Array, ""], iterate: Iterate) -> tuple[PyTree, Float[Array, ""]]:
        """The direction times the length found."""
        line = Line(iterate, direction)

        def advance(search: _Search) -> _Search:
            trial = _End(search.trial, *line.value_and_slope(search.trial))
            low, high = search.low, search.high
            enough = line.decreased(trial.length, trial.value, self.c1) & jnp.isfinite(trial.slope)
            too_far = ~enough | ((trial.value >= low.value) & (low.length > 0))
            good = ~too_far & (jnp.abs(trial.slope) <= -self.c2 * line.slope)
            turned = trial.slope * (high.length - low.length) >= 0
            new_high = where(too_far, trial, where(turned, low, high))
            new_low = where(too_far, low, trial)
            return _Search(new_low, new_high, _next_trial(new_low, new_high), good)

        start = _End(jnp.zeros_like(line.start), line.start, line.slope)
        nowhere = _End(jnp.full_like(line.start, jnp.inf), line.start, -line.slope)
        # Where the slope is zero there is nowhere to go.
        search = _Search(start, nowhere, self._first_trial(line, memory), ~(line.slope < 0))
        search = bounded_while_loop(lambda search: ~search.found, advance, search, self.max_trials)
        return scale(search.low.length, direction), iterate.value

    def _first_trial(self, line: Line, before: Float[Array, ""]) -> Float[Array, ""]:
        decreased = jnp.isfinite(before) & (before > line.start) & (line.slope < 0)
        decrease = jnp.where(decreased, before, line.start) - line.start
        length = quotient(-2.02 * decrease, jnp.where(decreased, line.slope, 0))
        return jnp.where(length > 0, jnp.minimum(length, self.rate), self.rate)


def _next_trial(low: _End, high: _End) -> Float[Array, ""]:
    """The minimum of the cubic through both ends, kept away from them; twice as far where there is no second end."""
    bounded = jnp.isfinite(high.length)
    usable = bounded & jnp.isfinite(high.value) & jnp.isfinite(high.slope)
    flat = _End(low.length + 1, low.value, -low.slope)
    width = jnp.where(bounded, high.length, flat.length) - low.length
    end = where(usable, high, flat)
    span = jnp.where(usable, width, 1)
    d1 = low.slope + end.slope - 3 * (end.value - low.value) / jnp.where(span == 0, 1, span)
    d2 = jnp.sign(span) * square_root(d1 * d1 - low.slope * end.slope)
    part = 1 - quotient(end.slope + d2 - d1, end.slope - low.slope + 2 * d2)
    part = jnp.where(usable & jnp.isfinite(part), jnp.clip(part, 0.1, 0.9), 0.5)
    return jnp.where(bounded, low.length + part * width, 2 * low.length)
