"""Rates given one by one: the number of them is how long the training lasts."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from .._checks import Hyperparameter, HyperparameterLike, check_prefix, is_numeric, non_negative_number
from .._objective import Iterate
from .._tree import scale
from .base import AbstractLearningRate


class AbstractSchedule(AbstractLearningRate):
    """Step lengths that depend on nothing but where in the run a step is."""

    rates: eqx.AbstractVar[Hyperparameter]

    @abc.abstractmethod
    def at(self, iterate: Iterate) -> PyTree:
        """The step's rate, or one for each part of the weights."""

    def init(self, w: PyTree) -> tuple[()]:
        """Nothing."""
        check_prefix("rates", entry(self.rates, jnp.array(0)), w)
        return ()

    def update(self, direction: PyTree, memory: tuple[()], iterate: Iterate) -> tuple[PyTree, tuple[()]]:
        """The step's rate times the direction."""
        return scale(self.at(iterate), direction), memory


class Schedule(AbstractSchedule):
    """One step length per epoch. Their number takes the place of `Params.epochs`.

    Args:
        rates: at least 0, shape `(epochs,)`; or a pytree of such arrays that is a prefix of the weights' structure.
            Differentiable.

    Raises:
        ValueError: if there is no rate, if arrays of a pytree differ in length, or if a rate is a number below 0.
    """

    rates: Hyperparameter

    def __init__(self, rates: HyperparameterLike):
        self.rates = rates_along_an_axis(rates)

    @property
    def epochs(self) -> int:
        """How many rates there are."""
        return length(self.rates)

    def at(self, iterate: Iterate) -> PyTree:
        """The epoch's rate."""
        return entry(self.rates, iterate.epoch)


class StepSchedule(AbstractSchedule):
    """One step length per step. Their number is the number of steps.

    Args:
        rates: at least 0, shape `(steps,)`; or a pytree of such arrays that is a prefix of the weights' structure.
            Differentiable.

    Raises:
        ValueError: if there is no rate, if arrays of a pytree differ in length, or if a rate is a number below 0.
    """

    rates: Hyperparameter

    def __init__(self, rates: HyperparameterLike):
        self.rates = rates_along_an_axis(rates)

    @property
    def steps(self) -> int:
        """How many rates there are."""
        return length(self.rates)

    def at(self, iterate: Iterate) -> PyTree:
        """The step's rate."""
        return entry(self.rates, iterate.step)


def rates_along_an_axis(rates: Any) -> Hyperparameter:
    """Check for rates, or a pytree of them, with a leading axis that is equally long everywhere.

    Raises:
        ValueError: if they have none, or an empty one, or differ in it, or if a rate is a number below 0.
    """
    if isinstance(rates, list | tuple) and all(is_numeric(rate) and jnp.ndim(rate) == 0 for rate in rates):
        rates = jnp.array(rates, float)
    rates = non_negative_number("rates", rates)
    if any(leaf.ndim == 0 for leaf in jax.tree.leaves(rates)):
        raise ValueError(
            "`rates` must have a leading axis, one entry per step or epoch, got a single number; use `Constant`."
        )
    if len({leaf.shape[0] for leaf in jax.tree.leaves(rates)}) > 1:
        raise ValueError(
            f"The arrays of `rates` must have equal lengths, got {[leaf.shape[0] for leaf in jax.tree.leaves(rates)]}."
        )
    if length(rates) == 0:
        raise ValueError("`rates` must hold at least one rate, got an empty array.")
    return rates


def length(rates: Hyperparameter) -> int:
    """How many rates there are."""
    return jax.tree.leaves(rates)[0].shape[0]


def entry(rates: Hyperparameter, index: Int[Array, ""]) -> PyTree:
    """The rates at `index`, the last ones beyond the end."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, index, axis=0, mode="clip"), rates)
