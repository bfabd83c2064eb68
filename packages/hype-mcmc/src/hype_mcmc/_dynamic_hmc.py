"""Hamiltonian Monte Carlo with a number of steps picked when the program runs: what `sample` uses by default."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from ._adjoint import AbstractAdjoint, check_adjoint
from ._checks import count, one_key, positive, scalar, static_number
from ._hmc import check_integrator, check_mass
from ._integrator import Integrator, leapfrog
from ._kernel import AbstractKernel, HMCInfo, HMCState, transition
from ._logdensity import LogDensity
from ._mass import AbstractMass


class DynamicHMC(AbstractKernel):
    r"""Hamiltonian Monte Carlo with trajectories of random length.

    Lengths $n h$ are spread evenly over (0, 2 `trajectory_length`), as Hoffman, Radul and Sountsov (2021) jitter
    them, so no target is resonant with them. Since the length is a float, warm-up can adapt it in a compiled program.

    Given the number of steps, a trajectory is a smooth function of step size, mass and starting position. The number
    is found by a `while_loop`, so there is forward mode at any order, and reverse mode only with
    `adjoint=Reversible()`, which has no forward mode; `HMC` has both.

    Args:
        step_size: $h$, positive. Differentiable.
        trajectory_length: mean of $n h$, positive.
        mass: the mass matrix. Differentiable.
        max_steps: bound on the number of steps $n$.
        integrator: its coefficients.
        divergence_threshold: the energy error above which a transition counts as divergent.
        adjoint: which derivatives there are: forward mode with `Checkpointed()` (if not given), reverse mode with
            `Reversible()`.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if `max_steps` is not an integer, or `mass`, `integrator` or `adjoint` are not what they are called.
    """

    step_size: Float[Array, ""]
    trajectory_length: Float[Array, ""]
    mass: AbstractMass
    max_steps: int = eqx.field(static=True)
    integrator: Integrator
    divergence_threshold: float = eqx.field(static=True)
    adjoint: AbstractAdjoint

    def __init__(
        self,
        step_size: ArrayLike,
        trajectory_length: ArrayLike,
        mass: AbstractMass | None = None,
        *,
        max_steps: int = 1000,
        integrator: Integrator = leapfrog,
        divergence_threshold: float = 1000.0,
        adjoint: AbstractAdjoint | None = None,
    ):
        positive("step_size", step_size)
        self.step_size = scalar("step_size", step_size)
        positive("trajectory_length", trajectory_length)
        self.trajectory_length = scalar("trajectory_length", trajectory_length)
        self.mass = check_mass(mass)
        self.max_steps = count("max_steps", max_steps, at_least=1)
        self.integrator = check_integrator(integrator)
        self.divergence_threshold = static_number("divergence_threshold", divergence_threshold, at_least=0.0)
        self.adjoint = check_adjoint(adjoint)

    def mean_length(self) -> Float[Array, ""]:
        """The field `trajectory_length`."""
        return self.trajectory_length

    def most_steps(self) -> int:
        """The field `max_steps`."""
        return self.max_steps

    def adapted(
        self, step_size: Float[Array, ""], trajectory_length: Float[Array, ""], mass: AbstractMass
    ) -> "DynamicHMC":
        """This kernel with another step size, trajectory length and mass."""
        return eqx.tree_at(
            lambda kernel: (kernel.step_size, kernel.trajectory_length, kernel.mass),
            self,
            (step_size, trajectory_length, mass),
        )

    def num_steps(self, jitter: Float[Array, ""]) -> Int[Array, ""]:
        """The number of steps that covers `jitter` of twice the trajectory length, within 1 and `max_steps`."""
        wanted = jnp.ceil(
            2
            * jitter.astype(self.step_size.dtype)
            * self.trajectory_length.astype(self.step_size.dtype)
            / self.step_size
        )
        return jnp.clip(wanted, 1, self.max_steps).astype(jnp.int32)

    def step(self, key: PRNGKeyArray, state: HMCState, logdensity: LogDensity) -> tuple[HMCState, HMCInfo]:
        """One transition.

        Args:
            key: what the length, the momentum and the acceptance are drawn from.
            state: where the chain is.
            logdensity: what it samples, the same as `init` was given.

        Returns:
            Where the chain goes, and what happened.
        """
        key, key_jitter = jax.random.split(one_key(key))
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
        """One transition over `jitter` of twice the trajectory length, with the step size times `scale`."""
        steps = self.num_steps(jitter)
        return transition(
            key,
            state,
            self.mass,
            lambda start: self.adjoint.trajectory(
                start, logdensity, self.step_size * scale, self.mass, self.integrator, steps
            ),
            steps,
            self.divergence_threshold,
        )
