"""What `Reversible` cannot do, in words: refused before compiling, or warned of when a program has run."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from .._config.constraint.base import NoConstraint
from .._config.momentum import Momentum
from .._run.status import Status

OTHERS = "take another adjoint, such as Checkpointed()"
FORWARD = f"`Reversible` has no forward mode: take `jax.grad` or `jax.vjp`, or {OTHERS}."
SECOND = f"`Reversible` has first derivatives only: for second ones {OTHERS}."


def check_invertible(state: PyTree, params: PyTree) -> None:
    """Raises unless the run can be run backwards."""
    kind = lambda x: type(x).__name__
    momentum, rate = params.momentum, params.learning_rate
    if not isinstance(momentum, Momentum):
        raise ValueError(
            f"`momentum` must be Momentum(...) under Reversible(), got {kind(momentum)}: from the weights after a step "
            "of any other, those before it can only be found by solving an equation, and some cannot be found at all. "
            f"Take Momentum(0.9), or {OTHERS}."
        )
    forgetful = {"method": (params.method, state.memory.method), "learning_rate": (rate, state.memory.learning_rate)}
    for name, (given, memory) in forgetful.items():
        if jax.tree.leaves(memory):
            raise ValueError(
                f"`{name}` must be one that remembers nothing under Reversible(), such as GD() with a number or a "
                f"schedule, got {kind(given)}: {OTHERS}."
            )
    refused = {
        "learning_rate": (rate, rate.searches),
        "constraint": (params.constraint, not isinstance(params.constraint, NoConstraint)),
        "early_stopping": (params.early_stopping, state.judgement.stopping is not None),
        "tolerance": (params.tolerance, params.tolerance is not None),
        "track_sensitivity": (params.track_sensitivity, params.track_sensitivity),
    }
    for name, (given, is_refused) in refused.items():
        if is_refused:
            got = f", got {kind(given)}" if isinstance(given, eqx.Module) else ""
            raise ValueError(f"`{name}` must be left out under Reversible(){got}; or {OTHERS}.")


def is_ours(status: Status) -> Bool[Array, ""]:
    """Whether a run failed because it was made of integers."""
    return jnp.asarray(status == Status.OUT_OF_RANGE) | jnp.asarray(status == Status.SMALL_MOMENTUM)


def warn_of_end(status: Status) -> None:
    """Warn, with the remedy, if a run failed because it was made of integers."""
    if is_ours(status):  # `vmap` calls for the others too
        warnings.warn(Status[status], stacklevel=2)


def warn_of_mismatch(arrived: Array) -> None:
    """Warn, with the remedy, unless the reverse pass arrived where the run began."""
    if arrived:
        return
    warnings.warn(
        "`Reversible` gives a derivative of NaN: its reverse pass did not arrive at the weights that the run began "
        "with, so some step was not computed twice with the same result. Make the computation deterministic (on a GPU "
        f"XLA_FLAGS=--xla_gpu_deterministic_ops=true), or {OTHERS}.",
        stacklevel=2,
    )
