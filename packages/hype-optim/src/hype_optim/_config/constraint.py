r"""Constraints: sets that the weights stay in, and penalties that have no gradient, by their proximal operators.

After a step of length $\eta$ to $v$ the weights become $\operatorname{prox}_{\eta h}(v)$, which minimizes
$\eta\, h(w) + \frac12 \|w - v\|_2^2$ (Parikh & Boyd 2014, "Proximal algorithms"). For a set, whose $h$ is 0 inside and
infinite outside, that is the projection onto it, whatever the length.
"""

import abc
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from hype_ad.internal.checks import function, known
from hype_ad.internal.tree import float_dtype, norm, quotient, ravel, same_shapes, scale, subtract, unravel
from jaxtyping import Array, Float, PyTree

from .._hyperparameter.converters import Hyperparameter, check_prefix, hyperparameter, non_negative, positive_number
from .._hyperparameter.ranges import value_of
from .regularization import Choice, L1Reg, choice

Vector: TypeAlias = Float[Array, " n"]
Projector: TypeAlias = Callable[[Vector, Float[Array, ""]], Vector]

_bound = partial(hyperparameter, accept=lambda x: x == x, accepted="a number, or infinite for no bound", finite=False)


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


class Box(AbstractSet):
    """Each weight stays between two bounds.

    Args:
        lower: the lower bound, or a pytree of them that is a prefix of the structure of the weights that it applies to,
            with shapes that broadcast to theirs; `-jax.numpy.inf` for none. Differentiable.
        upper: the upper bound, likewise; `jax.numpy.inf` for none. Differentiable.
        where: the part of the weights that it applies to, such as `lambda model: model.weight`; all of them if not
            given. Not a leaf, so a new function compiles again.

    Raises:
        TypeError: if `where` is no function.
        ValueError: if a bound is NaN, or if a single `lower` is above a single `upper`.
    """

    entrywise: ClassVar[bool] = True

    lower: Hyperparameter = eqx.field(converter=_bound("lower"), default=0.0)
    upper: Hyperparameter = eqx.field(converter=_bound("upper"), default=1.0)
    where: Choice | None = eqx.field(static=True, converter=choice, default=None)

    def __check_init__(self) -> None:
        lower, upper = value_of(self.lower), value_of(self.upper)
        both = [*jax.tree.leaves(lower), *jax.tree.leaves(upper)]
        if len(both) == 2 and all(map(known, both)) and not (both[0] <= both[1]).all():
            raise ValueError(f"`lower` must be at most `upper`, got {lower} and {upper}.")

    def project(self, w: PyTree) -> PyTree:
        """The nearest weights between the bounds."""

        def clip(part: PyTree) -> PyTree:
            check_prefix("lower", self.lower, part)
            check_prefix("upper", self.upper, part)
            lower, upper = _spread(self.lower, part), _spread(self.upper, part)
            return jax.tree.map(
                lambda x, low, high: jnp.clip(x, low.astype(x.dtype), high.astype(x.dtype)), part, lower, upper
            )

        return _replaced(self.where, w, clip)


class NonNegative(AbstractSet):
    """No weight is below 0.

    Args:
        where: the part of the weights that it applies to; all of them if not given.

    Raises:
        TypeError: if `where` is no function.
    """

    entrywise: ClassVar[bool] = True

    where: Choice | None = eqx.field(static=True, converter=choice, default=None)

    def project(self, w: PyTree) -> PyTree:
        """The weights, those below 0 replaced by 0."""
        return _replaced(self.where, w, optax.projections.projection_non_negative)


class Simplex(AbstractSet):
    r"""The weights together are at least 0 and sum to `total`, as probabilities do.

    Args:
        total: the sum, above 0. Differentiable.
        where: the part of the weights that it applies to; all of them if not given.

    Raises:
        TypeError: if `where` is no function.
        ValueError: if `total` is not above 0.
    """

    total: Hyperparameter = eqx.field(converter=positive_number("total", single=True), default=1.0)
    where: Choice | None = eqx.field(static=True, converter=choice, default=None)

    def project(self, w: PyTree) -> PyTree:
        """The nearest weights of the simplex (Duchi et al. 2008)."""
        return _projected(_onto_simplex, self.total, self.where, w)


class L1Ball(AbstractSet):
    r"""The weights together have $\|w\|_1 \le r$.

    Args:
        radius: $r$, above 0. Differentiable.
        where: the part of the weights that it applies to; all of them if not given.

    Raises:
        TypeError: if `where` is no function.
        ValueError: if `radius` is not above 0.
    """

    radius: Hyperparameter = eqx.field(converter=positive_number("radius", single=True), default=1.0)
    where: Choice | None = eqx.field(static=True, converter=choice, default=None)

    def project(self, w: PyTree) -> PyTree:
        """The nearest weights of the ball (Duchi et al. 2008)."""
        return _projected(_onto_l1_ball, self.radius, self.where, w)


