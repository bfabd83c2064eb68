"""How a run ended."""

from functools import reduce

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool


class Status(eqx.Enumeration):
    """How a run ended. A member is a pytree of one integer; `Status[status]` is its sentence."""

    MAX_STEPS = "The run made all of its steps."
    CONVERGED = "The gradient became shorter than the tolerance."
    EARLY_STOPPED = "The run stopped early, for want of improvement."
    DIVERGED = "The loss stopped being finite: the step length may be too large, or some of the data not finite."
    NO_DECREASE = "No further decrease of the objective can be found."
    NO_DIRECTION = (
        "The direction of a step is not finite: the gradient or the Hessian is not, or the `sparsity` of `Newton` "
        "lacks entries."
    )
    OUT_OF_RANGE = (
        "A number left the range of `Reversible`'s integers: the step length may be too large; or give it fewer "
        "`fraction_bits`, or take another adjoint, such as Checkpointed()."
    )
    SMALL_MOMENTUM = (
        "`Reversible` made no steps, because the momentum is below its `least_momentum`: lower that, which costs "
        "memory, or take another adjoint, such as Checkpointed()."
    )


def has_failed(status: Status) -> Bool[Array, "..."]:
    """Whether a run ended so that there is nothing to go on from."""
    failures = (Status.DIVERGED, Status.NO_DIRECTION, Status.OUT_OF_RANGE, Status.SMALL_MOMENTUM)
    return reduce(jnp.logical_or, (jnp.asarray(status == failure) for failure in failures))
