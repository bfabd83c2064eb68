r"""Constraints: sets that the weights stay in, and penalties that have no gradient, by their proximal operators.

After a step of length $\eta$ to $v$ the weights become $\operatorname{prox}_{\eta h}(v)$, which minimizes
$\eta\, h(w) + \frac12 \|w - v\|_2^2$ (Parikh & Boyd 2014, "Proximal algorithms"). For a set, whose $h$ is 0 inside and
infinite outside, that is the projection onto it, whatever the length.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.tree import subtract
from jaxtyping import Array, Float, PyTree


class AbstractConstraint(eqx.Module):
    """What the weights are brought back to after each step.

    Attributes:
        entrywise: whether it looks at each entry of the weights alone, so that entries may have steps of different
            lengths.
    """

    entrywise: ClassVar[bool] = False

    @abc.abstractmethod
    def proximal(self, w: PyTree, length: PyTree) -> PyTree:
        r"""$\operatorname{prox}_{\eta h}(w)$ for a length $\eta$, one number or a prefix of the weights' structure."""

    @abc.abstractmethod
    def penalty(self, w: PyTree) -> Float[Array, ""] | float:
        """What is added to the objective: 0 for a set."""

    def penalized(self, value: Float[Array, ""], w: PyTree) -> Float[Array, ""]:
        """The value of an objective with the penalty."""
        return value if isinstance(self, AbstractSet) else value + jnp.asarray(self.penalty(w), value.dtype)

    def residual(self, w: PyTree, gradient: PyTree) -> PyTree:
        r"""$w - \operatorname{prox}_h(w - g)$, 0 where $w$ is stationary: the gradient, where nothing binds."""
        return subtract(w, self.proximal(subtract(w, gradient), jnp.ones(())))


class AbstractSet(AbstractConstraint):
    """A set that the weights stay in; the length of a step does not matter to its projection."""

    @abc.abstractmethod
    def project(self, w: PyTree) -> PyTree:
        """The nearest weights in the set."""

    def proximal(self, w: PyTree, length: PyTree) -> PyTree:
        """The projection."""
        return self.project(w)

    def penalty(self, w: PyTree) -> float:
        """Zero."""
        return 0.0


class NoConstraint(AbstractSet):
    """Weights may be anywhere."""

    entrywise: ClassVar[bool] = True

    def project(self, w: PyTree) -> PyTree:
        """The weights themselves."""
        return w
