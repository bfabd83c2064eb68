"""Backtracking line search."""

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.tree import where
from jaxtyping import Array, Float, PyTree

from ..._hyperparameter.converters import Hyperparameter, at_least, open_fraction, optional, positive_number
from ..._objective import Iterate
from ..constraint.base import NoConstraint
from .line import AbstractLineSearch, Found, Line, Search, Trial
from .projected import search_projected


class Backtrack(AbstractLineSearch):
    r"""Backtracking line search (Armijo 1966): the first of $a, a r, a r^2, \dots$ that decreases the objective enough.

    Enough is $f(w + a p) \le f(w) + c\, a\, p \cdot \nabla f(w)$; where the difference of values is rounding, the slope
    at $w + a p$ tells (Hager & Zhang 2005). Values that are not finite are not enough. If none of `max_trials` lengths
    is enough, no step is made. The derivative is that of $a r^k$ with the number $k$ of cuts as it came out; $c$ has
    influence on $k$ alone, so the derivative with respect to it is zero.

    Under a constraint it is the projected step that is made shorter, until the objective decreases as a parabola of
    curvature $1 / a$ would (Beck & Teboulle 2009, section 4): `c` is not used then, and if `rate` is `None` the first
    length after a first step is $1 / r$ times the last one.

    Args:
        rate: $a$, above 0. Differentiable. If `None`, it is 1 for a direction that is a step in itself, as those of
            `Newton`, `NewtonCG` and `LBFGS` are. For others it is the length of a step of length 1 at first, and then
            the one that promises $1 / r$ times the decrease of the last step.
        c: the Armijo (sufficient decrease) constant, above 0 and below 1.
        shrink: $r$, above 0 and below 1. Differentiable.
        max_trials: the most lengths tried in one step.

    Raises:
        TypeError: if `max_trials` is not an integer.
        ValueError: if a number is out of its range.
    """

    rate: Hyperparameter | None = eqx.field(converter=optional(positive_number("rate", single=True)), default=None)
    c: Hyperparameter = eqx.field(converter=open_fraction("c", single=True), default=1e-4)
    shrink: Hyperparameter = eqx.field(converter=open_fraction("shrink", single=True), default=0.5)
    max_trials: int = eqx.field(static=True, converter=at_least("max_trials", 1), default=50, kw_only=True)

    def search(self, direction: PyTree, memory: Float[Array, ""], iterate: Iterate) -> Found:
        """The direction times the length found, or under a constraint the projected step of that length."""
        if not isinstance(iterate.constraint, NoConstraint):
            return search_projected(iterate, direction, self.rate, memory, self.shrink, self.max_trials)
        line = Line(iterate, direction)
        c, shrink = line.number(self.c), line.number(self.shrink)

        def judge(search: Search, trial: Trial) -> Search:
            enough = line.decreased(trial, c)
            shorter = jnp.where(enough | line.is_hopeless(trial), 0, shrink * trial.length)
            return Search(where(enough, trial, search.low), trial, shorter)

        first = line.first_length(line.number(memory) / shrink) if self.rate is None else line.length(self.rate)
        return line.search(judge, first, self.max_trials)
