"""While-loops of bounded length that have every derivative: for runs that may end early, and for loops in a step.

A `lax.while_loop` is as long as it must be, also under `vmap`, but has no reverse mode. So where nothing is
differentiated it is one, and its derivative is that of a scan of bounded length, whose idle steps a branch skips.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, PyTree

from hype_ad.internal.closing import closure_convert
from hype_ad.internal.settled import settled
from hype_ad.internal.tree import where

Carry = Any


def with_derivative_of(other: Callable[..., PyTree], function: Callable[..., PyTree], *args: PyTree) -> PyTree:
    """`function(*args)`, with the derivative of `other`, which gives the same: in any mode and to any order."""
    return _call(closure_convert(function, *args), closure_convert(other, *args), args)


@eqx.filter_custom_jvp
def _call(function: Callable[..., PyTree], other: Callable[..., PyTree], args: tuple) -> PyTree:
    return function(*args)


@_call.def_jvp
def _call_jvp(primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    (_, other, args), (_, d_other, d_args) = primals, tangents
    return eqx.filter_jvp(lambda other, args: other(*args), (other, args), (d_other, d_args))


def bounded_while_loop(
    unfinished: Callable[[Carry], Bool[Array, ""]], advance: Callable[[Carry], Carry], init: Carry, max_steps: int
) -> Carry:
    """Advance from `init` while it is unfinished, at most `max_steps` times.

    Differentiable with respect to `init` and to what `advance` closes over, in any mode and to any order; the reverse
    pass keeps one carry per step.
    """
    advance = closure_convert(advance, init)
    loop = lambda init: while_loop(unfinished, advance, init, max_steps)
    scan = lambda init: bounded_scan(unfinished, advance, init, max_steps)
    return with_derivative_of(scan, loop, init)


def while_loop(
    unfinished: Callable[[Carry], Bool[Array, ""]], advance: Callable[[Carry], Carry], init: Carry, max_steps: int
) -> Carry:
    """The same where nothing is differentiated."""

    def go_on(numbered: tuple[Array, Carry]) -> Bool[Array, ""]:
        step, carry = numbered
        return (step < max_steps) & unfinished(carry)

    go = lambda numbered: (numbered[0] + 1, advance(numbered[1]))
    return lax.while_loop(go_on, go, settled(go, (jnp.array(0), init)))[1]


def bounded_scan(
    unfinished: Callable[[Carry], Bool[Array, ""]], advance: Callable[[Carry], Carry], init: Carry, max_steps: int
) -> Carry:
    """The same, always with all of its steps, the idle ones skipped by a branch."""

    @jax.checkpoint
    def step(carry: Carry, _: None) -> tuple[Carry, None]:
        # A module is not hashable, a lambda is.
        return cond_anywhere(unfinished(carry), lambda carry: advance(carry), lambda carry: carry, carry), None

    return lax.scan(step, settled(advance, init), length=max_steps)[0]


def cond_anywhere(
    condition: Bool[Array, ""], go_on: Callable[..., Carry], idle: Callable[..., Carry], *operands: PyTree
) -> Carry:
    """`lax.cond(condition, go_on, idle, *operands)`, under `vmap` with one branch for the whole batch.

    JAX makes of a batched condition a selection between both branches, and copies for each in the batch what all of it
    shares: data would be read anew for each, and a branch inside, to validate only now and then, be taken at each step.
    Here the batch goes on where any of it does, `idle` is computed with it, and what is shared stays so.
    """

    def chosen(*operands: PyTree) -> Carry:
        return where(of_each(condition), go_on(*operands), idle(*operands))

    return lax.cond(anywhere(condition), chosen, idle, *operands)


@jax.custom_batching.custom_vmap
def of_each(condition: Bool[Array, ""]) -> Bool[Array, ""]:
    """True, under `vmap` the condition: what is left to know of it where it holds for any of the batch."""
    return jnp.ones_like(condition)


@of_each.def_vmap
def _of_each_batched(
    size: int, batched: list[bool], condition: Bool[Array, " size"]
) -> tuple[Bool[Array, " size"], bool]:
    return condition, True


@jax.custom_batching.custom_vmap
def anywhere(condition: Bool[Array, ""]) -> Bool[Array, ""]:
    """Whether a condition holds, under `vmap` in any of the batch: one loop for all, whose carry is not selected."""
    return condition


@anywhere.def_vmap
def _anywhere_batched(size: int, batched: list[bool], condition: Bool[Array, " size"]) -> tuple[Bool[Array, ""], bool]:
    return anywhere(jnp.any(condition)), False
