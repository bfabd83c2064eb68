"""`first_state`: where a run of `minimize` is before its first step."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np
from hype_ad.internal.checks import function
from hype_ad.internal.tree import float_dtype
from jaxtyping import PyTree

from .._config.params import Params, as_params_without_data
from .._hyperparameter.converters import as_arrays
from .._hyperparameter.ranges import dtype_of_hyperparameters, resolve
from .._objective import Losses, kind_of
from .._run.state import RunState, constrained, initial_state
from .._run.weights import partition


def first_state(
    f: Callable[[Any], Losses],
    w0: PyTree,
    params: Params | None = None,
    *,
    where: Callable[[Any], PyTree] | PyTree | None = None,
) -> RunState:
    """The state that a run begins with, for loops that make few steps at a time and change something between them.

    `minimize(f, w0, params, state=first_state(f, w0, params))` is `minimize(f, w0, params)`, so a `jax.lax.scan` over
    runs of one step can carry a state from the beginning on. Differentiable with respect to `w0` and `params`.

    Args:
        f: as for `minimize`; only the dtype of its value is looked at.
        w0: where to start.
        params: how to optimize.
        where: which part of `w0` changes.

    Returns:
        What `minimize` takes as `state`.

    Raises:
        TypeError: as `minimize` does for `f`, `w0` and `where`.
        ValueError: as `minimize` does for `w0`, `params` and `where`.
    """
    function("f", f, "a function of a point")
    w, static = partition("w0", as_arrays(w0), where)
    settings = resolve(as_params_without_data(params), dtype_of_hyperparameters(w))
    kind = kind_of("f", lambda w: f(eqx.combine(w, static)), w)
    state = initial_state(w, None, settings, None, np.promote_types(float_dtype(w), kind.dtype))
    return constrained(state, settings.constraint)
