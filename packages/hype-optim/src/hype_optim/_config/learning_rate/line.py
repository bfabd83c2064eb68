"""The objective along a direction, and what line searches have in common: where they begin, and what they keep."""

import abc
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.closing import closure_convert
from hype_ad.internal.tree import (
    add,
    all_equal,
    all_finite,
    dot,
    float_dtype,
    inverse,
    is_shorter,
    power_of_two,
    quotient,
    scale,
    square_root,
    squared_norm,
    where,
    zeros_like,
)
from hype_ad.internal.while_loop import bounded_while_loop, while_loop, with_derivative_of
from jaxtyping import Array, Bool, Float, PyTree

from ..._objective import Iterate
from .base import AbstractLearningRate


class Trial(eqx.Module):
    """A length, the objective and its slope there, and whether the point is better than the start."""

    numbers: Float[Array, "4"]  # in one array, so that a selection between two trials is one operation

    def __init__(
        self, length: Float[Array, ""], value: Float[Array, ""], slope: Float[Array, ""], better: Bool[Array, ""]
    ):
        self.numbers = jnp.stack([length, value, slope, better.astype(value.dtype)])

    @property
    def length(self) -> Float[Array, ""]:
        """The length."""
        return self.numbers[0]

    @property
    def value(self) -> Float[Array, ""]:
        """The objective there."""
        return self.numbers[1]

    @property
    def slope(self) -> Float[Array, ""]:
        """Its slope there."""
        return self.numbers[2]

    @property
    def better(self) -> Bool[Array, ""]:
        """Whether another point is reached, at which the objective is lower or its gradient shorter."""
        return self.numbers[3] > 0


class Search(eqx.Module):
    """Where a search is.

    Attributes:
        low: the best of the lengths that decreased the objective enough; 0 before one is found.
        high: a length that is too far; infinite before one is found.
        next: the length to try next; 0 if `low` is good, or nothing is to be hoped for.
    """

    low: Trial
    high: Trial
    next: Float[Array, ""]


class Found(NamedTuple):
    """What a search came to.

    Attributes:
        step: the step to make, zero where it would improve nothing.
        memory: what the rate remembers after it.
        value: the objective after the step.
        gradient: its gradient there.
        improved: whether there is a step, after which the objective is lower or its gradient shorter.
    """

    step: PyTree
    memory: PyTree
    value: Float[Array, ""]
    gradient: PyTree
    improved: Bool[Array, ""]


