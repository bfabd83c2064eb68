"""Correlations, by their Cholesky factors."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .base import AbstractTransform


class CholeskyCorrelation(AbstractTransform):
    r"""Lower Cholesky factors of correlation matrices along the last two axes: rows of length one, positive diagonals.

    $k (k-1) / 2$ numbers make a factor of $k$ rows, $L_{ij} = \tanh(y_{ij}) \sqrt{\prod_{m<j} (1 - \tanh^2 y_{im})}$
    below the diagonal (Lewandowski et al. 2009). The density is one of the entries below the diagonal of the factor,
    as LKJ's for Cholesky factors is, $\sum_i (k - i + 2 \eta - 2) \log L_{ii}$.
    """

    def forward_and_log_det(self, y: Float[Array, "*batch n"]) -> tuple[Float[Array, "*batch k k"], Float[Array, ""]]:
        """The factors, and the logarithm of the determinant of the Jacobian of what is below their diagonals."""
        k = (1 + math.isqrt(1 + 8 * y.shape[-1])) // 2
        rows, columns = np.tril_indices(k, -1)
        below = jnp.zeros((*y.shape[:-1], k, k), y.dtype).at[..., rows, columns].set(y)
        log_rest = -2 * (jnp.logaddexp(below, -below) - np.log(2.0).astype(y.dtype))  # log(1 - tanh^2), 0 elsewhere
        before = jnp.cumsum(log_rest, axis=-1) - log_rest
        factor = (jnp.tanh(below) + jnp.eye(k, dtype=y.dtype)[(None,) * (y.ndim - 1)]) * jnp.exp(before / 2)
        return factor, jnp.sum((before / 2 + log_rest)[..., rows, columns])

    def inverse(self, x: Float[Array, "*batch k k"]) -> Float[Array, "*batch n"]:
        """The inverse hyperbolic tangents of partial correlations."""
        rows, columns = np.tril_indices(x.shape[-1], -1)
        rest = 1 - (jnp.cumsum(x**2, axis=-1) - x**2)
        return jnp.arctanh(x[..., rows, columns] / jnp.sqrt(rest[..., rows, columns]))
