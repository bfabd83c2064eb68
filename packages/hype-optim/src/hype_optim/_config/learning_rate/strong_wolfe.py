"""Line search for the strong Wolfe conditions."""

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.checks import known
from hype_ad.internal.tree import inverse, power_of_two, quotient, square_root, where
from jax import lax
from jaxtyping import Array, Float, PyTree

from ..._hyperparameter.converters import Hyperparameter, at_least, open_fraction, optional, positive_number
from ..._hyperparameter.ranges import value_of
from ..._objective import Iterate
from .line import AbstractLineSearch, Found, Line, Search, Trial


class StrongWolfe(AbstractLineSearch):
    r"""Line search for a length that fulfills the strong Wolfe conditions, without randomness.

    A length $a$ is good where $f(w + a p) \le f(w) + c_1 a\, p \cdot \nabla f(w)$, and
    $|p \cdot \nabla f(w + a p)| \le c_2\, |p \cdot \nabla f(w)|$. Lengths grow until an interval is known to hold a
    good one, which is then made smaller by cubic interpolation (Nocedal & Wright 2006, algorithms 3.5 and 3.6 and
    equation 3.59). Where differences of values are rounding, slopes alone decide (Hager & Zhang 2005). Each trial costs
    one evaluation with a gradient, and the next step begins with what the last trial found. If none of `max_trials` is
    good, the best of those that decreased the objective enough is taken, or else no step is made.

    The derivative is that of the search with its decisions as they came out: exact, through all interpolations.

    Args:
        rate: the first trial, above 0; after a first step at most this, and less where the last step promised less.
            Differentiable. If `None`, it is 1 for a direction that is a step in itself, as those of `Newton`,
            `NewtonCG` and `LBFGS` are. For others it is the length of a step of length 1 at first, and then the one
            that promises the decrease of the last step.
        c1: the Armijo (sufficient decrease) constant, above 0 and below 1.
        c2: the curvature constant, above `c1` and below 1.
        max_trials: the most lengths tried in one step.

    Raises:
        TypeError: if `max_trials` is not an integer.
        ValueError: if a number is out of its range.
    """

    rate: Hyperparameter | None = eqx.field(converter=optional(positive_number("rate", single=True)), default=None)
    c1: Hyperparameter = eqx.field(converter=open_fraction("c1", single=True), default=1e-4)
    c2: Hyperparameter = eqx.field(converter=open_fraction("c2", single=True), default=0.5)
    max_trials: int = eqx.field(static=True, converter=at_least("max_trials", 1), default=40, kw_only=True)

    def __check_init__(self) -> None:
        low, high = value_of(self.c1), value_of(self.c2)
        if known(low) and known(high) and not low < high:
            raise ValueError(f"`c2` must be above `c1` = {low}, got {high}.")

    def search(self, direction: PyTree, memory: Float[Array, ""], iterate: Iterate) -> Found:
        """The direction times the length found."""
        line = Line(iterate, direction)
        c1, c2 = line.number(self.c1), line.number(self.c2)

        def judge(search: Search, trial: Trial) -> Search:
            low, high = search.low, search.high
            enough = line.decreased(trial, c1)
            too_far = ~enough | ((trial.value > low.value + line.rounding) & (low.length > 0))
            good = ~too_far & (jnp.abs(line.turned(trial)) <= c2)
            turned = trial.slope * (high.length - low.length) >= 0
            new_high = where(too_far, trial, where(turned, low, high))
            new_low = where(too_far, low, trial)
            done = good | (too_far & line.is_hopeless(trial))
            return Search(new_low, new_high, jnp.where(done, 0, _next_length(new_low, new_high, line.rounding)))

        first = line.first_length(line.number(memory))
        if self.rate is not None:
            rate = line.length(self.rate)
            first = jnp.where(iterate.natural | (memory == 0), rate, jnp.minimum(first, rate))
        return line.search(judge, first, self.max_trials)


def _next_length(low: Trial, high: Trial, rounding: Float[Array, ""]) -> Float[Array, ""]:
    """The minimum of the cubic through both ends, kept away from them; further out where there is no second end."""
    bounded = jnp.isfinite(high.length)
    finite = jnp.isfinite(high.value) & jnp.isfinite(high.slope)
    usable = bounded & finite
    flat = Trial(low.length + 1, low.value, -low.slope, low.better)
    width = jnp.where(bounded, high.length, flat.length) - low.length
    end = where(usable, high, flat)
    span = jnp.where(usable, width, 1)
    rise = end.value - low.value
    # The slopes alone, where the difference of the values is rounding.
    rise = jnp.where(jnp.abs(rise) > rounding, rise, (low.slope + end.slope) / 2 * span)
    d1 = low.slope + end.slope - 3 * rise / jnp.where(span == 0, 1, span)
    largest = lax.stop_gradient(jnp.maximum(jnp.abs(d1), jnp.maximum(jnp.abs(low.slope), jnp.abs(end.slope))))
    unit = power_of_two(largest)
    scaled = [inverse(unit) * x for x in (d1, low.slope, end.slope)]
    d2 = jnp.sign(span) * unit * square_root(scaled[0] ** 2 - scaled[1] * scaled[2])
    part = 1 - quotient(end.slope + d2 - d1, end.slope - low.slope + 2 * d2)
    part = jnp.where(usable & jnp.isfinite(part), jnp.clip(part, 0.1, 0.9), jnp.where(finite, 0.5, 0.1))
    return jnp.where(bounded, low.length + part * width, 4 * low.length)
