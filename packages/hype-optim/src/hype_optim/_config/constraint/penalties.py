"""Penalties without a gradient, by their proximal operators."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import function
from hype_ad.internal.tree import scale, subtract
from jaxtyping import Array, Float, PyTree

from ..._hyperparameter.converters import Hyperparameter, check_prefix, non_negative
from ..regularization import Choice, L1Reg, choice
from .base import AbstractConstraint
from .parts import checked, replaced, spread


class SoftThreshold(AbstractConstraint):
    r"""The penalty $\lambda \|w\|_1$ by soft thresholding, which makes weights exactly 0 (Daubechies et al. 2004).

    `L1Reg` adds the same penalty to the objective by its gradient, and weights then swing about 0.

    Args:
        coefficient: $\lambda$, at least 0; or a pytree of coefficients that is a prefix of the structure of the weights
            that it applies to. Differentiable.
        where: the part of the weights that it applies to; all of them if not given.

    Raises:
        TypeError: if `where` is no function.
        ValueError: if `coefficient` is a number below 0.
    """

    entrywise: ClassVar[bool] = True

    coefficient: Hyperparameter = eqx.field(converter=non_negative("coefficient"), default=1e-4)
    where: Choice | None = eqx.field(static=True, converter=choice, default=None)

    def proximal(self, w: PyTree, length: PyTree) -> PyTree:
        """The weights, each nearer to 0 by the coefficient times the length, and 0 where it would pass it."""
        lengths = spread(length, w)
        lengths = lengths if self.where is None else self.where(lengths)

        def shrink(part: PyTree) -> PyTree:
            check_prefix("coefficient", self.coefficient, part)
            thresholds = scale(self.coefficient, jax.tree.map(lambda x, eta: jnp.full_like(x, eta), part, lengths))
            return subtract(part, jax.tree.map(lambda x, t: jnp.clip(x, -t, t), part, thresholds))

        return replaced(self.where, w, shrink)

    def penalty(self, w: PyTree) -> Float[Array, ""]:
        r"""$\lambda \|w\|_1$."""
        return L1Reg(self.coefficient, self.where)(w)


class Proximal(AbstractConstraint):
    r"""A penalty $h$ that is given by its proximal operator.

    Args:
        function: maps weights $v$ and a length $\eta$ to the $w$ that minimizes $\eta\, h(w) + \frac12 \|w - v\|^2$.
            If it is a pytree, such as `jax.tree_util.Partial(f, x)`, its arrays are differentiable.
        cost: maps weights to $h(w)$, a number.

    Raises:
        TypeError: if `function` or `cost` is no function.
    """

    function: Callable[[PyTree, Any], PyTree] = eqx.field(
        converter=lambda given: function("function", given, "a function of weights and a length to weights")
    )
    cost: Callable[[PyTree], Any] = eqx.field(
        converter=lambda given: function("cost", given, "a function from weights to a number")
    )

    def proximal(self, w: PyTree, length: PyTree) -> PyTree:
        """What the function gives."""
        return checked("function", self.function(w, length), w)

    def penalty(self, w: PyTree) -> Float[Array, ""]:
        """What `cost` gives."""
        return jnp.asarray(self.cost(w))
