"""Hamiltonian Monte Carlo: the kernel that `sample` uses, and whose step size and mass have derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import check_key, instance, integer, static_number
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, PyTree

from ._adjoint import AbstractTrajectoryAdjoint, CheckpointedTrajectory
from ._checks import number
from ._custom_types import LogDensity
from ._dynamics import Dynamics, Phase
from ._integrator import Integrator, leapfrog
from ._kernel import AbstractAdaptiveKernel
from ._length import AbstractLength, FixedSteps, RandomLength
from ._mass import AbstractMass, UnitMass
from ._position import check_same_shape
from ._transition import HMCInfo, HMCState, init, transition


class HMC(AbstractAdaptiveKernel):
    r"""Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011), smooth in its step size and mass.

    With the same key, the end of a trajectory, its energy error and its acceptance probability are smooth functions
    of the step size, of every entry of the mass and of the position the state was made from, in reverse and forward
    mode and to any order. Reverse mode keeps about `2 sqrt(num_steps)` states, or with
    `adjoint=ReversibleTrajectory()` one.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_mcmc import HMC
        >>> logdensity = lambda x: -0.5 * jnp.sum(x**2)
        >>> def error(step_size):
        ...     kernel = HMC(step_size, 4)
        ...     return kernel.step(jax.random.key(0), kernel.init(jnp.ones(3), logdensity), logdensity)[1].energy_error
        >>> print(f"{error(0.5):.3f}, derivative {jax.grad(error)(0.5):.3f}")
        0.030, derivative -0.818

    Args:
        step_size: $h$, positive. Differentiable.
        length: how long trajectories are: a number of steps, at least 1, or an `AbstractLength` such as
            `FixedSteps(num_steps, jitter)` or `RandomLength(mean)`.
        mass: the mass matrix; the identity if not given. Differentiable.
        integrator: its coefficients.
        divergence_threshold: the energy error above which a transition counts as divergent.
        adjoint: what reverse mode keeps of a trajectory, `CheckpointedTrajectory()` (if not given) or
            `ReversibleTrajectory()`.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if `length`, `mass`, `integrator` or `adjoint` are not what they are called.
    """

    step_size: Float[Array, ""]
    length: AbstractLength
    mass: AbstractMass
    integrator: Integrator
    divergence_threshold: float = eqx.field(static=True)
    adjoint: AbstractTrajectoryAdjoint

    def __init__(
        self,
        step_size: ArrayLike,
        length: int | AbstractLength,
        mass: AbstractMass | None = None,
        *,
        integrator: Integrator = leapfrog,
        divergence_threshold: float = 1000.0,
        adjoint: AbstractTrajectoryAdjoint | None = None,
    ):
        mass = UnitMass() if mass is None else mass
        adjoint = CheckpointedTrajectory() if adjoint is None else adjoint
        self.step_size = number("step_size", step_size)
        self.length = length if isinstance(length, AbstractLength) else FixedSteps(integer("length", length, 1))
        self.mass = instance("mass", mass, AbstractMass, "a mass such as `DiagonalMass`")
        self.integrator = instance("integrator", integrator, Integrator, "an `Integrator` such as `leapfrog`")
        self.divergence_threshold = static_number("divergence_threshold", divergence_threshold, at_least=0.0)
        self.adjoint = instance("adjoint", adjoint, AbstractTrajectoryAdjoint, "an adjoint of a trajectory")

    def init(self, position: PyTree[ArrayLike], logdensity: LogDensity) -> HMCState:
        """The state of a chain at a position; differentiable in it.

        Raises:
            ValueError: if the mass does not fit the position, if the log density is not one number, or if it or its
                gradient is not finite there (where they have values: not inside `jit`).
            TypeError: if the position is not made of floats, or the log density is not a function.
        """
        return init(self.mass, position, logdensity)

    def step(self, key: PRNGKeyArray, state: HMCState, logdensity: LogDensity) -> tuple[HMCState, HMCInfo]:
        """One transition, with length, momentum and acceptance drawn from `key`."""
        key = check_key("key", key)
        if self.length.is_random():
            key, key_jitter = jax.random.split(key)
            jitter = jax.random.uniform(key_jitter, (), self.step_size.dtype)
        else:
            jitter = jnp.full_like(self.step_size, 0.5)
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
        dynamics = Dynamics(logdensity, self.mass, self.step_size * scale * factor, self.integrator)
        return transition(key, state, dynamics, num_steps, self.adjoint, self.divergence_threshold)

    def trajectory(self, start: Phase, logdensity: LogDensity) -> Phase:
        """Where a given momentum carries a position.

        Args:
            start: position and momentum, with the log density and its gradient at the position.
            logdensity: what they are of.

        Returns:
            The end of the trajectory of mean length, without a choice between the ends; differentiable as `step` is.

        Raises:
            ValueError: if the momentum is not built like the position, or the mass does not fit them.
        """
        check_same_shape("start.momentum", start.momentum, start.position)
        self.mass.check(start.position)
        num_steps, factor = self.length.pick(jnp.full_like(self.step_size, 0.5), self.step_size)
        dynamics = Dynamics(logdensity, self.mass, self.step_size * factor, self.integrator)
        return self.adjoint.trajectory(start, dynamics, num_steps)


def DynamicHMC(
    step_size: ArrayLike,
    trajectory_length: ArrayLike,
    mass: AbstractMass | None = None,
    *,
    max_steps: int = 1000,
    integrator: Integrator = leapfrog,
    divergence_threshold: float = 1000.0,
    adjoint: AbstractTrajectoryAdjoint | None = None,
) -> HMC:
    """`HMC` with a `RandomLength`, what `sample` uses by default.

    Args:
        step_size: the step size, positive. Differentiable.
        trajectory_length: mean length of a trajectory, positive.
        mass: the mass matrix; the identity if not given. Differentiable.
        max_steps: bound on the number of steps.
        integrator: as of `HMC`.
        divergence_threshold: as of `HMC`.
        adjoint: as of `HMC`.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if `max_steps` is not an integer, or as `HMC` raises it.
    """
    return HMC(
        step_size,
        RandomLength(number("trajectory_length", trajectory_length), max_steps),
        mass,
        integrator=integrator,
        divergence_threshold=divergence_threshold,
        adjoint=adjoint,
    )
