"""A while-loop of bounded length that has every derivative: for line searches and truncated solves inside of a step.

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

Carry = Any


def bounded_while_loop(
    unfinished: Callable[[Carry], Bool[Array, ""]], advance: Callable[[Carry], Carry], init: Carry, max_steps: int
) -> Carry:
    """Advance from `init` while it is unfinished, at most `max_steps` times.

    Differentiable with respect to `init` and to what `advance` closes over, in any mode and to any order; the reverse
    pass keeps one carry per step.
    """
    return _loop(eqx.filter_closure_convert(advance, init), init, unfinished, max_steps)


@eqx.filter_custom_jvp
def _loop(advance: Callable[[Carry], Carry], init: Carry, unfinished: Callable, max_steps: int) -> Carry:
    def go_on(numbered: tuple[Array, Carry]) -> Bool[Array, ""]:
        step, carry = numbered
        return (step < max_steps) & unfinished(carry)

    return lax.while_loop(go_on, lambda numbered: (numbered[0] + 1, advance(numbered[1])), (jnp.array(0), init))[1]


@_loop.def_jvp
def _loop_jvp(primals: tuple, tangents: tuple) -> tuple[Carry, PyTree]:
    advance, init, unfinished, max_steps = primals
    d_advance, d_init, _, _ = tangents

    def scan(advance: Callable[[Carry], Carry], init: Carry) -> Carry:
        @jax.checkpoint
        def step(carry: Carry, _: None) -> tuple[Carry, None]:
            # A module is not hashable, a lambda is.
            return lax.cond(unfinished(carry), lambda carry: advance(carry), lambda carry: carry, carry), None

        return lax.scan(step, init, length=max_steps)[0]

    return eqx.filter_jvp(scan, (advance, init), (d_advance, d_init))
