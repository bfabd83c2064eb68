"""The sweep before a search: trainings at points about the start, spread evenly over tied settings."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import static_number
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._hyperparameter.converters import at_least
from .settings import tied


class Sweep(eqx.Module):
    r"""Trainings at points about the start, before any gradient; the best of them are where the searches begin.

    The ranges of one entry of the settings, such as all learning rates of a schedule, are moved together: random points
    are bad where settings are many. The points are a Latin hypercube (McKay, Beckman & Conover 1979) in unconstrained
    coordinates, and the start is one of them. The better quarter is judged at two more seeds.

    Args:
        points: how many, at least 2.
        width: how far from the start they reach in unconstrained coordinates; 2.3 is a factor of 10 for a `positive`.

    Raises:
        TypeError: if `points` is not an integer or `width` not a number.
        ValueError: if one is out of its range.
    """

    points: int = eqx.field(static=True, converter=at_least("points", 2), default=16)
    width: float = eqx.field(static=True, converter=partial(static_number, "width", above=0.0), default=2.3)

    @property
    def kept(self) -> int:
        """How many points are judged a second time."""
        return max(1, self.points // 4)

    def draw(self, point: PyTree, key: PRNGKeyArray) -> PyTree:
        """The points, along a leading axis; the first is the start."""
        leaves, structure = jax.tree.flatten(point)
        groups = tied(point)
        keys = {group: jax.random.fold_in(key, i) for i, group in enumerate(dict.fromkeys(groups))}
        shifts = {group: self._evenly(k) for group, k in keys.items()}
        moved = [
            leaf[None] + shifts[group].astype(leaf.dtype).reshape(-1, *(1,) * leaf.ndim)
            for leaf, group in zip(leaves, groups, strict=True)
        ]
        return jax.tree.unflatten(structure, moved)

    def _evenly(self, key: PRNGKeyArray) -> Float[Array, " points"]:
        """A number in each of as many parts of the width as there are points, in random order, after a zero."""
        order_key, place_key = jax.random.split(key)
        number = self.points - 1
        places = jax.random.permutation(order_key, jnp.arange(float(number))) + jax.random.uniform(place_key, (number,))
        return jnp.concatenate([jnp.zeros(1), self.width * (2 * places / number - 1)])
