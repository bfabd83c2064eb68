"""Nonlinear conjugate gradients: the next direction is minus the gradient plus a multiple of the last direction.

On a quadratic with exact line searches all of them are the linear method of conjugate gradients. Elsewhere they differ
in the multiple, and each starts anew from minus the gradient where the old direction is of no more use: where
successive gradients are far from orthogonal (Powell 1977), or where the new direction would not lead downhill.
"""

import abc

import equinox as eqx
import jax.numpy as jnp
from hype_ad.internal.tree import (
    add,
    dot,
    inverse,
    negative,
    power_of_two,
    quotient,
    scale,
    squared_norm,
    subtract,
    where,
    zeros_like,
)
from jaxtyping import Array, Bool, Float, PyTree

from ..._objective import Iterate
from ..learning_rate.strong_wolfe import StrongWolfe
from .base import AbstractMethod

_POWELL = 0.2  # the cosine-like measure of Powell (1977), equation 32


class _Last(eqx.Module):
    """The gradient and the direction of the step before; zero before the first."""

    gradient: PyTree
    direction: PyTree


class AbstractConjugateGradient(AbstractMethod):
    r"""The direction $p' = -g' + \beta p$; members of the family differ in $\beta$.

    The default rate is `StrongWolfe(c2=0.1)`.
    """

    @abc.abstractmethod
    def beta(self, new: PyTree, old: PyTree, direction: PyTree) -> Float[Array, ""]:
        r"""$\beta$, from the new gradient, the old gradient and the old direction."""

    def default_learning_rate(self) -> StrongWolfe:
        """`StrongWolfe(c2=0.1)`."""
        return StrongWolfe(c2=0.1)

    def init(self, w: PyTree) -> _Last:
        """Zeros."""
        return _Last(zeros_like(w), zeros_like(w))

    def is_step(self, memory: _Last) -> Bool[Array, ""]:
        """No: it has the unit of the gradient."""
        return jnp.array(False)

    def direction(self, iterate: Iterate, memory: _Last) -> tuple[PyTree, _Last]:
        r"""Minus the gradient plus $\beta$ times the last direction, or minus the gradient alone."""
        unit = power_of_two((iterate.clipped, memory.gradient))
        new, old, last = scale(inverse(unit), (iterate.clipped, memory.gradient, memory.direction))
        conjugate = add(negative(new), scale(self.beta(new, old, last), last))
        far_from_orthogonal = jnp.abs(dot(new, old)) >= _POWELL * squared_norm(new)
        restart = far_from_orthogonal | ~(dot(conjugate, new) < 0)
        direction = scale(unit, where(restart, negative(new), conjugate))
        return direction, _Last(iterate.clipped, direction)


class CG(AbstractConjugateGradient):
    r"""Conjugate gradients of Hestenes & Stiefel (1952): $\beta = \max(0, g' \cdot y \,/\, p \cdot y)$, $y = g' - g$.

    A negative $\beta$ is replaced by 0, without which the method may not converge (Gilbert & Nocedal 1992).
    """

    def beta(self, new: PyTree, old: PyTree, direction: PyTree) -> Float[Array, ""]:
        r"""$\max(0, g' \cdot y \,/\, p \cdot y)$."""
        change = subtract(new, old)
        return jnp.maximum(quotient(dot(new, change), dot(direction, change)), 0)


class CD(AbstractConjugateGradient):
    r"""Conjugate descent of Fletcher (1987): $\beta = |g'|^2 / (-p \cdot g)$."""

    def beta(self, new: PyTree, old: PyTree, direction: PyTree) -> Float[Array, ""]:
        r"""$|g'|^2 / (-p \cdot g)$."""
        return quotient(squared_norm(new), -dot(direction, old))


class NonlinearCG(AbstractConjugateGradient):
    r"""Conjugate gradients of Fletcher & Reeves (1964): $\beta = |g'|^2 / |g|^2$. The name is the original's."""

    def beta(self, new: PyTree, old: PyTree, direction: PyTree) -> Float[Array, ""]:
        r"""$|g'|^2 / |g|^2$."""
        return quotient(squared_norm(new), squared_norm(old))


class DaiYuanCG(AbstractConjugateGradient):
    r"""Conjugate gradients of Dai & Yuan (1999): $\beta = |g'|^2 / p \cdot y$, $y = g' - g$."""

    def beta(self, new: PyTree, old: PyTree, direction: PyTree) -> Float[Array, ""]:
        r"""$|g'|^2 / p \cdot y$."""
        return quotient(squared_norm(new), dot(direction, subtract(new, old)))
