"""Loops whose first carry has the types of the later ones where devices differ.

Inside of a `jax.shard_map` the type of an array says along which axes of the mesh it varies, and under a mesh with
explicit axes how it is sharded. What a loop begins with, such as a zero, is the same on all devices, and what a step
makes of it and of data that vary is not. So the first carry is cast to what the body makes of it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import get_abstract_mesh, reshard
from jaxtyping import PyTree

Carry = TypeVar("Carry")

_ROUNDS = 4  # what becomes varying may make something else so


def settled(body: Callable[..., Any], carry: Carry, *args: Any) -> Carry:
    """The carry as arrays of the types that `body(carry, *args)` gives them, which is traced only where it matters."""
    if not is_placed(carry):
        return carry
    for _ in range(_ROUNDS):
        before = carry
        carry = jax.tree.map(_cast, carry, eqx.filter_eval_shape(body, carry, *args))
        if all(map(_is_same, jax.tree.leaves(before), jax.tree.leaves(carry))):
            break
    return carry


def like(branch: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    """`other`, which gives what `branch` gives, with its results as arrays of the same types: for `lax.cond`."""

    def cast(*args: Any) -> Any:
        given = other(*args)
        if not is_placed((args, given)):
            return given
        return jax.tree.map(_cast, given, eqx.filter_eval_shape(branch, *args))

    return cast


def is_placed(tree: PyTree) -> bool:
    """Whether the types of arrays may say where they are: inside of a `shard_map`, and under explicit axes."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)]
    return not get_abstract_mesh().empty or any(not jax.typeof(leaf).sharding.mesh.empty for leaf in arrays)


def varying(tree: PyTree) -> frozenset[str]:
    """The axes of a mesh along which an array in a pytree varies, inside of a `shard_map`."""
    kinds = [jax.typeof(leaf).manual_axis_type for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)]
    return frozenset().union(*(kind.varying for kind in kinds))


def follows_devices() -> bool:
    """Whether this is inside of a `shard_map` that follows along which axes arrays vary (`check_vma=True`)."""
    axes = tuple(get_abstract_mesh().manual_axes)
    return bool(axes) and bool(varying(lax.pcast(jnp.zeros(()), axes, to="varying")))


def _cast(leaf: Any, kind: Any) -> Any:
    if not eqx.is_array(leaf):
        return leaf
    axes = (frozenset() if kind.manual_axis_type is None else kind.manual_axis_type.varying) - varying(leaf)
    leaf = lax.pcast(leaf, tuple(axes), to="varying") if axes else leaf
    spec = None if kind.sharding is None else kind.sharding.spec
    return leaf if spec in (None, jax.typeof(leaf).sharding.spec) else reshard(leaf, spec)


def _is_same(a: Any, b: Any) -> bool:
    return not eqx.is_array(a) or jax.typeof(a) == jax.typeof(b)
