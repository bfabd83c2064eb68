"""What a schedule is: a learning rate that depends on nothing but where in the run a step is."""

import abc

import jax.numpy as jnp
from hype_ad.internal.tree import scale
from jaxtyping import Array, Int, PyTree

from ..._hyperparameter.converters import check_prefix
from ..._objective import Iterate
from .base import AbstractLearningRate


class AbstractSchedule(AbstractLearningRate):
    """Step lengths by the number of the step and of the epoch; they remember nothing."""

    @abc.abstractmethod
    def at(self, step: Int[Array, ""], epoch: Int[Array, ""]) -> PyTree:
        """The rate, or one for each part of the weights: a prefix of their structure."""

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing, after a look at whether the rates fit the weights."""
        first = jnp.zeros((), int)
        check_prefix("rate", self.at(first, first), w)
        return ()

    def update(self, direction: PyTree, memory: tuple[()], iterate: Iterate) -> tuple[PyTree, tuple[()]]:
        """The rate times the direction."""
        return scale(self.at(iterate.step, iterate.epoch), direction), memory


class AbstractFiniteSchedule(AbstractSchedule):
    """A schedule that fixes how many steps a run has; `Params.epochs` is not used then."""

    @abc.abstractmethod
    def total_steps(self, steps_per_epoch: int) -> int:
        """The number of steps of a run from its beginning."""
