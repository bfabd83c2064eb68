r"""Hamiltonian Monte Carlo that refines the steps of a trajectory where the density is steep.

A trajectory of $n$ steps of length $h$ is made as $2^k n$ leapfrogs of length $h / 2^k$. The level $k$ is chosen anew
for each trajectory: its energy spread $\Delta_k$, the largest minus the smallest Hamiltonian on it, is to be small. So
one kernel goes through the neck of a funnel with tiny steps and through its mouth with long ones.

Why the target stays invariant. Let $s(\Delta)$ fall from 1 at the tolerance to 0 at three times of it, and let $u$ be
uniform in (0, 1). The level is the smallest one with $u < s(\Delta_k)$: given where the trajectory starts, it is $k$
with probability $s(\Delta_k) - m$, where $m$ is the largest $s$ of the coarser levels. Leapfrogs are reversible, so
from the end with the momentum turned round level $k$ leads back by the same points, with the same $\Delta_k$; coarser
levels lead elsewhere, and their largest $s$ is some $m'$. The level is an auxiliary variable with a known probability
given the start; given the level, a trajectory followed by a turn of the momentum is an involution that preserves
volume. So by Metropolis, Hastings and Green it leaves the target invariant if its end is accepted with probability

$$\min\Big(1, e^{-\Delta H} \frac{(s(\Delta_k) - m')_+}{s(\Delta_k) - m}\Big),$$

a Gibbs sampler of the level (Bou-Rabee, Carpenter and Marsden 2024, GIST; Biron-Lattes et al. 2024, autoMALA). At level
0 the fraction is 1 and nothing is computed but the trajectory. A refined one costs its coarser tries from both ends
besides, each given up as soon as its spread is too large.

Levels of each step instead of the trajectory (Bou-Rabee, Carpenter, Kleppe and Liu 2025, WALNUTS) were tried on the
same targets: fewer leapfrogs, but a trajectory of many refined steps could seldom have been made from its other end,
and chains stayed in the neck for a hundred transitions, where they now stay for about ten.
"""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import check_key, instance, integer
from hype_ad.internal.tree import all_finite, negative, where
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray, PyTree

from ._checks import number
from ._custom_types import LogDensity
from ._dynamics import Dynamics, Phase, without_reverse_mode
from ._integrator import leapfrog
from ._kernel import AbstractAdaptiveKernel
from ._length import AbstractLength, FixedSteps, RandomLength
from ._mass import AbstractMass, DiagonalMass
from ._random import normal_and_uniform
from ._transition import HMCInfo, HMCState, init

_MOST = 20  # a thousand steps a million times as fine are as many as there are integers
_NO_CHANCE = 3.0  # tolerances of energy spread at which a level is chosen no more


