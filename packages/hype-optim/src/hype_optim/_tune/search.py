"""How a search moves: steps of Adam in unconstrained coordinates, taken back where they lead to a failed training.

Each step is made at a training seed of its own, so that values are noisy and no seed is learned. A step failed if the
value or the gradient where it led to is not finite, or if the value has jumped. The search then returns to its best
point, and goes on with half the rate, which recovers slowly. What a search suggests are its best point and its means
over each quarter of the steps, of which held-out seeds choose.
"""

from collections.abc import Callable
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.tree import dot, norm, quotient, scale, square_root, squared_norm, where, zeros_like
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

MOMENTUM, SQUARES = 0.9, 0.95
JUMP = 0.5  # a value this part of the best one above it has jumped, if that is more than noise
NOISE = 5.0  # how many usual differences between one step and the next are more than noise
RECOVERY = 2**0.125
QUARTERS = 4
CANDIDATES, CAUTIOUS = 2 + QUARTERS, 2  # how many there are, and the place of the mean over the first quarter
CLIP = 5.0  # a gradient is at most so many times as long as is usual
AGREEMENT = 0.25
LONGEST = 4.0


class Search(eqx.Module):
    """Where a search is, and what it remembers; a pytree of arrays.

    Attributes:
        point: where it evaluates next, in unconstrained coordinates.
        origin: where it began.
        best: the point of the lowest value.
        best_value: that value.
        last_value: the last value that was finite.
        change: the usual difference of one value from the next.
        slope: the mean gradient, of Adam.
        squares: the mean squared gradient, of Adam.
        updates: how many gradients are in these.
        damping: what the rate is multiplied by.
        returned: whether it has just returned to its best point.
        returns: how often it has.
        sums: the sum of the points of each quarter of the steps, but for those of failed steps.
        counts: how many they are.
        influence: the sum of the squared gradients of all steps, but for failed ones.
        successes: how many of these there are.
    """

    point: PyTree
    origin: PyTree
    best: PyTree
    best_value: Float[Array, "*searches"]
    last_value: Float[Array, "*searches"]
    change: Float[Array, "*searches"]
    slope: PyTree
    squares: PyTree
    updates: Int[Array, "*searches"]
    damping: Float[Array, "*searches"]
    returned: Bool[Array, "*searches"]
    returns: Int[Array, "*searches"]
    sums: PyTree
    counts: Float[Array, "*searches quarters"]
    influence: PyTree
    successes: Int[Array, "*searches"]

    @classmethod
    def begin(cls, point: PyTree) -> "Search":
        """A search from a point."""
        zeros = zeros_like(point)
        number = lambda x: jnp.full((), x, float)
        count = jnp.zeros((), int)
        return cls(
            point=point,
            origin=point,
            best=point,
            best_value=number(jnp.inf),
            last_value=number(jnp.nan),
            change=number(0.0),
            slope=zeros,
            squares=zeros,
            updates=count,
            damping=number(1.0),
            returned=jnp.array(False),
            returns=count,
            sums=jax.tree.map(lambda leaf: jnp.zeros((QUARTERS, *leaf.shape), leaf.dtype), point),
            counts=jnp.zeros(QUARTERS),
            influence=zeros,
            successes=count,
        )

    def with_each(self, change: Callable[[PyTree], PyTree]) -> "Search":
        """The search with all that is shaped as a point changed in the same way."""
        names = ("point", "origin", "best", "slope", "squares", "influence")
        changed = {name: change(getattr(self, name)) for name in names}
        return replace(self, **changed, sums=jax.vmap(change)(self.sums))


@jax.jit  # by themselves its operations would be compiled one by one
def candidates(searches: Search) -> PyTree:
    """What may be chosen in the end, along a leading axis: the origin, best point and quarters' means of each."""

    def of_one(search: Search) -> PyTree:
        some = jnp.maximum(search.counts, 1)

        def stack(origin: Array, best: Array, sums: Array) -> Array:
            by_quarter = lambda x: x.reshape(QUARTERS, *(1,) * origin.ndim)
            means = jnp.where(by_quarter(search.counts) > 0, sums / by_quarter(some).astype(sums.dtype), best)
            return jnp.concatenate([jnp.stack([origin, best]), means])

        return jax.tree.map(stack, search.origin, search.best, search.sums)

    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), jax.vmap(of_one)(searches))