class L2Ball(AbstractSet):
    r"""The weights together have $\|w\|_2 \le r$.

    Args:
        radius: $r$, above 0. Differentiable.
        where: the part of the weights that it applies to; all of them if not given.

    Raises:
        TypeError: if `where` is no function.
        ValueError: if `radius` is not above 0.
    """

    radius: Hyperparameter = eqx.field(converter=positive_number("radius", single=True), default=1.0)
    where: Choice | None = eqx.field(static=True, converter=choice, default=None)

    def project(self, w: PyTree) -> PyTree:
        """The nearest weights of the ball."""
        return _projected(_onto_l2_ball, self.radius, self.where, w)


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
        lengths = _spread(length, w)
        lengths = lengths if self.where is None else self.where(lengths)

        def shrink(part: PyTree) -> PyTree:
            check_prefix("coefficient", self.coefficient, part)
            thresholds = scale(self.coefficient, jax.tree.map(lambda x, eta: jnp.full_like(x, eta), part, lengths))
            return subtract(part, jax.tree.map(lambda x, t: jnp.clip(x, -t, t), part, thresholds))

        return _replaced(self.where, w, shrink)

    def penalty(self, w: PyTree) -> Float[Array, ""]:
        r"""$\lambda \|w\|_1$."""
        return L1Reg(self.coefficient, self.where)(w)


class Projection(AbstractSet):
    """A set that is given by its projection.

    Args:
        function: maps weights to the nearest ones in the set, such as `optax.projections.projection_hypercube`. If it
            is a pytree, such as `jax.tree_util.Partial(f, x)`, its arrays are differentiable.

    Raises:
        TypeError: if `function` is no function.
    """

    function: Callable[[PyTree], PyTree] = eqx.field(
        converter=lambda given: function("function", given, "a function from weights to weights")
    )

    def project(self, w: PyTree) -> PyTree:
        """What the function gives."""
        return _checked("function", self.function(w), w)


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
        return _checked("function", self.function(w, length), w)

    def penalty(self, w: PyTree) -> Float[Array, ""]:
        """What `cost` gives."""
        return jnp.asarray(self.cost(w))


def _replaced(where: Choice | None, w: PyTree, change: Callable[[PyTree], PyTree]) -> PyTree:
    """The weights with a part of them changed."""
    if where is not None and not jax.tree.leaves(eqx.filter(where(w), eqx.is_inexact_array)):
        raise ValueError("`where` of the constraint must give at least one leaf of floats that change, got none.")
    return change(w) if where is None else eqx.tree_at(where, w, change(where(w)))


def _projected(projection: Projector, size: Hyperparameter, where: Choice | None, w: PyTree) -> PyTree:
    """The weights with a part of them projected, as one vector, onto a set of that size."""

    def project(part: PyTree) -> PyTree:
        return unravel(projection(ravel(part), size.astype(float_dtype(part))), part)

    return _replaced(where, w, project)


def _onto_simplex(v: Vector, total: Float[Array, ""]) -> Vector:
    """The nearest vector without an entry below 0 whose sum is `total` (Duchi et al. 2008, algorithm of figure 1)."""
    largest = jnp.sort(v)[::-1]
    counts = jnp.arange(1, len(v) + 1).astype(v.dtype)
    kept = largest * counts > jnp.cumsum(largest) - total
    # Optax has this projection too, but not under JAX's strict promotion of dtypes.
    threshold = (jnp.sum(jnp.where(kept, largest, 0)) - total) / jnp.sum(kept.astype(v.dtype))
    return jax.nn.relu(v - threshold)


def _onto_l1_ball(v: Vector, radius: Float[Array, ""]) -> Vector:
    sizes = jnp.abs(v)
    return jnp.where(jnp.sum(sizes) > radius, jnp.sign(v) * _onto_simplex(sizes, radius), v)


def _onto_l2_ball(v: Vector, radius: Float[Array, ""]) -> Vector:
    length = norm(v)  # right where squares overflow, as in Optax's projection they must not
    return jnp.where(length > radius, quotient(radius, length), 1) * v


def _spread(prefix: PyTree, w: PyTree) -> PyTree:
    """For each leaf of the weights what a prefix of their structure has for it."""
    return jax.tree.map(lambda leaf, part: jax.tree.map(lambda _: leaf, part), prefix, w)


def _checked(name: str, new: PyTree, w: PyTree) -> PyTree:
    """What a caller's function made of the weights, in their dtypes."""
    if not same_shapes(new, w):
        raise ValueError(f"`{name}` of the constraint must give weights like those it is given, {w}, got {new}.")
    return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), new, w)
