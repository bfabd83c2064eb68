"""A function with all arrays that it closes over as leaves of it.

As `equinox.filter_closure_convert`, without its comparison of arguments, which looks at more than is the same in a loop
and outside of it where arrays are sharded along explicit axes, or inside of a `jax.shard_map`.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import equinox as eqx
import jax
from jax.extend import core
from jaxtyping import PyTree


class Converted(eqx.Module):
    """A function as a program for arguments of one structure."""

    program: Any  # a leaf, for JAX to see what is inside
    consts: list[Any]  # arrays, those of NumPy among them
    structure: Any = eqx.field(static=True)  # of the arrays that it gives
    rest: PyTree = eqx.field(static=True)  # what it gives besides arrays

    def __call__(self, *args: Any) -> Any:
        """Its value."""
        arrays = jax.tree.leaves(eqx.filter(args, eqx.is_array))
        out = core.jaxpr_as_fun(core.ClosedJaxpr(self.program, self.consts))(*arrays)
        leaves, structure = self.rest
        return eqx.combine(jax.tree.unflatten(self.structure, out), jax.tree.unflatten(structure, leaves))


def closure_convert(f: Callable[..., Any], *args: Any) -> Callable[..., Any]:
    """`f` for arguments like `args`: arrays, or only their shapes; all else among them is a part of it."""
    if isinstance(f, FunctionType) and f.__closure__ is None:
        return f
    made, out, rest = eqx.filter_make_jaxpr(f)(*args)
    leaves, structure = jax.tree.flatten(rest)
    return Converted(made.jaxpr, made.consts, jax.tree.structure(out), (tuple(leaves), structure))