def advance(
    search: Search, value: Float[Array, ""], gradient: PyTree, rate: Float[Array, ""], quarter: Int[Array, ""]
) -> Search:
    """The search after the value and the gradient at its point, in a quarter of the steps."""
    # All points as vectors: of what joins many separate numbers, compiling takes as many times twice as long.
    gradient, unravel = ravel_pytree(gradient)
    search = search.with_each(lambda tree: ravel_pytree(tree)[0])
    return _advance(search, value, gradient, rate, quarter).with_each(unravel)


def _advance(
    search: Search,
    value: Float[Array, ""],
    gradient: Float[Array, " numbers"],
    rate: Float[Array, ""],
    quarter: Int[Array, ""],
) -> Search:
    value = value.astype(search.best_value.dtype)
    usable = jnp.isfinite(value) & jnp.isfinite(squared_norm(gradient))
    allowed = jnp.maximum(JUMP * jnp.abs(search.best_value), NOISE * search.change)
    jumped = (value > search.best_value + allowed) & ~search.returned
    success = usable & ~jumped

    better = success & (value < search.best_value)
    best = where(better, search.point, search.best)
    best_value = jnp.where(better, value, search.best_value)
    # Measured anew at another seed, the best value is what it is in the mean; and a point that fails there is too far.
    best_value = jnp.where(search.returned & usable & ~better, (search.best_value + value) / 2, best_value)
    best = where(search.returned & ~usable, (search.origin + search.best) / 2, best)

    difference = jnp.abs(value - search.last_value)
    first = search.change == 0
    change = jnp.where(first, difference, 0.8 * search.change + 0.2 * jnp.minimum(difference, 3 * search.change))
    change = jnp.where(success & jnp.isfinite(difference), change, search.change)

    gradient = _clipped(where(usable, gradient, zeros_like(gradient)), search)
    slope = MOMENTUM * search.slope + (1 - MOMENTUM) * gradient
    squares = SQUARES * search.squares + (1 - SQUARES) * gradient**2
    updates = search.updates + 1
    count = updates.astype(rate.dtype)
    length = rate * search.damping / (1 - MOMENTUM**count) * jnp.sqrt(1 - SQUARES**count)
    moved = search.point - length.astype(slope.dtype) * _in_units(slope, squares)

    # Where gradients keep pointing along the steps, these can be longer; where they point back, shorter.
    now, before = _in_units(gradient, search.squares), _in_units(search.slope, search.squares)
    agreement = quotient(dot(now, before), norm(now) * norm(before))  # the cosine of an angle
    damping = jnp.clip(search.damping * jnp.exp(AGREEMENT * agreement), 0, LONGEST)
    damping = jnp.where(damping < 1, jnp.minimum(damping * RECOVERY, 1), damping)

    here = success & (jnp.arange(QUARTERS) == quarter)
    tally = lambda count, happened: count + happened.astype(count.dtype)
    return Search(
        point=where(success, moved, best),
        origin=search.origin,
        best=best,
        best_value=best_value,
        last_value=jnp.where(usable, value, search.last_value),
        change=change,
        slope=where(usable, slope, zeros_like(slope)),
        squares=where(success, squares, search.squares),
        updates=jnp.where(success, updates, search.updates),
        damping=jnp.where(success, damping, jnp.minimum(search.damping, 1) / 2),
        returned=~success,
        returns=tally(search.returns, ~success),
        sums=jnp.where(here[:, None], search.sums + search.point[None], search.sums),
        counts=tally(search.counts, here),
        influence=search.influence + gradient**2,
        successes=tally(search.successes, success),
    )


def _clipped(gradient: Float[Array, " numbers"], search: Search) -> Float[Array, " numbers"]:
    """A gradient that is at most some times as long as is usual: one near a failed training can be of any length."""
    root = jnp.sqrt(1 - SQUARES ** search.updates.astype(search.change.dtype))
    length = norm(_in_units(gradient, search.squares)) / gradient.size**0.5
    factor = jnp.where(length * root > CLIP, quotient(jnp.asarray(CLIP, length.dtype), length * root), 1)
    return scale(factor, gradient)


def _in_units(gradient: Float[Array, " numbers"], squares: Float[Array, " numbers"]) -> Float[Array, " numbers"]:
    """Each entry over the root of its mean square, and 0 where that is not known yet."""
    return quotient(gradient, square_root(squares))
