"""Feature scaling: standardization and min-max normalization, to be applied to other data too."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.checks import as_float_array, float_dtype_of
from hype_ad.internal.extremes import largest, smallest
from hype_ad.internal.narrowing import check_fits
from jaxtyping import Array, Bool, Float, Num


class Scaling(eqx.Module):
    r"""The map $x \mapsto (x - \text{shift}) / \text{scale}$ of each feature, and its inverse.

    Made by `Dataset.standardize` and `Dataset.normalize` from training data, to be applied to test data too:
    `test.map_x(scaling)`. Differentiable in its two arrays and in what it is applied to.
    """

    shift: Float[Array, "..."]
    scale: Float[Array, "..."]

    def __call__(self, x: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
        """Scale rows, or one row: an array whose last axes are those of `shift`.

        Raises:
            ValueError: if the last axes of `x` are others, or it has a number that its dtype in JAX does not hold.
        """
        x = self._checked("x", x)
        return (x - _like(x, self.shift)) / _like(x, self.scale)

    def inverse(self, z: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
        """The rows that are scaled to `z`.

        Raises:
            ValueError: if the last axes of `z` are not those of `shift`.
        """
        z = self._checked("z", z)
        return z * _like(z, self.scale) + _like(z, self.shift)

    def _checked(self, name: str, x: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
        check_fits(name, x, float_dtype_of(x))
        x, features = as_float_array(x), self.shift.shape
        if x.shape[x.ndim - len(features) :] != features:
            raise ValueError(
                f"A scaling of features of shape {features} cannot be applied to an array of shape {x.shape}."
            )
        return x


def standard_scaling(rows: Num[Array, "rows ..."]) -> Scaling:
    """Each feature to mean 0 and standard deviation 1; a feature without variation to 0."""
    rows = _some_rows(rows)
    return Scaling(jnp.mean(rows, axis=0), _deviation(rows, jnp.var(rows, axis=0)))


def unit_scaling(rows: Num[Array, "rows ..."]) -> Scaling:
    """Each feature to the range from 0 to 1; a feature without variation to 0."""
    rows = _some_rows(rows)
    lowest = smallest(rows, 0)
    width = largest(rows, 0) - lowest
    return Scaling(lowest, _one_unless(width > 0, width))


def _some_rows(rows: Num[Array, "rows ..."]) -> Float[Array, "rows ..."]:
    if rows.shape[0] == 0:
        raise ValueError("A data set without examples has no scale.")
    return as_float_array(rows)


def _one_unless(condition: Bool[Array, "..."], x: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.where(condition, x, jnp.ones_like(x))


# Compiled, as by itself each operation would be compiled too; inlined, so that inside of a program it is nothing new.
@partial(jax.jit, inline=True)
def _deviation(rows: Float[Array, "rows ..."], variance: Float[Array, "..."]) -> Float[Array, "..."]:
    # Rounding can leave a constant feature a tiny variance, which must not become a divisor.
    varies = (jnp.max(rows, axis=0) > jnp.min(rows, axis=0)) & (variance > 0)
    return _one_unless(varies, jnp.sqrt(_one_unless(varies, variance)))


def _like(x: Float[Array, "..."], values: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.broadcast_to(values.astype(x.dtype), x.shape)
