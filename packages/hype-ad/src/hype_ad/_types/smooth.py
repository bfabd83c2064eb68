"""`absolute` and `power` with derivatives of their own where JAX has another convention, or NaN."""

import math
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
    r"""Power `x**y`, whose derivatives exist at `x = 0` wherever they do in mathematics.

    JAX's rule is $y x^{y-1}$, which at x = 0 is NaN once y has come down to 0: in the third derivative of `x**2.0`.
    Where a derivative is infinite, as that of `0**y` by y at y = 0 is, it is given as infinite.
    """
    if isinstance(y, float) and y.is_integer() and abs(y) <= 64:
        y = int(y)  # a polynomial, with a polynomial's derivatives
    if isinstance(y, int | float) or jnp.issubdtype(jnp.asarray(y).dtype, jnp.integer):
        return jnp.power(x, y)
    dtype = jnp.result_type(x, y)
    return _power(jnp.asarray(x, dtype), jnp.asarray(y, dtype), 0, 0)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _power(x: Float[Array, "..."], y: Float[Array, "..."], m: int, n: int) -> Float[Array, "..."]:
    r"""The derivative $\partial_x^m \partial_y^n x^y = \partial_y^n [y (y-1) \cdots (y-m+1)\, x^{y-m}]$.

    By the product rule it is $x^{y-m}$ times a polynomial in $\log x$. At x = 0 that is its limit: the highest power
    of the logarithm decides, which Horner's scheme sees to, and what is 0 stays 0 beside any infinity.
    """
    power = jnp.power(x, y - m)
    if n:
        power = jnp.where(x < 0, jnp.nan, power)
    taylor = [jnp.ones_like(y), *[jnp.zeros_like(y)] * n]  # of y (y-1) ... (y-m+1), in its argument
    for i in range(m):
        taylor = [c * (y - i) + lower for c, lower in zip(taylor, [jnp.zeros_like(y), *taylor], strict=False)]
    factor = taylor[0]
    for i in range(1, n + 1):
        factor = _product(factor, jnp.log(x)) + math.perm(n, i) * taylor[i]
    return _product(power, factor)


def _product(a: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.where((a == 0) | (b == 0), 0.0, a * b)


# With symbolic zeros: where one derivative is NaN or infinite, 0 times that would spoil the other one.
@partial(_power.defjvp, symbolic_zeros=True)
def _power_jvp(m: int, n: int, primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    (x, y), (dx, dy) = primals, tangents
    result = _power(x, y, m, n)
    tangent = jnp.zeros_like(result)
    if not isinstance(dx, SymbolicZero):
        tangent += _power(x, y, m + 1, n) * dx
    if not isinstance(dy, SymbolicZero):
        tangent += _power(x, y, m, n + 1) * dy
    return result, tangent
