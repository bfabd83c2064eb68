"""The objective along a direction, as line searches see it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .._objective import Iterate
from .._tree import add, dot, scale


class Line:
    r"""The function $\phi(a) = f(w + a p)$ of a length $a$."""

    def __init__(self, iterate: Iterate, direction: PyTree):
        self._iterate = iterate
        self._direction = direction
        self.start = iterate.value
        self.slope = dot(iterate.gradient, direction)
        # Near a minimum differences of values are rounding, and must not be taken for an increase.
        self._rounding = 10 * jnp.finfo(self.start.dtype).eps * jnp.abs(self.start)

    def value(self, length: Float[Array, ""]) -> Float[Array, ""]:
        r"""$\phi(a)$."""
        return self._iterate.objective(self._at(length))

    def value_and_slope(self, length: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        r"""$\phi(a)$ and $\phi'(a)$, for one evaluation in forward mode."""
        return jax.jvp(self._iterate.objective, (self._at(length),), (self._direction,))

    def decreased(self, length: Float[Array, ""], value: Float[Array, ""], c: Float[Array, ""]) -> Bool[Array, ""]:
        r"""Whether $\phi(a) \le \phi(0) + c\, a\, \phi'(0)$; not where the value is NaN."""
        return value <= self.start + c * length * self.slope + self._rounding

    def _at(self, length: Float[Array, ""]) -> PyTree:
        return add(self._iterate.w, scale(length, self._direction))
