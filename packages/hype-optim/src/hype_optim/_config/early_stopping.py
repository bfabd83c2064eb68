"""When a run gives up before its last step."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._checks import integer


class AbstractEarlyStopping(eqx.Module):
    """Watches the losses of a run."""

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
    training: Float[Array, ""]  # the best so far
    judged: Float[Array, ""]
    stagnant: Int[Array, ""]  # checks in a row
    overfitted: Int[Array, ""]


class Early(AbstractEarlyStopping):
    """A run stops when it no longer improves.

    There is a check every `Params.validation_interval` epochs. Both patiences count checks since the last one at which
    the judged loss improved (that of the validation data where there are some, else the training loss): all of them,
    and those at which the training loss improved. A loss improves when it falls below its best by more than
    `1 - Params.improvement_threshold` of the size of that.

    Args:
        stagnation: checks without improvement after which the run stops.
        overfitting: checks with improvement of the training loss alone after which the run stops.

    Raises:
        TypeError: if one of them is not an integer.
        ValueError: if one of them is below 1.
    """

    stagnation: int = eqx.field(static=True)
    overfitting: int = eqx.field(static=True)

    def __init__(self, stagnation: int = 750, overfitting: int = 10):
        self.stagnation = integer("stagnation", stagnation, 1)
        self.overfitting = integer("overfitting", overfitting, 1)

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
        """Count, and stop when a patience is at its end."""
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
    margin = (1 - threshold) * jnp.abs(jnp.where(first, 0, best))
    return loss < jnp.where(first, best, best - margin)
