"""`absolute` and `power` with derivatives of their own where JAX has another convention, or NaN."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float


def absolute(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Magnitude, with derivative 0 at 0, in the middle of -1 and 1 (JAX's own `abs` has 1)."""
    return jnp.sign(x) * x


def power(x: Any, y: Any) -> Array:
    """Power `x**y`, whose derivatives exist at `x = 0` wherever they do in mathematics.

    JAX's rule is $y x^{y-1}$, which at x = 0 is NaN once y has come down to 0: in the third derivative of `x**2.0`.
    """
    if type(y) is float and y.is_integer() and abs(y) <= 64:
        y = int(y)  # a polynomial, with a polynomial's derivatives
    if isinstance(y, int | float) or jnp.issubdtype(jnp.asarray(y).dtype, jnp.integer):
        return jnp.power(x, y)
    dtype = jnp.result_type(x, y)
    return _power(jnp.asarray(x, dtype), jnp.asarray(y, dtype))


@jax.custom_jvp
def _power(x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.power(x, y)


# With symbolic zeros: for x < 0 the derivative by y is NaN, and 0 * NaN would spoil the other one.
@partial(_power.defjvp, symbolic_zeros=True)
def _power_jvp(primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    (x, y), (dx, dy) = primals, tangents
    result = _power(x, y)
    tangent = jnp.zeros_like(result)
    if not isinstance(dx, SymbolicZero):
        constant = y == 0
        tangent += jnp.where(constant, 0.0, y * _power(x, jnp.where(constant, 1.0, y - 1))) * dx
    if not isinstance(dy, SymbolicZero):
        zero = x == 0
        tangent += jnp.where(zero, 0.0, jnp.log(jnp.where(zero, 1.0, x)) * result) * dy
    return result, tangent
