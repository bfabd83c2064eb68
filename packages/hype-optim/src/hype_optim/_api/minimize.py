"""`minimize`: find a point where a function of one pytree is small."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from hype_ad.internal.captured import watched
from hype_ad.internal.checks import function
from hype_ad.internal.progress import clearing
from jaxtyping import Array, Float, PyTree

from .._config.params import Params, as_params_without_data, steps_to_make
from .._hyperparameter.converters import as_arrays
from .._hyperparameter.ranges import dtype_of_hyperparameters, resolve
from .._objective import Losses, kind_of, total_loss
from .._run.problem import Problem
from .._run.result import Result
from .._run.solve import solve
from .._run.state import RunState, check_state
from .._run.weights import partition


def minimize(
    f: Callable[[Any], Losses],
    w0: PyTree,
    params: Params | None = None,
    *,
    where: Callable[[Any], PyTree] | PyTree | None = None,
    state: RunState | None = None,
) -> Result:
    r"""Find a point where a function of one pytree is small.

    The result is differentiable with respect to `w0`, every float of `params` and every array that `f` holds, in
    reverse and forward mode and to any order, in memory as `params.adjoint` says. It works under `jit` and `vmap` and
    inside `f` of another `minimize`.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hype_optim import Params, minimize
        >>> f = lambda w: jnp.sum((w - 3.0) ** 2)
        >>> end = lambda rate: minimize(f, jnp.zeros(2), Params(epochs=20, learning_rate=rate, silent=True))
        >>> print(f"{end(0.1).loss:.4f} after {end(0.1).steps} steps")
        0.0024 after 20 steps
        >>> print(f"{jax.grad(lambda rate: end(rate).loss)(0.1):.4f}")  # the derivative by the learning rate
        -0.2393

    Args:
        f: maps a point to a scalar; or to several, one for each part of the point in its upper structure, such as
            `{"x": ..., "y": ...}` or a tuple: then each part is changed by the gradient of its own, as players of a
            game do, the loss is their sum and the result the last point. If it is a pytree, such as
            `jax.tree_util.Partial(f, x)` or an Equinox module, its arrays are arguments of the compiled program, and
            new ones do not recompile; what a plain function closes over is baked in. It is compiled again when a
            global, a closed-over variable or an attribute of its object has changed, where that can be seen: arrays and
            numbers that it, or functions of its own package that it calls, read by name.
        w0: where to start: a `DV`, an array, a dict, a `Params`, an Equinox model, ... Leaves that are not floats are
            left alone.
        params: how to optimize; an epoch is one step.
        where: which part of `w0` changes, all else being held: a function that gives it, `lambda w: w["a"]` or `lambda
            w: [w.layers[0], w.bias]`, or a pytree of truth values of the structure of `w0` or of its upper part. What
            is held is differentiated like any other constant.
        state: the `state` of an earlier result, to go on where that run stopped, for another `params.epochs`, or to
            the end of its schedule; of `w0` only the structure is used then. If `f` is another one, the best point so
            far is judged anew by it; what the method, the rate and the momentum remember stays.

    Returns:
        A `Result` whose `w` is of the kind of `w0`.

    Raises:
        TypeError: if `w0` has no float leaf, or complex ones, if `where` is neither a function nor truth values, if `f`
            does not return a real scalar, or if `state` is not that of a `Result`.
        ValueError: if `w0` has entries that are known not to be finite, if `params` has a loss, a penalty or a batch
            size, which only `train` can honor, if `where` gives no floats or what is not there, if a schedule has no
            step left, if `state` is that of another kind of run, or, inside of a `jax.shard_map`, if `f` differs
            between devices that have the same point.
    """
    function("f", f, "a function of a point")
    w0 = as_arrays(w0)
    w, static = partition("w0", w0, where)
    params, state = as_params_without_data(params), check_state(state)
    steps = steps_to_make(params, 1, None if state is None else state.step)
    with clearing():
        return _minimize(watched(f), w, static, params, state, steps)


@eqx.filter_jit
def _minimize(f: Callable, w: PyTree, static: PyTree, params: Params, state: RunState | None, steps: int) -> Result:

    def objective(w: PyTree, held: PyTree = None) -> Float[Array, ""]:
        return total_loss("f", lambda w: f(eqx.combine(w, static)), w, held)

    params = resolve(params, dtype_of_hyperparameters(w))
    problem = Problem(
        lambda w, model_state: objective(w),
        lambda w, held, model_state, batch: (objective(w, held), None),
        lambda steps: (),
        kind=kind_of("f", lambda w: f(eqx.combine(w, static)), w),
        steps_per_epoch=1,
        constraint=params.constraint,
        validate=None,
        is_fixed=True,
    )
    return solve(problem, w, None, static, params, None, state, steps)
