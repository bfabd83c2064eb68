"""Early stopping: when a run ends before its last step, since it no longer improves."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._hyperparameter.converters import at_least


class AbstractEarlyStopping(eqx.Module):
    """Watches the losses of a run, and stops it."""

    @abc.abstractmethod
    def init(self, dtype: jnp.dtype) -> PyTree:
        """What it remembers before the first check; `None` if it never stops a run."""

    @abc.abstractmethod
    def check(
        self,
        memory: PyTree,
        training: Float[Array, ""],
        validation: Float[Array, ""] | None,
        threshold: Float[Array, ""],
    ) -> tuple[PyTree, Bool[Array, ""]]:
        """What it remembers after a check, and whether the run should stop."""


class NoEarly(AbstractEarlyStopping):
    """A run makes all of its steps."""

    def init(self, dtype: jnp.dtype) -> None:
        """Nothing."""

    def check(
        self, memory: None, training: Float[Array, ""], validation: Float[Array, ""] | None, threshold: Float[Array, ""]
    ) -> tuple[None, Bool[Array, ""]]:
        """Never stops."""
        return None, jnp.array(False)


class _Patience(eqx.Module):
    """The best losses so far, and how many checks in a row brought no better ones."""

    training: Float[Array, ""]
    judged: Float[Array, ""]
    stagnant: Int[Array, ""]
    overfitted: Int[Array, ""]


class Early(AbstractEarlyStopping):
    """Early stopping by patience: a run stops when its monitored loss no longer improves.

    The monitored loss is the validation loss, or without validation data the training loss. It is looked at every
    `Params.validation_interval` epochs, and improves when it falls below its best by more than
    `1 - Params.improvement_threshold` of the size of that.

    Args:
        stagnation: the patience, in consecutive checks without improvement of the monitored loss.
        overfitting: the patience in those of these checks at which the training loss improved.

    Raises:
        TypeError: if one of them is not an integer.
        ValueError: if one of them is below 1.
    """

    stagnation: int = eqx.field(static=True, converter=at_least("stagnation", 1), default=750)
    overfitting: int = eqx.field(static=True, converter=at_least("overfitting", 1), default=10)

    def init(self, dtype: jnp.dtype) -> _Patience:
        """No loss seen, nothing counted."""
        return _Patience(jnp.array(jnp.inf, dtype), jnp.array(jnp.inf, dtype), jnp.zeros((), int), jnp.zeros((), int))

    def check(
        self,
        memory: _Patience,
        training: Float[Array, ""],
        validation: Float[Array, ""] | None,
        threshold: Float[Array, ""],
    ) -> tuple[_Patience, Bool[Array, ""]]:
        """Count, and stop when one of the patiences has run out."""
        judged = training if validation is None else validation
        better = _improves(judged, memory.judged, threshold)
        trained = _improves(training, memory.training, threshold)
        memory = _Patience(
            training=jnp.where(trained, training, memory.training),
            judged=jnp.where(better, judged, memory.judged),
            stagnant=jnp.where(better, 0, memory.stagnant + 1),
            overfitted=jnp.where(better, 0, memory.overfitted + trained.astype(memory.overfitted.dtype)),
        )
        return memory, (memory.stagnant >= self.stagnation) | (memory.overfitted >= self.overfitting)


def _improves(loss: Float[Array, ""], best: Float[Array, ""], threshold: Float[Array, ""]) -> Bool[Array, ""]:
    first = jnp.isinf(best)
    margin = (1 - threshold.astype(best.dtype)) * jnp.abs(jnp.where(first, 0, best))
    return loss < jnp.where(first, best, best - margin)
