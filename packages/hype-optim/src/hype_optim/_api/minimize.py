from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from ._loop import RunState, Task
from ._objective import Scalar, as_scalar
from ._params import Params, as_params
from ._point import as_arrays, check_point
from ._result import Result
from ._run import check_state, run, steps_to_make


def minimize(
    f: Callable[[Any], Scalar], w0: PyTree, params: Params | None = None, *, state: RunState | None = None
) -> Result:
    r"""Find a point where a function of one pytree is small.

    The result is differentiable with respect to `w0`, every float of `params` and every array that `f` holds, in
    reverse and forward mode and to any order, in memory as `params.adjoint` says. It works under `jit` and `vmap` and
    inside `f` of another `minimize`.

    Args:
        f: maps a point to a scalar. If it is a pytree, such as `jax.tree_util.Partial(f, x)` or an Equinox module,
            its arrays are arguments of the compiled program, and new ones do not recompile; what a plain function
            closes over is baked in.
        w0: where to start: a `DV`, an array, a dict, a `Params`, an Equinox model, ... Leaves that are not floats are
            left alone.
        params: how to optimize. Its loss, regularization and batch are `train`'s and are not used here; an epoch is
            one step.
        state: the `state` of an earlier result, to go on where that run stopped, for another `params.epochs`, or to
            the end of its schedule; of `w0` only the structure is used then.

    Returns:
        A `Result` whose `w` is of the kind of `w0`.

    Raises:
        TypeError: if `w0` has no float leaf, or complex ones, or if `f` does not return a real scalar.
        ValueError: if `w0` has entries that are known not to be finite, if a schedule has no step left, or if `state`
            is that of another kind of run.
    """
    if not callable(f):
        raise TypeError(f"`f` must be a function of a point, got {f!r}.")
    params = as_params(params)
    w0 = as_arrays(w0)
    check_point("w0", w0)
    check_state(state, w0, params, None)
    steps = steps_to_make(params, 1, state)
    return _minimize(f, w0, params, state, steps)


@eqx.filter_jit
def _minimize(f: Callable, w0: PyTree, params: Params, state: RunState | None, steps: int) -> Result:
    w, rest = eqx.partition(w0, eqx.is_inexact_array)

    def objective(w: PyTree, batch: tuple[()]) -> Float[Array, ""]:
        return as_scalar("f", f(eqx.combine(w, rest)))

    task = Task(objective, load=lambda numbers: (), steps_per_epoch=1, validate=None)
    return run(task, w, rest, params, None, state, steps, lambda w: objective(w, ()))
