r"""The trajectory length: long enough along the direction that the target is widest in, and no longer.

Hoffman, Radul and Sountsov (2021, ChEES-HMC) climb the gradient of the change of the squared norm, Sountsov and
Hoffman (2021, SNAPER-HMC) that along the principal component alone. Both gradients grow with the length of a
trajectory and have a local maximum at each further turn of it, so with few chains the length wanders off. Here the
length is not climbed but solved for. Along the principal component, let $\delta$ be how far a trajectory jumped and
$v$ the velocity at its end. Their correlation

$$c = \frac{E[\delta v]}{\sqrt{E[\delta^2] E[v^2]}}$$

is 1 for short trajectories, falls as they get longer and stays near 0 for long ones: a bounded number with one
crossing. For a Gaussian of deviation $\sigma$ in that direction, lengths uniform on $(0, 2T)$ and $s = T / \sigma$
(mass accounted for), $c = (1 - \cos 2s) / (2s) / \sqrt{2 - \sin(2s) / s}$, which is 1/3 at $s = 1.85$: there the
correlation of a draw with the next is slightly negative, and the effective sample size for each gradient is the
largest.

In a funnel all chains may be in the neck for a while, where everything turns quickly: then $c$ says that trajectories
are too long, they become too short to leave, and $c$ says so for ever. So the length stays above a part of the
solution, with $\sigma$ from the draws of the whole window, as the mass is.

A new mass is meant to make the density round, so the next window begins with no more than 1.85: what was found with the
old mass may be many times too long, and a length grows faster than it shrinks, and for fewer gradients.
"""

import math
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal import tree
from jaxtyping import Array, Bool, Float

from .._custom_types import Position
from .._mass import AbstractMass
from .._position import interpolate, mean_of
from .._random import standard_normal
from .._transition import HMCInfo

_CORRELATION = 1 / 3
_DOUBT = 10.0  # transitions in which a window counts for half
_RATE = 0.5  # of the first changes of the logarithm
_DELAY = 10.0  # transitions until changes have become smaller by the root of two
_MEMORY = 20.0  # transitions that the correlation is computed from
_RECENT = 3.0  # averages are over about the last third
_OF_ROUND = 1.85  # the length for a Gaussian that the mass makes round


