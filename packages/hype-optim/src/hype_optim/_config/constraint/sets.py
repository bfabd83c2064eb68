"""Sets that the weights stay in, and the projections onto them."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from hype_ad.internal.checks import function, known
from hype_ad.internal.tree import float_dtype, norm, quotient, ravel, unravel
from jaxtyping import Array, Float, PyTree

from ..._hyperparameter.converters import Hyperparameter, check_prefix, hyperparameter, positive_number
from ..._hyperparameter.ranges import value_of
from ..regularization import Choice, choice
from .base import AbstractSet
from .parts import checked, replaced, spread

Vector: TypeAlias = Float[Array, " n"]
Projector: TypeAlias = Callable[[Vector, Float[Array, ""]], Vector]

_bound = partial(hyperparameter, accept=lambda x: x == x, accepted="a number, or infinite for no bound", finite=False)


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
            lower, upper = spread(self.lower, part), spread(self.upper, part)
            return jax.tree.map(
                lambda x, low, high: jnp.clip(x, low.astype(x.dtype), high.astype(x.dtype)), part, lower, upper
            )

        return replaced(self.where, w, clip)


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
        return replaced(self.where, w, optax.projections.projection_non_negative)


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
        return checked("function", self.function(w), w)


def _projected(projection: Projector, size: Hyperparameter, where: Choice | None, w: PyTree) -> PyTree:
    """The weights with a part of them projected, as one vector, onto a set of that size."""

    def project(part: PyTree) -> PyTree:
        return unravel(projection(ravel(part), size.astype(float_dtype(part))), part)

    return replaced(where, w, project)


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
