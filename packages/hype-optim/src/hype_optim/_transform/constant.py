"""Calls through which no derivative passes, whatever the function closes over."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax import lax


def held_constant(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, held constant in what is differentiated.

    The derivatives end at what goes in, not at what comes out: nothing inside is differentiated only to be dropped,
    so `function` may do what has no derivative.
    """
    args = hold(args)
    return hold(hold(eqx.filter_closure_convert(function, *args))(*args))


def hold(tree: Any) -> Any:
    """`lax.stop_gradient` of the float arrays in a pytree."""
    return jax.tree.map(lambda leaf: lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)
