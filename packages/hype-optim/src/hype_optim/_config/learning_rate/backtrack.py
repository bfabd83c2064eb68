"""Backtracking line search."""

from typing import ClassVar

import equinox as eqx
from hype_ad.internal.tree import scale
from jaxtyping import Array, Bool, Float, PyTree

from ..._hyperparameter.converters import Hyperparameter, at_least, open_fraction, positive_number
from ..._objective import Iterate
from ..._transform.while_loop import bounded_while_loop
from .base import AbstractLearningRate
from .line import Line


class Backtrack(AbstractLearningRate):
    r"""Backtracking line search (Armijo 1966): the first of $a, a r, a r^2, \dots$ that decreases the objective enough.

    Enough is $f(w + a p) \le f(w) + c\, a\, p \cdot \nabla f(w)$, but for rounding. Values that are not finite are not
    enough. If none of `max_trials` lengths is enough, the last is taken. The derivative is that of $a r^k$ with the
    number $k$ of cuts as it came out; $c$ has influence on $k$ alone, so the derivative with respect to it is zero.

    Args:
        rate: $a$, above 0. Differentiable.
        c: the Armijo (sufficient decrease) constant, above 0 and below 1.
        shrink: $r$, above 0 and below 1. Differentiable.
        max_trials: the most lengths tried in one step.

    Raises:
        TypeError: if `max_trials` is not an integer.
        ValueError: if a number is out of its range.
    """

    searches: ClassVar[bool] = True

    rate: Hyperparameter = eqx.field(converter=positive_number("rate", single=True), default=1.0)
    c: Hyperparameter = eqx.field(converter=open_fraction("c", single=True), default=1e-4)
    shrink: Hyperparameter = eqx.field(converter=open_fraction("shrink", single=True), default=0.5)
    max_trials: int = eqx.field(static=True, converter=at_least("max_trials", 1), default=50, kw_only=True)

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        return ()

    def update(self, direction: PyTree, memory: tuple[()], iterate: Iterate) -> tuple[PyTree, tuple[()]]:
        """The direction times the length found."""
        line = Line(iterate, direction)

        def enough(length: Float[Array, ""]) -> Bool[Array, ""]:
            return line.decreased(length, line.value(length), self.c)

        def advance(trial: tuple[Float[Array, ""], Bool[Array, ""]]) -> tuple[Float[Array, ""], Bool[Array, ""]]:
            shorter = self.shrink * trial[0]
            return shorter, enough(shorter)

        first = self.rate, enough(self.rate)
        length, _ = bounded_while_loop(lambda trial: ~trial[1], advance, first, self.max_trials - 1)
        return scale(length, direction), memory
