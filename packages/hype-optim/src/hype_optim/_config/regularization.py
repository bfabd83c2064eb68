"""Penalties on the weights."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad import absolute
from hype_ad.internal.checks import function
from hype_ad.internal.tree import scale, sum_of
from jaxtyping import Array, Float, PyTree

from .._hyperparameter.converters import Hyperparameter, check_prefix, non_negative

Choice = Callable[[PyTree], PyTree]
"""What gives a part of the weights, such as `lambda w: w.weight` or `lambda w: [w["a"], w["b"]]`."""


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


def choice(where: Choice | None) -> Choice | None:
    """A converter of what says which part of the weights is meant."""
    return None if where is None else function("where", where, "a function from the weights to a part of them")


def all_weights(w: PyTree) -> PyTree:
    """What the default penalty of a `Params` applies to: by this name it is told from a penalty that was given."""
    return w


class L1Reg(AbstractRegularization):
    r"""The penalty $\lambda \|w\|_1$.

    Args:
        coefficient: $\lambda$, at least 0, or a pytree as in `L2Reg`. Differentiable.
        where: the part of the weights that it applies to, as in `L2Reg`.

    Raises:
        TypeError: as in `L2Reg`.
        ValueError: as in `L2Reg`.
    """

    coefficient: Hyperparameter = eqx.field(converter=non_negative("coefficient"), default=1e-4)
    where: Choice | None = eqx.field(static=True, converter=choice, default=None)

    def __call__(self, w: PyTree) -> Float[Array, ""]:
        r"""$\lambda \|w\|_1$, with derivative 0 in weights that are zero."""
        return _weighted_sum(self.coefficient, self.where, w, absolute)


class L2Reg(AbstractRegularization):
    r"""The penalty $\lambda \|w\|_2^2$, without a factor of one half: weight decay of $2 \lambda$ in Optax's terms.

    Args:
        coefficient: $\lambda$, at least 0; or a pytree of coefficients that is a prefix of the weights' structure,
            such as one per layer or one per weight. Differentiable.
        where: the part of the weights that it applies to, such as `lambda model: [layer.weight for layer in
            model.layers]`, which leaves the biases out; all of them if not given, also those that a model holds
            constant by `jax.lax.stop_gradient`. A pytree of coefficients is then a prefix of what this gives. Not a
            leaf, so a new function compiles again.

    Raises:
        TypeError: if `where` is no function.
        ValueError: if `coefficient` is a number below 0, or, in training, if `where` gives no floats or if the
            coefficients are not a prefix.
    """

    coefficient: Hyperparameter = eqx.field(converter=non_negative("coefficient"), default=1e-4)
    where: Choice | None = eqx.field(static=True, converter=choice, default=None)

    def __call__(self, w: PyTree) -> Float[Array, ""]:
        r"""$\lambda \|w\|_2^2$."""
        return _weighted_sum(self.coefficient, self.where, w, jnp.square)


def _weighted_sum(
    coefficient: Hyperparameter, where: Choice | None, w: PyTree, each: Callable[[Array], Array]
) -> Float[Array, ""]:
    """The sum of `each` entry times its coefficient."""
    chosen = eqx.filter(w if where is None else where(w), eqx.is_inexact_array)
    if not jax.tree.leaves(chosen):
        raise ValueError("`where` of the regularization must give at least one leaf of floats, got none.")
    check_prefix("coefficient", coefficient, chosen)
    return sum_of(jax.tree.map(jnp.sum, scale(coefficient, jax.tree.map(each, chosen))))
