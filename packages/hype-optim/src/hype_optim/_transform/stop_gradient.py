"""Calls that are constant in a derivative."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from hype_ad.internal.closing import closure_convert
from jax import lax


def call_stopped(function: Callable[..., Any], *args: Any) -> Any:
    """`stop_gradient(function(*args))`, with gradients stopped at the inputs too.

    At the arguments and at all arrays that `function` closes over, so that JAX never differentiates `function`, which
    may contain while-loops or callbacks.
    """
    args = stop_gradient(args)
    return stop_gradient(stop_gradient(closure_convert(function, *args))(*args))


def stop_gradient(tree: Any) -> Any:
    """`lax.stop_gradient` of the float arrays in a pytree."""
    return jax.tree.map(lambda leaf: lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)
