"""Penalties on the weights."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ._checks import Hyperparameter, HyperparameterLike, non_negative_number
from ._tree import scale, sum_of


class AbstractRegularization(eqx.Module):
    """A penalty that a training adds to its loss."""

    @abc.abstractmethod
    def __call__(self, w: PyTree) -> Float[Array, ""] | float:
        """The penalty of the weights."""


class NoReg(AbstractRegularization):
    """No penalty."""

    def __call__(self, w: PyTree) -> float:
        """Zero."""
        return 0.0


class L1Reg(AbstractRegularization):
    r"""The penalty $\lambda \|w\|_1$.

    Args:
        coefficient: $\lambda$, at least 0; or a pytree of coefficients that is a prefix of the weights' structure,
            such as one per layer or one per weight. Differentiable.

    Raises:
        ValueError: if `coefficient` is a number below 0.
    """

    coefficient: Hyperparameter

    def __init__(self, coefficient: HyperparameterLike = 1e-4):
        self.coefficient = non_negative_number("coefficient", coefficient)

    def __call__(self, w: PyTree) -> Float[Array, ""]:
        r"""$\lambda \|w\|_1$, with derivative 0 in weights that are zero."""
        return sum_of(jax.tree.map(jnp.sum, scale(self.coefficient, jax.tree.map(jnp.abs, w))))


class L2Reg(AbstractRegularization):
    r"""The penalty $\lambda \|w\|_2^2$, without a factor of one half.

    Args:
        coefficient: $\lambda$, at least 0; or a pytree of coefficients that is a prefix of the weights' structure,
            such as one per layer or one per weight. Differentiable.

    Raises:
        ValueError: if `coefficient` is a number below 0.
    """

    coefficient: Hyperparameter

    def __init__(self, coefficient: HyperparameterLike = 1e-4):
        self.coefficient = non_negative_number("coefficient", coefficient)

    def __call__(self, w: PyTree) -> Float[Array, ""]:
        r"""$\lambda \|w\|_2^2$."""
        return sum_of(jax.tree.map(jnp.sum, scale(self.coefficient, jax.tree.map(jnp.square, w))))