class TrajectoryLength(eqx.Module):
    """What is known of the trajectory length."""

    log_length: Float[Array, ""]  # logarithm of the mean length to use next
    log_average: Float[Array, ""]  # its average over the latest part of the window
    products: Float[Array, "3"]  # the expectations that the correlation is made of
    center: Position  # mean of the recent positions
    direction: Position  # principal component, by power iteration on one batch after another (Oja 1982)
    variance: Float[Array, ""]  # along the direction, in the metric of the mass, of this window
    count: Float[Array, ""]  # transitions seen in this window

    @classmethod
    def start(cls, length: Float[Array, ""], position: Position) -> "TrajectoryLength":
        """Begin with a length, for positions like this one."""
        log_length, products = jnp.log(length), jnp.zeros((3,), length.dtype)
        anything = standard_normal(jax.random.key(0), position)
        zero = jnp.zeros_like(length)
        return cls(log_length, log_length, products, tree.zeros_like(position), anything, zero, zero)

    def update(
        self,
        mass: AbstractMass,
        before: Position,
        after: Position,
        info: HMCInfo,
        shortest: Float[Array, ""],
        longest: Float[Array, ""],
        least: Float[Array, ""],
    ) -> "TrajectoryLength":
        """Learn from one transition of all chains, made with `mass` from `before` to `after`.

        The length shrinks no further when it is below `shortest`, and stays below `longest`. Unless that is less, it
        stays above `least` standard deviations of the draws of the window in the widest direction.
        """
        count = self.count + 1
        unit = tree.scale(1 / jnp.sqrt(_squared_length(self.direction, mass)), self.direction)
        dual = mass.momentum(unit)  # so that `dot(dual, x)` is the coordinate of x along the direction

        def trajectory_products(start: Position, end: Position, momentum: Position) -> Float[Array, "3"]:
            jump, velocity = tree.dot(dual, tree.subtract(end, start)), tree.dot(unit, momentum)
            return jnp.stack([jump * velocity, jump**2, velocity**2])

        products = jax.vmap(trajectory_products)(before, info.proposal.position, info.proposal.momentum)
        products = jnp.mean(info.acceptance_rate.astype(products.dtype)[:, None] * products, axis=0)
        weight = jnp.maximum(1 / count, 1 / _MEMORY)
        products = self.products + weight * (products.astype(self.products.dtype) - self.products)

        change = _RATE / jnp.sqrt(1 + count / _DELAY) * (_correlation(products) - _CORRELATION)
        lowest = jnp.minimum(jnp.exp(self.log_length), shortest)
        lowest = jnp.log(jnp.maximum(lowest, least * jnp.sqrt(self.variance)))
        log_length = jnp.clip(self.log_length + change, lowest, jnp.log(longest))
        recent = jnp.minimum(1.0, _RECENT / (_RECENT + count - 1))
        log_average = self.log_average + recent * (log_length - self.log_average)

        few = jnp.minimum(recent, 1 / 4)  # one batch says little of a mean or a direction
        center = interpolate(few, self.center, mean_of(after))
        direction = interpolate(few, unit, _image(dual, center, after))
        direction = tree.where(tree.all_finite(direction), direction, unit)
        # Between chains, as common moves on the way from the start are no width; so of one chain nothing is known.
        along = jax.vmap(tree.dot, (None, 0))(dual, after)
        variance = jnp.var(along, ddof=min(1, along.size - 1)).astype(self.variance.dtype)
        variance = self.variance + (variance - self.variance) / (count + _DOUBT)
        return TrajectoryLength(log_length, log_average, products, center, direction, variance, count)

    def restart(self, old: AbstractMass, new: AbstractMass, is_last: Bool[Array, ""]) -> "TrajectoryLength":
        """Go on with a new mass: with the length found, in the time that it counts.

        Unless it `is_last`, which changes little, begin anew, and with a length that is rather too short.
        """
        stretch = (_squared_length(self.direction, new) / _squared_length(self.direction, old)).astype(self.count.dtype)
        stretched = lambda log_length: log_length + 0.5 * jnp.log(stretch)
        shorter = jnp.minimum(stretched(self.log_average), math.log(_OF_ROUND))
        return replace(
            self,
            log_length=jnp.where(is_last, stretched(self.log_length), shorter),
            log_average=jnp.where(is_last, stretched(self.log_average), shorter),
            products=jnp.where(is_last, self.products, 0.0),
            variance=jnp.where(is_last, self.variance * stretch, 0.0),
            count=jnp.where(is_last, self.count, 0.0),
        )


def _squared_length(direction: Position, mass: AbstractMass) -> Float[Array, ""]:
    """Of a direction, in the metric of a mass."""
    return tree.dot(direction, mass.momentum(direction))


def _correlation(products: Float[Array, "3"]) -> Float[Array, ""]:
    """The correlation; where nothing has moved, what leaves the length as it is."""
    squares = products[1] * products[2]
    known: Bool[Array, ""] = squares > 0
    return jnp.where(known, products[0] / jnp.sqrt(jnp.where(known, squares, 1.0)), _CORRELATION)


def _image(dual: Position, center: Position, positions: Position) -> Position:
    """The direction, multiplied by the covariance of a batch."""
    deviations = jax.vmap(tree.subtract, (0, None))(positions, center)
    along = jax.vmap(tree.dot, (None, 0))(dual, deviations)
    return jax.tree.map(lambda d: jnp.tensordot(along.astype(d.dtype), d, 1) / along.size, deviations)
