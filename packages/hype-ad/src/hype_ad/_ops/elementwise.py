"""Elementwise functions of tensors and of arrays, differentiable to any order.

Conventions where a derivative does not exist: `absolute` has 0 at 0, `maximum` and `minimum` split it equally at a tie,
`relu` has 0 at 0, the steps (`floor`, `ceil`, `round`, `sign`) have 0 everywhere. Where it is infinite, as that of
`sqrt` at 0, it is given as infinite. A convention for a corner holds for first derivatives: a smooth function that is
made of one with a corner, as $x^2$ is of `absolute(x)`, has another second derivative there. Write it without.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import smooth
from .lift import elementwise, pairwise

exp = elementwise("exp", jnp.exp, "Exponential $e^x$.")
log = elementwise("log", jnp.log, "Natural logarithm: minus infinity at 0, NaN below.")
log10 = elementwise("log10", jnp.log10, "Logarithm to base 10: minus infinity at 0, NaN below.")
sqrt = elementwise(
    "sqrt", jnp.sqrt, "Square root: NaN below 0, with an infinite derivative at 0 (`l2norm` has a finite one)."
)
sin = elementwise("sin", jnp.sin, "Sine of an angle in radians.")
cos = elementwise("cos", jnp.cos, "Cosine of an angle in radians.")
tan = elementwise("tan", jnp.tan, "Tangent of an angle in radians.")
asin = elementwise("asin", jnp.arcsin, "Angle in [-pi/2, pi/2] whose sine is `x`; NaN outside [-1, 1].")
acos = elementwise("acos", jnp.arccos, "Angle in [0, pi] whose cosine is `x`; NaN outside [-1, 1].")
atan = elementwise("atan", jnp.arctan, "Angle in (-pi/2, pi/2) whose tangent is `x`.")
sinh = elementwise("sinh", jnp.sinh, "Hyperbolic sine.")
cosh = elementwise("cosh", jnp.cosh, "Hyperbolic cosine.")
tanh = elementwise("tanh", jnp.tanh, "Hyperbolic tangent.")
absolute = elementwise(
    "absolute",
    smooth.absolute,
    "Magnitude, with derivative 0 at 0 as in the original; what `abs` of a tensor gives (JAX's `abs` has 1 there). "
    "For its square write `x * x`: the convention makes the second derivative of `absolute(x)**2` 0 at 0, not 2.",
)
sign = elementwise("sign", jnp.sign, "-1, 0 or 1, with derivative 0.")
floor = elementwise("floor", jnp.floor, "Largest integer that is not above `x`, with derivative 0.")
ceil = elementwise("ceil", jnp.ceil, "Smallest integer that is not below `x`, with derivative 0.")
round = elementwise("round", jnp.round, "Nearest integer, halves to even, with derivative 0.")
relu = elementwise(
    "relu",
    lambda x: jnp.where(x <= 0, 0.0, x),
    "Rectifier $max(0, x)$, with derivative 0 at 0 as in JAX (the original had 1/2); NaN stays NaN.",
)
sigmoid = elementwise("sigmoid", jax.lax.logistic, "Logistic function $1 / (1 + e^{-x})$.")
# JAX's rule has softplus in it, so the kink of its |x| reaches no derivative. It is also what XLA compiles in the least
# time at high orders; programs of the same length with `log1p` or `logistic` take up to ten times as long.
softplus = elementwise(
    "softplus",
    jax.nn.softplus,
    "Smooth rectifier $log(1 + e^x)$, without overflow; its derivative is the logistic function to any order.",
)


def _softsign(x: Float[Array, "..."]) -> Float[Array, "..."]:
    # Far from 0 by the reciprocal: infinity over infinity is NaN.
    far = jnp.abs(x) > 1
    near, reciprocal = jnp.where(far, 0.0, x), 1 / jnp.where(far, x, 1.0)
    return jnp.where(far, jnp.sign(x) / (1 + smooth.absolute(reciprocal)), near / (1 + smooth.absolute(near)))


softsign = elementwise("softsign", _softsign, r"Smooth sign $x / (1 + |x|)$, which is $\pm 1$ at $\pm\infty$.")


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
    """Angle of the point (x, y) in (-pi, pi]; at the origin, where it has none, 0 with derivative 0."""
    origin = (x == 0) & (y == 0)
    return jnp.arctan2(jnp.where(origin, 0.0, y), jnp.where(origin, 1.0, x))
