"""How a run ended."""

import equinox as eqx


class Status(eqx.Enumeration):
    """How a run ended. A member is a pytree of one integer; `Status[status]` is its sentence."""

    MAX_STEPS = "The run made all of its steps."
    CONVERGED = "The gradient became shorter than the tolerance."
    EARLY_STOPPED = "The run stopped early, for want of improvement."
    DIVERGED = "The loss stopped being finite: the step length may be too large, or some of the data not finite."
    NO_DECREASE = "No further decrease of the objective can be found."
