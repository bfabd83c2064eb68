"""Hamiltonian Monte Carlo with a known number of steps: the kernel that is differentiable in every mode."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from . import _tree
from ._adjoint import AbstractAdjoint, check_adjoint
from ._checks import count, one_key, positive, scalar, static_number
from ._integrator import Integrator, leapfrog
from ._kernel import AbstractKernel, HMCInfo, HMCState, transition
from ._logdensity import LogDensity
from ._mass import AbstractMass, UnitMass
from ._trajectory import Phase


class HMC(AbstractKernel):
    r"""Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011), smooth in its step size and mass.

    With the same key, the end of a trajectory, its energy error and its acceptance probability are smooth functions
    of the step size, of every entry of the mass and of the position the state was made from, in reverse and forward
    mode and to any order. Reverse mode keeps about `2 sqrt(num_steps)` states, or with `adjoint=Reversible()` one.

    On a nearly Gaussian target a fixed length can come back to where it started at every transition: high acceptance
    and wrong variances. `jitter` prevents that. It scales the step size, not the number of steps, so that a
    trajectory stays smooth in the step size and chains side by side take equally many steps.

    Args:
        step_size: $h$, positive. Differentiable.
        num_steps: steps of a trajectory, at least 1.
        mass: the mass matrix. Differentiable.
        jitter: each transition uses a step size drawn from $h (1 \pm$ `jitter`$)$; at least 0, below 1.
        integrator: its coefficients.
        divergence_threshold: the energy error above which a transition counts as divergent.
        adjoint: what reverse mode keeps of a trajectory, `Checkpointed()` (if not given) or `Reversible()`.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if `num_steps` is not an integer, or `mass`, `integrator` or `adjoint` are not what they are called.
    """

    step_size: Float[Array, ""]
    mass: AbstractMass
    num_steps: int = eqx.field(static=True)
    jitter: float = eqx.field(static=True)
    integrator: Integrator
    divergence_threshold: float = eqx.field(static=True)
    adjoint: AbstractAdjoint

    def __init__(
        self,
        step_size: ArrayLike,
        num_steps: int,
        mass: AbstractMass | None = None,
        *,
        jitter: float = 0.0,
        integrator: Integrator = leapfrog,
        divergence_threshold: float = 1000.0,
        adjoint: AbstractAdjoint | None = None,
    ):
        positive("step_size", step_size)
        self.step_size = scalar("step_size", step_size)
        self.num_steps = count("num_steps", num_steps, at_least=1)
        self.mass = check_mass(mass)
        self.jitter = static_number("jitter", jitter, at_least=0.0, below=1.0)
        self.integrator = check_integrator(integrator)
        self.divergence_threshold = static_number("divergence_threshold", divergence_threshold, at_least=0.0)
        self.adjoint = check_adjoint(adjoint)

    def mean_length(self) -> Float[Array, ""]:
        """Steps times step size."""
        return self.num_steps * self.step_size

    def most_steps(self) -> int:
        """Steps of every trajectory."""
        return self.num_steps

    def adapted(self, step_size: Float[Array, ""], trajectory_length: Float[Array, ""], mass: AbstractMass) -> "HMC":
        """This kernel with another step size and mass; the number of steps stays."""
        return eqx.tree_at(lambda kernel: (kernel.step_size, kernel.mass), self, (step_size, mass))

    def step(self, key: PRNGKeyArray, state: HMCState, logdensity: LogDensity) -> tuple[HMCState, HMCInfo]:
        """One transition.

        Args:
            key: what the momentum, the jitter and the acceptance are drawn from.
            state: where the chain is.
            logdensity: what it samples, the same as `init` was given.

        Returns:
            Where the chain goes, and what happened.
        """
        key = one_key(key)
        if self.jitter == 0:
            jitter = jnp.full_like(self.step_size, 0.5)
        else:
            key, key_jitter = jax.random.split(key)
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
        """One transition, at `jitter` of the way from the smallest step size to the largest, times `scale`."""
        step_size = self.step_size * scale
        if self.jitter != 0:
            step_size = step_size * (1 + self.jitter * (2 * jitter - 1))
        return transition(
            key,
            state,
            self.mass,
            lambda start: self.adjoint.trajectory(
                start, logdensity, step_size, self.mass, self.integrator, self.num_steps
            ),
            jnp.asarray(self.num_steps, jnp.int32),
            self.divergence_threshold,
        )

    def trajectory(self, start: Phase, logdensity: LogDensity) -> Phase:
        """Where a given momentum carries a position.

        Args:
            start: position and momentum, with the log density and its gradient at the position.
            logdensity: what they are of.

        Returns:
            The end of the trajectory, without jitter and without a choice between the ends; differentiable as `step`
            is.

        Raises:
            ValueError: if the momentum is not built like the position, or the mass does not fit them.
        """
        _tree.same_shape("start.momentum", start.momentum, start.position)
        self.mass.check(start.position)
        return self.adjoint.trajectory(start, logdensity, self.step_size, self.mass, self.integrator, self.num_steps)


def check_mass(mass: AbstractMass | None) -> AbstractMass:
    """`mass`, or the unit mass for `None`.

    Raises:
        TypeError: if it is something else.
    """
    mass = UnitMass() if mass is None else mass
    if not isinstance(mass, AbstractMass):
        raise TypeError(f"`mass` must be a UnitMass, DiagonalMass or DenseMass, got {type(mass).__name__}.")
    return mass


def check_integrator(integrator: Integrator) -> Integrator:
    """`integrator`, if it is one.

    Raises:
        TypeError: if it is not.
    """
    if not isinstance(integrator, Integrator):
        raise TypeError(f"`integrator` must be an Integrator such as `leapfrog`, got {type(integrator).__name__}.")
    return integrator
