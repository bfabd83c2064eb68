"""Affine and linear maps."""

import jax.numpy as jnp
from hype_ad.internal.checks import boolean, integer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ._checks import optional
from ._initializer import AbstractInitializer, InitStandard
from ._layer import AbstractStatelessLayer


class Linear(AbstractStatelessLayer):
    r"""The map $x \mapsto W x + b$ of the last axis.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_neural import Linear
        >>> layer = Linear(3, 2, key=jax.random.key(0))
        >>> layer(jnp.ones(3)).shape, layer.num_parameters
        ((2,), 8)

    Args:
        in_features: length of $x$.
        out_features: length of the output.
        initializer: draws $W$; `InitStandard()` if not given. Differentiable. $b$ starts at 0.
        use_bias: whether there is a $b$.
        key: decides what is drawn.
        dtype: of the weights; JAX's default float dtype if not given.

    Raises:
        TypeError: if a length is not an integer, `initializer` not an initializer, `use_bias` not a truth value, `key`
            not a key, or `dtype` not one of floats.
        ValueError: if a length is below 1.
    """

    weight: Float[Array, "out_features in_features"]
    bias: Float[Array, " out_features"] | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        initializer: AbstractInitializer | None = None,
        *,
        use_bias: bool = True,
        key: PRNGKeyArray,
        dtype: DTypeLike | None = None,
    ):
        shape = integer("out_features", out_features, 1), integer("in_features", in_features, 1)
        initializer = optional("initializer", initializer, InitStandard(), AbstractInitializer)
        self.weight = initializer(key, *shape, dtype)
        self.bias = jnp.zeros(shape[0], self.weight.dtype) if boolean("use_bias", use_bias) else None

    def __call__(
        self, x: Float[Array, "... in_features"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "... out_features"]:
        """Map the last axis.

        Raises:
            ValueError: if it does not have `in_features` entries.
        """
        out_features, in_features = self.weight.shape
        if x.shape[-1:] != (in_features,):
            raise ValueError(
                f"Linear({in_features}, {out_features}) takes {in_features} features on the last axis, "
                f"got shape {x.shape}."
            )
        return affine(x, self.weight, self.bias)

    def init(self, key: PRNGKeyArray, initializer: AbstractInitializer | None = None) -> "Linear":
        """The same layer with weights drawn anew and a bias, if it has one, of 0."""
        out_features, in_features = self.weight.shape
        use_bias, dtype = self.bias is not None, self.weight.dtype
        return Linear(in_features, out_features, initializer, use_bias=use_bias, key=key, dtype=dtype)


def LinearNoBias(
    in_features: int,
    out_features: int,
    initializer: AbstractInitializer | None = None,
    *,
    key: PRNGKeyArray,
    dtype: DTypeLike | None = None,
) -> Linear:
    r"""`Linear` with `use_bias=False`, under the original's name: the map $x \mapsto W x$ of the last axis."""
    return Linear(in_features, out_features, initializer, use_bias=False, key=key, dtype=dtype)


def affine(
    x: Float[Array, "... in_features"],
    weight: Float[Array, "out_features in_features"],
    bias: Float[Array, " out_features"] | None,
) -> Float[Array, "... out_features"]:
    """$W x + b$ of the last axis."""
    y = x @ weight.T
    return y if bias is None else y + jnp.broadcast_to(bias, y.shape)
