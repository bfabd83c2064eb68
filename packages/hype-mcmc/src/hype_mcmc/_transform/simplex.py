"""Vectors of positive numbers whose sum is one."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .base import AbstractTransform


class Simplex(AbstractTransform):
    r"""Probabilities along the last axis, at least two: positive, and their sum is one.

    $x = \operatorname{softmax}(V y)$ with orthonormal columns $V$ whose sums are zero, the isometric log-ratio
    transform (Egozcue et al. 2003): no entry is treated unlike the others. There is one number less than there are
    probabilities, and the density is one of all of them but the last.
    """

    def forward_and_log_det(self, y: Float[Array, "*batch less"]) -> tuple[Float[Array, "*batch k"], Float[Array, ""]]:
        r"""The probabilities, and $\frac12 \log k + \sum_i \log x_i$ of each vector."""
        size = y.shape[-1] + 1
        # No matrix product, whose rounding depends on how many vectors there are.
        log_x = jax.nn.log_softmax(jnp.sum(y[..., None, :] * _basis(size, y), axis=-1), axis=-1)
        return jnp.exp(log_x), jnp.sum(jnp.sum(log_x, axis=-1) + 0.5 * np.log(size).astype(y.dtype))

    def inverse(self, x: Float[Array, "*batch k"]) -> Float[Array, "*batch less"]:
        """The coordinates of the logarithms."""
        return jnp.sum(jnp.log(x)[..., None] * _basis(x.shape[-1], x), axis=-2)


def _basis(size: int, like: Float[Array, "*batch m"]) -> Float[np.ndarray, "*ones k less"]:
    """Helmert's orthonormal basis of the vectors whose sum is zero, of the dtype of a batch and one more axis."""
    n = np.arange(1, size)
    basis = (np.triu(np.ones((size, size - 1))) - np.diag(n.astype(float), -1)[:, : size - 1]) / np.sqrt(n * (n + 1))
    return basis.astype(like.dtype)[(None,) * (like.ndim - 1)]