class RefinedHMC(AbstractAdaptiveKernel):
    r"""Hamiltonian Monte Carlo that refines the steps where the density is steep: for funnels and centered hierarchies.

    A trajectory is made with steps of $h / 2^k$, with the smallest $k$ that keeps the Hamiltonian within a tolerance,
    and the acceptance corrects for that choice, so that the target density stays invariant. Given its start, a
    trajectory of energy spread $\Delta_k$ has level $k$ with probability $s(\Delta_k) - m$, with $s$ falling from 1 at
    the tolerance to 0 at three times of it and $m$ the largest $s$ of the coarser levels. From its other end it has
    that of $s(\Delta_k) - m'$, and the ratio of the two is a factor of the acceptance (Bou-Rabee, Carpenter and
    Marsden 2024; Biron-Lattes et al. 2024). `sample(logdensity, x0, RefinedHMC())` warms it up like `HMC`.

    For the level and acceptances that came about, everything is differentiable in the step size, the mass, the
    tolerance and the position the state was made from, in forward mode to any order. There is no reverse mode: how
    many leapfrogs there are is found while the program runs.

    Args:
        step_size: $h$, the length of steps that are not refined, positive. Differentiable.
        length: how long trajectories are: a number of steps, at least 1, or an `AbstractLength`; a `RandomLength` if
            not given.
        mass: the mass matrix; a `DiagonalMass` that starts with ones if not given. Differentiable.
        tolerance: how far the Hamiltonian may vary along a trajectory without a chance of refinement, positive. From
            three times of it on a trajectory is always refined. Differentiable.
        max_refinements: the largest $k$; where it does not suffice, the transition is divergent and rejected.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if `length` or `mass` are not what they are called, or `max_refinements` is not an integer.
    """

    step_size: Float[Array, ""]
    length: AbstractLength
    mass: AbstractMass
    tolerance: Float[Array, ""]
    max_refinements: int = eqx.field(static=True)

    least_length: ClassVar[float] = 1.6  # in a funnel most draws ask for less than the way out of its neck

    def __init__(
        self,
        step_size: ArrayLike = 1.0,
        length: int | AbstractLength | None = None,
        mass: AbstractMass | None = None,
        *,
        tolerance: ArrayLike = 2.0,
        max_refinements: int = 12,
    ):
        length = RandomLength(1.0) if length is None else length
        mass = DiagonalMass() if mass is None else mass
        self.step_size = number("step_size", step_size)
        self.length = length if isinstance(length, AbstractLength) else FixedSteps(integer("length", length, 1))
        self.mass = instance("mass", mass, AbstractMass, "a mass such as `DiagonalMass`")
        self.tolerance = number("tolerance", tolerance)
        self.max_refinements = integer("max_refinements", max_refinements, 0)
        if self.max_refinements > _MOST:
            raise ValueError(f"`max_refinements` must be at most {_MOST}, got {max_refinements}.")

    def init(self, position: PyTree[ArrayLike], logdensity: LogDensity) -> HMCState:
        """The state of a chain at a position, as `HMC.init` has it."""
        return init(self.mass, position, logdensity)

    def step(self, key: PRNGKeyArray, state: HMCState, logdensity: LogDensity) -> tuple[HMCState, HMCInfo]:
        """One transition, with length, momentum, level and acceptance drawn from `key`."""
        key, key_jitter = jax.random.split(check_key("key", key))
        jitter = jax.random.uniform(key_jitter, (), self.step_size.dtype)
        return self.advance(key, state, logdensity, jitter, jnp.ones_like(self.step_size))

    def advance(
        self,
        key: PRNGKeyArray,
        state: HMCState,
        logdensity: LogDensity,
        jitter: Float[Array, ""],
        scale: Float[Array, ""],
    ) -> tuple[HMCState, HMCInfo]:
        """One transition, of the length that `jitter` picks, with the step size times `scale`."""
        num_steps, factor = self.length.pick(jitter, self.step_size)
        dynamics = Dynamics(logdensity, self.mass, self.step_size * scale * factor, leapfrog)
        momentum_key, level_key = jax.random.split(key)
        noise, uniform = normal_and_uniform(momentum_key, state.position)
        start = Phase(state.position, self.mass.draw(noise), state.logdensity, state.logdensity_grad)
        u = jax.random.uniform(level_key, (), start.logdensity.dtype)
        orbit = self._follow(u, start, dynamics, jnp.asarray(num_steps, jnp.int32))

        start_energy = start.energy(self.mass)
        error = orbit.end.energy(self.mass) - start_energy
        finite = orbit.is_possible & jnp.isfinite(error) & all_finite(orbit.end.logdensity_grad)
        safe_error = jnp.where(finite, error, jnp.zeros_like(error))
        log_ratio = jnp.minimum(jnp.log(orbit.ratio) - safe_error, 0.0)
        probability = jnp.where(finite, jnp.exp(log_ratio), jnp.zeros_like(error))
        accepted = uniform.astype(probability.dtype) < probability
        end = where(finite, orbit.end, start)
        kept = where(accepted, end, start)
        info = HMCInfo(
            momentum=start.momentum,
            acceptance_rate=probability,
            is_accepted=accepted,
            is_divergent=~orbit.is_found | ~jnp.isfinite(error),
            energy=start_energy + jnp.where(accepted, safe_error, jnp.zeros_like(error)),
            energy_error=jnp.where(finite, error, jnp.full_like(error, jnp.inf)),
            proposal=end,
            num_integration_steps=orbit.cost,
        )
        return HMCState(kept.position, kept.logdensity, kept.logdensity_grad), info

    def _follow(self, u: Float[Array, ""], start: Phase, dynamics: Dynamics, num_steps: Int[Array, ""]) -> "_Orbit":
        """The trajectory of the smallest level that `u` accepts, and how likely that level is from its other end."""
        none, zero = jnp.zeros((), jnp.int32), jnp.zeros_like(u)

        def refine(levels: _Levels) -> _Levels:
            end, chance, cost = self._attempt(start, dynamics, num_steps, levels.level)
            taken = u < chance
            return _Levels(
                jnp.where(taken, levels.level, levels.level + 1),
                jnp.where(taken, levels.coarser, jnp.maximum(levels.coarser, chance)),
                jnp.where(taken, chance, 0.0),
                end,
                levels.cost + cost,
            )

        forward = jax.lax.while_loop(
            lambda levels: (levels.chance <= 0) & (levels.level <= self.max_refinements),
            refine,
            _Levels(none, zero, zero, start, none),
        )
        end, chance = forward.end, forward.chance
        back = Phase(end.position, negative(end.momentum), end.logdensity, end.logdensity_grad)

        def look_back(levels: _Levels) -> _Levels:
            _, other, cost = self._attempt(back, dynamics, num_steps, levels.level)
            return levels._replace(
                level=levels.level + 1, coarser=jnp.maximum(levels.coarser, other), cost=levels.cost + cost
            )

        backward = jax.lax.while_loop(
            lambda levels: (levels.level < forward.level) & (levels.coarser < chance),
            look_back,
            forward._replace(level=none, coarser=zero),
        )
        is_possible = backward.coarser < chance
        forth = jnp.where(is_possible, chance - forward.coarser, 1.0)
        ratio = jnp.where(is_possible, (chance - backward.coarser) / forth, 1.0)
        end, ratio = without_reverse_mode((end, ratio))
        return _Orbit(end, ratio, is_possible, chance > 0, backward.cost)

    def _attempt(
        self, start: Phase, dynamics: Dynamics, num_steps: Int[Array, ""], level: Int[Array, ""]
    ) -> tuple[Phase, Float[Array, ""], Int[Array, ""]]:
        """A trajectory at a level: its end, $s$ of its energy spread, and its cost. Given up where $s$ is 0."""
        energy = start.energy(dynamics.mass)
        tolerance = self.tolerance.astype(energy.dtype)
        step_size = dynamics.step_size * 0.5 ** level.astype(dynamics.step_size.dtype)
        fine = Dynamics(dynamics.logdensity, dynamics.mass, step_size, dynamics.integrator)

        def go_on(leap: _Leap) -> Bool[Array, ""]:
            return (leap.made < num_steps * 2**level) & (leap.highest - leap.lowest < _NO_CHANCE * tolerance)

        def make(leap: _Leap) -> _Leap:
            phase = fine.step(leap.phase)
            change = phase.energy(dynamics.mass) - energy
            change = jnp.where(jnp.isfinite(change), change, jnp.inf)
            return _Leap(phase, jnp.minimum(leap.lowest, change), jnp.maximum(leap.highest, change), leap.made + 1)

        zero = jnp.zeros_like(energy)
        leap = jax.lax.while_loop(go_on, make, _Leap(start, zero, zero, jnp.zeros((), jnp.int32)))
        finite = jnp.isfinite(leap.highest)
        spread = jnp.where(finite, leap.highest - leap.lowest, _NO_CHANCE * tolerance)
        chance = jnp.clip((_NO_CHANCE * tolerance - spread) / ((_NO_CHANCE - 1) * tolerance), 0.0, 1.0)
        return leap.phase, chance, leap.made


class _Orbit(NamedTuple):
    """A trajectory, and how it was chosen."""

    end: Phase
    ratio: Float[Array, ""]  # of the probability of its level from the end to that from the start, 1 if it is 0
    is_possible: Bool[Array, ""]  # whether the level is possible from the end
    is_found: Bool[Array, ""]  # whether some level sufficed
    cost: Int[Array, ""]


class _Levels(NamedTuple):
    """The levels that have been tried from one end."""

    level: Int[Array, ""]  # the one to try next, or the one taken
    coarser: Float[Array, ""]  # the largest s of those before
    chance: Float[Array, ""]  # s of the one taken, 0 before that
    end: Phase
    cost: Int[Array, ""]


class _Leap(NamedTuple):
    """The leapfrogs of one try."""

    phase: Phase
    lowest: Float[Array, ""]  # the energies, as changes from the first
    highest: Float[Array, ""]
    made: Int[Array, ""]
