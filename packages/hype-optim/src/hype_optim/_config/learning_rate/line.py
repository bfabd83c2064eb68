"""The objective along a direction, as line searches see it."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.tree import add, all_finite, dot, scale, where, zeros_like
from jaxtyping import Array, Bool, Float, PyTree

from ..._objective import Iterate

ValueAndSlope = tuple[Float[Array, ""], Float[Array, ""]]


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

    def value_and_slope(self, length: Float[Array, ""]) -> ValueAndSlope:
        r"""$\phi(a)$ and $\phi'(a)$, for one evaluation in forward mode; of derivative 0 where they are not finite."""

        def evaluate(length: Float[Array, ""]) -> ValueAndSlope:
            return jax.jvp(self._iterate.objective, (self._at(length),), (self._direction,))

        return _finitely(eqx.filter_closure_convert(evaluate, length), length)

    def decreased(self, length: Float[Array, ""], value: Float[Array, ""], c: Float[Array, ""]) -> Bool[Array, ""]:
        r"""Whether $\phi(a) \le \phi(0) + c\, a\, \phi'(0)$; not where the value is NaN."""
        return value <= self.start + c * length * self.slope + self._rounding

    def _at(self, length: Float[Array, ""]) -> PyTree:
        return add(self._iterate.w, scale(length, self._direction))


@eqx.filter_custom_jvp
def _finitely(evaluate: Callable[[Float[Array, ""]], ValueAndSlope], length: Float[Array, ""]) -> ValueAndSlope:
    return evaluate(length)


@_finitely.def_jvp
def _finitely_jvp(primals: tuple, tangents: tuple) -> tuple[ValueAndSlope, ValueAndSlope]:
    evaluate, length = primals
    value = evaluate(length)
    finite = all_finite(value)
    # The way back through values that are not finite is NaN even where nothing comes back: it goes through the start.
    safe = jnp.where(finite, length, 0)
    tangent = eqx.filter_jvp(lambda evaluate, length: evaluate(length), (evaluate, safe), tangents)[1]
    return value, where(finite, tangent, zeros_like(tangent))
