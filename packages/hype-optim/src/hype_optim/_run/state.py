"""The state of a run: all that it needs to go on."""

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.checks import instance
from hype_ad.internal.tree import where
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .._config.constraint.base import AbstractConstraint, AbstractSet
from .._config.params import Params
from .status import Status, has_failed


class Memory(eqx.Module):
    """What each part of a step remembers of the steps before."""

    method: PyTree
    learning_rate: PyTree
    momentum: PyTree


class Judgement(eqx.Module):
    """Model selection so far.

    Attributes:
        best_w: the best weights.
        best_model_state: the state of the model with them, or `None`.
        best_loss: the loss that they were judged by.
        losses: the running sum of this epoch's training losses, over batches or examples.
        stopping: the patience of early stopping; `None` if nothing stops a run early.
        worth: the validation loss of the best weights, or without validation data their objective, at the end of the
            run: what tells whether a run that goes on is on the same problem. Infinite if nothing was judged.
    """

    best_w: PyTree
    best_loss: Float[Array, ""]
    losses: Float[Array, ""]
    stopping: PyTree
    worth: Float[Array, ""]
    best_model_state: PyTree = None


class Evaluation(eqx.Module):
    """The objective at a point, and its gradient."""

    value: Float[Array, ""]
    gradient: PyTree


class RunState(eqx.Module):
    """Where a run is. What `minimize` and `train` take as `state=`.

    Attributes:
        w: the float leaves of the weights.
        memory: what the method, the learning rate and the momentum remember.
        step: the number of steps made.
        key: what a training draws from, if it was given a key.
        running: whether the run goes on with the next step.
        status: how it ended, if it has.
        judgement: the best weights, and what early stopping counts.
        model_state: the state of the model, such as running statistics, or `None`.
        evaluation: the objective at `w`, within a run whose searches find it; else `None`.
    """

    w: PyTree
    memory: Memory
    step: Int[Array, ""]
    key: PRNGKeyArray | None
    running: Bool[Array, ""]
    status: Status
    judgement: Judgement
    model_state: PyTree = None
    evaluation: Evaluation | None = None


class Place(NamedTuple):
    """Where in a run a step is: its number, and how many are left after it."""

    number: Int[Array, "..."]
    left: Int[Array, "..."]


def initial_state(w: PyTree, model_state: PyTree, params: Params, key: PRNGKeyArray | None, dtype: Any) -> RunState:
    """The state before the first step. `w` has float leaves only, `params` no ranges, and losses are of `dtype`."""
    never, nothing = jnp.array(jnp.inf, dtype), jnp.array(0, dtype)
    return RunState(
        w=w,
        memory=initial_memory(w, params),
        step=jnp.zeros((), int),
        key=key,
        running=jnp.array(True),
        status=Status.MAX_STEPS,
        judgement=Judgement(w, never, nothing, params.early_stopping.init(dtype), never, model_state),
        model_state=model_state,
    )


def initial_memory(w: PyTree, params: Params) -> Memory:
    """What is remembered before the first step."""
    return Memory(params.method.init(w), params.learning_rate.init(w), params.momentum.init(w))


def forgotten(failed: Bool[Array, ""], w: PyTree, params: Params, memory: Memory) -> Memory:
    """What is remembered, or where a search has `failed` what acts as before the first step, at some weights."""
    after, acting = where(failed, initial_memory(w, params), memory), params.method.acting
    if acting is None:
        return after
    return replace(after, method=eqx.tree_at(acting, memory.method, acting(after.method)))


def constrained(state: RunState, constraint: AbstractConstraint) -> RunState:
    """The state before the first step, with the weights in the set that they are to stay in."""
    if not isinstance(constraint, AbstractSet):
        return state
    w = constraint.project(state.w)
    return eqx.tree_at(lambda s: (s.w, s.judgement.best_w), state, (w, w))


def check_state(state: RunState | None) -> RunState | None:
    """The state of a run, if it is one, or `None`."""
    return state if state is None else instance("state", state, RunState, "the `state` of a `Result`")


def resumed(state: RunState, fresh: RunState) -> RunState:
    """The state of a run like that of `fresh` that is to go on, and has not ended yet; one that failed cannot.

    One that had stopped early is given its whole patience again: it would stop at its next check.
    """
    _check_kind(state, fresh)
    failed = has_failed(state.status)
    stopped = jnp.asarray(state.status == Status.EARLY_STOPPED)
    patience = where(stopped, fresh.judgement.stopping, state.judgement.stopping)
    return eqx.tree_at(
        lambda s: (s.running, s.status, s.judgement.stopping),
        state,
        (~failed, Status.where(failed, state.status, Status.MAX_STEPS), patience),
        is_leaf=lambda x: x is None,
    )


def _check_kind(state: RunState, fresh: RunState) -> None:
    found, expected = _leaves(state), _leaves(fresh)
    differing = [path for path in {**expected, **found} if found.get(path) != expected.get(path)]
    if not differing and jax.tree.structure(state) == jax.tree.structure(fresh):
        return
    if differing:
        path = differing[0]
        what = f"`state{path}` is {found.get(path, 'missing')} where this run has {expected.get(path, 'nothing')}."
    else:
        what = "it differs in what is no array, such as a function that the model holds (a new `lambda` is another)."
    raise ValueError(
        "`state` must be that of a run with weights of the same shapes and with the same method, learning rate, "
        f"momentum and early stopping, but {what}"
    )


def _leaves(state: RunState) -> dict[str, str]:
    """What each leaf is, by its path."""
    paths = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): f"{jnp.result_type(leaf)} of shape {jnp.shape(leaf)}" for path, leaf in paths}
