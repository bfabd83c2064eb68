"""Elementwise functions of tensors and of arrays, differentiable to any order.

Conventions where a derivative does not exist: `absolute` has 0 at 0, `maximum` and `minimum` split it equally at a tie,
`relu` has 0 at 0, the steps (`floor`, `ceil`, `round`, `sign`) have 0 everywhere. Where it is infinite, as that of
`sqrt` at 0, it is given as infinite.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import smooth
from .lift import elementwise, pairwise


@elementwise
def exp(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Exponential $e^x$."""
    return jnp.exp(x)


@elementwise
def log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Natural logarithm: minus infinity at 0, NaN below."""
    return jnp.log(x)


@elementwise
def log10(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Logarithm to base 10: minus infinity at 0, NaN below."""
    return jnp.log10(x)


@elementwise
def sqrt(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Square root: NaN below 0, with an infinite derivative at 0 (`l2norm` has a finite one)."""
    return jnp.sqrt(x)


@elementwise
def sin(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Sine of an angle in radians."""
    return jnp.sin(x)


@elementwise
def cos(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Cosine of an angle in radians."""
    return jnp.cos(x)


@elementwise
def tan(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Tangent of an angle in radians."""
    return jnp.tan(x)


@elementwise
def asin(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Angle in [-pi/2, pi/2] whose sine is `x`; NaN outside [-1, 1]."""
    return jnp.arcsin(x)


@elementwise
def acos(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Angle in [0, pi] whose cosine is `x`; NaN outside [-1, 1]."""
    return jnp.arccos(x)


@elementwise
def atan(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Angle in (-pi/2, pi/2) whose tangent is `x`."""
    return jnp.arctan(x)


@elementwise
def sinh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Hyperbolic sine."""
    return jnp.sinh(x)


@elementwise
def cosh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Hyperbolic cosine."""
    return jnp.cosh(x)


@elementwise
def tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Hyperbolic tangent."""
    return jnp.tanh(x)


@elementwise
def absolute(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Magnitude, with derivative 0 at 0 as in the original; what `abs` of a tensor gives (JAX's `abs` has 1 there)."""
    return smooth.absolute(x)


@elementwise
def sign(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """-1, 0 or 1, with derivative 0."""
    return jnp.sign(x)


@elementwise
def floor(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Largest integer that is not above `x`, with derivative 0."""
    return jnp.floor(x)


@elementwise
def ceil(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Smallest integer that is not below `x`, with derivative 0."""
    return jnp.ceil(x)


@elementwise
def round(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Nearest integer, halves to even, with derivative 0."""
    return jnp.round(x)


@elementwise
def relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Rectifier $max(0, x)$, with derivative 0 at 0 as in JAX (the original had 1/2); NaN stays NaN."""
    return jnp.where(x <= 0, 0.0, x)


@elementwise
def sigmoid(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Logistic function $1 / (1 + e^{-x})$."""
    return jax.lax.logistic(x)


@elementwise
def softplus(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Smooth rectifier $log(1 + e^x)$, without overflow; its derivative is the logistic function to any order."""
    # JAX's rule has softplus in it, so the kink of its |x| reaches no derivative. It is also what XLA compiles in the
    # least time at high orders; programs of the same length with `log1p` or `logistic` take up to ten times as long.
    return jax.nn.softplus(x)


@elementwise
def softsign(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Smooth sign $x / (1 + |x|)$, which is $\pm 1$ at $\pm\infty$."""
    # Far from 0 by the reciprocal: infinity over infinity is NaN.
    far = jnp.abs(x) > 1
    near, reciprocal = jnp.where(far, 0.0, x), 1 / jnp.where(far, x, 1.0)
    return jnp.where(far, jnp.sign(x) / (1 + smooth.absolute(reciprocal)), near / (1 + smooth.absolute(near)))


@pairwise
def maximum(x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """Larger of two elements; at a tie each side has half of the derivative."""
    return jnp.maximum(x, y)


@pairwise
def minimum(x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """Smaller of two elements; at a tie each side has half of the derivative."""
    return jnp.minimum(x, y)


@pairwise
def atan2(y: Float[Array, "..."], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Angle of the point (x, y) in (-pi, pi]; 0 with derivative 0 at the origin."""
    origin = (x == 0) & (y == 0)
    return jnp.arctan2(jnp.where(origin, 0.0, y), jnp.where(origin, 1.0, x))
