r"""Whether warm-up may end before its time: its latest transitions are alike in all chains.

That is R-hat of the last 50 transitions, those of each chain cut into two blocks of 25: of each number of a position,
and of the log density. Chains that are still on their way, alone or all together, differ from block to block. Chains in
different modes differ from each other, and chains that hardly move do both. Zhang et al. (2020) end the warm-up of Stan
by R-hat and effective sample size of windows of 100 transitions.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal import tree
from jaxtyping import Array, Bool, Float, PyTree

from .._custom_types import Position
from .._mass import AbstractMass
from .._transition import HMCState

BLOCK = 25  # transitions
_LARGEST_RHAT = 1.1  # among a hundred numbers, of independent draws, about 1.03 to 1.06
_FEWEST_DRAWS = 200
_DRAWS_OF_FLOAT = 10


def draws_wanted(mass: AbstractMass, position: Position) -> int:
    """How many draws of all chains the last estimate of such a mass should be made of.

    The more, the more floats it has for each dimension: ten for each, so ten times the dimension for a dense one.
    """
    return max(_FEWEST_DRAWS, _DRAWS_OF_FLOAT * tree.size(mass) // tree.size(position))


class Agreement(eqx.Module):
    """What is known of the latest block, which may be unfinished, and of the one before."""

    count: Float[Array, ""]  # transitions of the latest block
    mean: PyTree[Float[Array, "chains ..."]]  # of positions and log densities in it
    squares: PyTree[Float[Array, "chains ..."]]  # sums of their squared deviations
    mean_before: PyTree[Float[Array, "chains ..."]]
    squares_before: PyTree[Float[Array, "chains ..."]]

    @classmethod
    def start(cls, chains: HMCState) -> "Agreement":
        """Nothing is known of chains such as these."""
        zero = tree.zeros_like((chains.position, chains.logdensity))
        return cls(jnp.zeros(()), zero, zero, zero, zero)

    def update(self, chains: HMCState) -> "Agreement":
        """Learn from one transition of all chains."""
        is_full = self.count >= BLOCK
        old = self.mean, self.squares
        before = tree.where(is_full, old, (self.mean_before, self.squares_before))
        mean, squares = tree.where(is_full, tree.zeros_like(old), old)
        count = jnp.where(is_full, 1.0, self.count + 1)
        deviation = tree.subtract((chains.position, chains.logdensity), mean)
        mean = jax.tree.map(lambda mean, d: mean + d / count.astype(d.dtype), mean, deviation)
        squares = jax.tree.map(lambda sum, d: sum + d**2 * (1 - 1 / count).astype(d.dtype), squares, deviation)
        return Agreement(count, mean, squares, *before)

    def is_reached(self) -> Bool[Array, ""]:
        """Whether R-hat is small for each number, when the latest block is full."""

        def is_small(*of_blocks: Float[Array, "chains ..."]) -> Bool[Array, ""]:
            means, squares = jnp.concatenate(of_blocks[:2]), jnp.concatenate(of_blocks[2:])
            within, between = jnp.mean(squares, axis=0) / (BLOCK - 1), jnp.var(means, axis=0, ddof=1)
            return jnp.all(jnp.sqrt((BLOCK - 1) / BLOCK + between / within) < _LARGEST_RHAT)  # which NaN is not

        small = jax.tree.map(is_small, self.mean_before, self.mean, self.squares_before, self.squares)
        return jnp.all(jnp.stack(jax.tree.leaves(small)))