class AbstractLineSearch(AbstractLearningRate):
    """A rate that looks for the length along the direction, and knows what it has found there."""

    searches: ClassVar[bool] = True

    @abc.abstractmethod
    def search(self, direction: PyTree, memory: PyTree, iterate: Iterate) -> Found:
        """The step along `direction`, zero where no length decreases the objective."""

    def init(self, w: PyTree) -> Float[Array, ""]:
        """The first-order change that the last step made, zero before the first."""
        return jnp.zeros((), float_dtype(w))

    def is_first(self, memory: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether no search has found a step since the first, or since the method started anew."""
        return memory == 0

    def update(self, direction: PyTree, memory: PyTree, iterate: Iterate) -> tuple[PyTree, PyTree]:
        """The step found, and what is remembered after it."""
        found = self.search(direction, memory, iterate)
        return found.step, found.memory


class Line:
    r"""The function $\phi(a) = f(w + a p / u)$ of a length $a$, $u$ being a power of two near the size of $p$.

    So a slope is in range where the square of a gradient would not be.
    """

    def __init__(self, iterate: Iterate, direction: PyTree):
        self._iterate = iterate
        self._unit = power_of_two(direction)
        direction = self._direction = scale(inverse(self._unit), direction)
        slope = dot(iterate.gradient, direction).astype(iterate.value.dtype)
        self.start = Trial(jnp.zeros_like(slope), iterate.value, slope, jnp.array(False))
        # Near a minimum differences of values are rounding, and must not be taken for an increase.
        self.rounding = 10 * jnp.finfo(iterate.value.dtype).eps * jnp.abs(iterate.value)

    def number(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """A hyperparameter, or what a search remembers, in the precision of the objective."""
        return x.astype(self.start.value.dtype)

    def length(self, rate: Float[Array, ""]) -> Float[Array, ""]:
        """The length of a step of `rate` times the direction."""
        return self.number(rate) * self.number(self._unit)

    def turned(self, trial: Trial) -> Float[Array, ""]:
        r"""The slope over that at the start, $\phi'(a) / \phi'(0)$.

        Slopes are compared by it, as XLA would make an operation before the search of each number that depends on the
        start alone.
        """
        return trial.slope / self.start.slope

    def decreased(self, trial: Trial, c: Float[Array, ""]) -> Bool[Array, ""]:
        r"""Whether $\phi(a) \le \phi(0) + c\, a\, \phi'(0)$; not where anything is not finite.

        Where the difference of values is rounding, whether the slopes say so: $\phi'(a) \le (2 c - 1) \phi'(0)$, which
        is the same for a parabola (Hager & Zhang 2005, equation 4.1).
        """
        bound = self.start.value + c * trial.length * self.start.slope
        by_slope = (trial.value <= bound + self.rounding) & (self.turned(trial) >= 2 * c - 1)
        return ((trial.value <= bound) | by_slope) & jnp.isfinite(trial.slope)

    def is_hopeless(self, trial: Trial) -> Bool[Array, ""]:
        """Whether a value is too high for rounding though no decrease could be seen at so short a length."""
        too_short = -1000 * trial.length * self.start.slope < self.rounding
        return too_short & ~(trial.value - self.start.value <= self.rounding)

    def first_length(self, last: Float[Array, ""]) -> Float[Array, ""]:
        r"""The length to try first where none is given: 1 if the direction is a step in itself, as Newton's is.

        Else that of the same first-order change $a\, \phi'(0)$ as the last step's (Nocedal & Wright 2006, section
        3.5), and for a first step that of a step of length 1. So the unit of the objective does not matter.
        """
        slope = self.start.slope
        size = square_root(squared_norm(self._direction)).astype(slope.dtype)  # its largest entry is near 1
        unit = jnp.where(size > 0, quotient(jnp.ones_like(size), size), 1)
        same = quotient(last, slope)
        same = jnp.where((same > 0) & jnp.isfinite(same), same, unit)
        return jnp.where(self._iterate.natural, self.number(self._unit), same)

    def search(self, judge: Callable[[Search, Trial], Search], first: Float[Array, ""], max_trials: int) -> Found:
        """Try lengths from `first` on, until `judge`, which says what a trial makes of a search, is done."""
        first = first.astype(self.start.value.dtype)
        nowhere = Trial(jnp.full_like(first, jnp.inf), self.start.value, -self.start.slope, jnp.array(False))
        # Where the slope is zero there is nowhere to go.
        init = Search(self.start, nowhere, jnp.where(self._iterate.running & (self.start.slope < 0), first, 0))
        evaluate = closure_convert(self._evaluate, first)
        unfinished = lambda search: search.next > 0

        def attempt(search: Search) -> tuple[Search, PyTree]:
            value, slope, gradient = _finitely(evaluate, search.next)
            better = self._is_better(search.next, value, gradient)
            return judge(search, Trial(search.next, value, slope, better)), gradient

        def plain(init: Search) -> tuple[Search, PyTree]:
            def advance(kept: tuple[Search, PyTree]) -> tuple[Search, PyTree]:
                after, gradient = attempt(kept[0])
                return after, where(after.low.length == kept[0].next, gradient, kept[1])

            return while_loop(lambda kept: unfinished(kept[0]), advance, (init, self._iterate.gradient), max_trials)

        def differentiable(init: Search) -> tuple[Search, PyTree]:
            # A gradient for each possible trial would be much to keep.
            search = bounded_while_loop(unfinished, lambda search: attempt(search)[0], init, max_trials)
            return search, evaluate(search.low.length)[2]

        search, gradient = with_derivative_of(differentiable, plain, init)
        step, improved = scale(search.low.length, self._direction), search.low.better
        # Other than zero, which says that there was no step.
        change = jnp.minimum(search.low.length * self.start.slope, -jnp.finfo(self.start.value.dtype).tiny)
        there = step, change, search.low.value, gradient
        here = zeros_like(step), jnp.zeros_like(change), self.start.value, self._iterate.gradient
        step, change, value, gradient = where(improved, there, here)
        return Found(step, change, value, gradient, improved)

    def _is_better(self, length: Float[Array, ""], value: Float[Array, ""], gradient: PyTree) -> Bool[Array, ""]:
        w, step = self._iterate.w, scale(length, self._direction)
        lower, shorter = value < self.start.value, is_shorter(gradient, self._iterate.gradient)
        return ~all_equal(add(w, step), w) & (lower | shorter)

    def _evaluate(self, length: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""], PyTree]:
        r"""$\phi(a)$, $\phi'(a)$ and the gradient."""
        at = add(self._iterate.w, scale(length, self._direction))
        value, gradient = self._iterate.objective.value_and_grad(at)
        return value, dot(gradient, self._direction).astype(value.dtype), gradient


@eqx.filter_custom_jvp
def _finitely(evaluate: Callable[[Float[Array, ""]], PyTree], length: Float[Array, ""]) -> PyTree:
    """`evaluate(length)`, of derivative 0 where it is not finite."""
    return evaluate(length)


@_finitely.def_jvp
def _finitely_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    evaluate, length = primals
    value = evaluate(length)
    finite = all_finite(value)
    # The way back through values that are not finite is NaN even where nothing comes back: it goes through the start.
    safe = jnp.where(finite, length, 0)
    tangent = eqx.filter_jvp(lambda evaluate, length: evaluate(length), (evaluate, safe), tangents)[1]
    return value, where(finite, tangent, zeros_like(tangent))
