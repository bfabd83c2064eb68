"""What a kernel is: what `sample` runs, and what warm-up adapts."""

from abc import abstractmethod
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import equinox as eqx
from equinox import AbstractVar
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ._custom_types import LogDensity
from ._length import AbstractLength
from ._mass import AbstractMass
from ._transition import HMCInfo, HMCState


@runtime_checkable
class AbstractKernelState(Protocol):
    """What `sample` reads of the state of a chain: any pytree with these fields, such as BlackJAX's states."""

    @property
    def position(self) -> Any:
        """Where the chain is: its draw."""

    @property
    def logdensity(self) -> Any:
        """The log density there. A chain can start where this and all other floats of its state are finite."""


@runtime_checkable
class AbstractKernelInfo(Protocol):
    """What `sample` reads of a transition: any pytree with these fields, named as BlackJAX names them."""

    @property
    def acceptance_rate(self) -> Any:
        """The Metropolis acceptance probability of the proposal; 1 for a kernel that always accepts."""

    @property
    def is_divergent(self) -> Any:
        """Whether numerical error spoiled the transition; false for a kernel that cannot diverge."""

    @property
    def energy(self) -> Any:
        """The Hamiltonian at the new state; NaN for a kernel without a momentum, and then there is no E-BFMI."""

    @property
    def num_integration_steps(self) -> Any:
        """What the transition cost: how often it evaluated the log density or its gradient."""


State = TypeVar("State", bound=AbstractKernelState)
Info = TypeVar("Info", bound=AbstractKernelInfo)


class AbstractKernel(eqx.Module, Generic[State, Info]):
    """A Markov transition kernel that leaves the target density invariant. A pytree: its floats are leaves."""

    @abstractmethod
    def init(self, position: PyTree[Any], logdensity: LogDensity) -> State:
        """The state of a chain at a position.

        Args:
            position: a pytree of floats.
            logdensity: the logarithm of the target density.

        Raises:
            ValueError: if the kernel does not fit the position.
        """

    @abstractmethod
    def step(self, key: PRNGKeyArray, state: State, logdensity: LogDensity) -> tuple[State, Info]:
        """One transition.

        Args:
            key: what everything random in it is drawn from.
            state: the state of the chain.
            logdensity: the logarithm of the target density, the same as `init` was given.

        Returns:
            The new state, and what happened.
        """


class AbstractAdaptiveKernel(AbstractKernel[HMCState, HMCInfo]):
    """A kernel that follows trajectories, and whose fields step size, mass and length warm-up can replace."""

    step_size: AbstractVar[Float[Array, ""]]
    mass: AbstractVar[AbstractMass]
    length: AbstractVar[AbstractLength]

    # How short warm-up lets the mean length become, in standard deviations of the widest direction. For a Gaussian 1.85
    # is best, and what is learned is that, or somewhat less where the curvature changes.
    least_length: ClassVar[float] = 0.6

    @abstractmethod
    def advance(
        self,
        key: PRNGKeyArray,
        state: HMCState,
        logdensity: LogDensity,
        jitter: Float[Array, ""],
        scale: Float[Array, ""],
    ) -> tuple[HMCState, HMCInfo]:
        """One transition of one chain among many.

        `jitter`, in (0, 1), picks the length of the trajectory. Chains that share it take equally many steps, which
        is what runs fast side by side. `scale` multiplies the step size of this chain alone, and does not change how
        many steps it takes.
        """
