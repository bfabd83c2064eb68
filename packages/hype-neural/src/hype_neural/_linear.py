"""Affine and linear maps."""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ._checks import float_type, positive_size
from ._initializer import AbstractInitializer, InitStandard
from ._layer import Layer


class Linear(Layer):
    r"""The map $x \mapsto W x + b$ of the last axis.

    Args:
        in_features: length of $x$.
        out_features: length of the output.
        initializer: draws $W$; `InitStandard()` if not given. Differentiable. $b$ starts at 0.
        key: decides what is drawn.
        dtype: of the weights; JAX's default float dtype if not given.

    Raises:
        TypeError: if a length is not an integer, or `dtype` is not one of floats.
        ValueError: if a length is below 1.
    """

    weight: Float[Array, "out_features in_features"]
    bias: Float[Array, " out_features"]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        initializer: AbstractInitializer | None = None,
        *,
        key: PRNGKeyArray,
        dtype: DTypeLike | None = None,
    ):
        self.weight = _draw(in_features, out_features, initializer, key, dtype)
        self.bias = jnp.zeros(out_features, self.weight.dtype)

    def __call__(
        self, x: Float[Array, "... in_features"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "... out_features"]:
        """Map the last axis.

        Raises:
            ValueError: if it does not have `in_features` entries.
        """
        y = _product(self, x, self.weight)
        return y + jnp.broadcast_to(self.bias, y.shape)

    def init(self, key: PRNGKeyArray, initializer: AbstractInitializer | None = None) -> "Linear":
        """The same layer with weights drawn anew and a bias of 0."""
        out_features, in_features = self.weight.shape
        return Linear(in_features, out_features, initializer, key=key, dtype=self.weight.dtype)


class LinearNoBias(Layer):
    r"""The map $x \mapsto W x$ of the last axis.

    Args:
        in_features: length of $x$.
        out_features: length of the output.
        initializer: draws $W$; `InitStandard()` if not given. Differentiable.
        key: decides what is drawn.
        dtype: of the weights; JAX's default float dtype if not given.

    Raises:
        TypeError: if a length is not an integer, or `dtype` is not one of floats.
        ValueError: if a length is below 1.
    """

    weight: Float[Array, "out_features in_features"]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        initializer: AbstractInitializer | None = None,
        *,
        key: PRNGKeyArray,
        dtype: DTypeLike | None = None,
    ):
        self.weight = _draw(in_features, out_features, initializer, key, dtype)

    def __call__(
        self, x: Float[Array, "... in_features"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "... out_features"]:
        """Map the last axis.

        Raises:
            ValueError: if it does not have `in_features` entries.
        """
        return _product(self, x, self.weight)

    def init(self, key: PRNGKeyArray, initializer: AbstractInitializer | None = None) -> "LinearNoBias":
        """The same layer with weights drawn anew."""
        out_features, in_features = self.weight.shape
        return LinearNoBias(in_features, out_features, initializer, key=key, dtype=self.weight.dtype)


def _draw(
    in_features: int,
    out_features: int,
    initializer: AbstractInitializer | None,
    key: PRNGKeyArray,
    dtype: DTypeLike | None,
) -> Float[Array, "out_features in_features"]:
    shape = positive_size("out_features", out_features), positive_size("in_features", in_features)
    initializer = InitStandard() if initializer is None else initializer
    return initializer(key, *shape, float_type("dtype", dtype))


def _product(
    layer: Layer, x: Float[Array, "..."], weight: Float[Array, "out_features in_features"]
) -> Float[Array, "... out_features"]:
    if x.shape[-1:] != weight.shape[-1:]:
        raise ValueError(
            f"{layer.name}({weight.shape[1]}, {weight.shape[0]}) takes {weight.shape[1]} features on the last axis, "
            f"got shape {x.shape}."
        )
    return x @ weight.T
