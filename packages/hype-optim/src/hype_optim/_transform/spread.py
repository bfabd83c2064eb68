"""Batches of runs over several devices, each of which makes its own part of them and asks nothing of the others."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from hype_ad.internal.checks import check_devices
from jax import lax
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree


def spread_vmap(f: Callable[..., PyTree], devices: Sequence[Any] | None = None) -> Callable[..., PyTree]:
    """`jax.vmap(f)` with the batch spread over devices: sweeps over settings, seeds, or first weights.

    Each device maps its own part of the batch, in a loop of its own, and nothing is sent between them. A batch that
    their number does not divide is filled up with copies of its last entry, which are not in the result. The result is
    in the order of the batch; with devices of several processes all of it is on each, so that every process can read
    it, and all processes have to make the call. Differentiable as `jax.vmap(f)` is, and works under `jax.jit`. Under a
    `jax.set_mesh` the batch is spread over all devices of that mesh, and with explicit axes the result is on each;
    inside of a `jax.shard_map`, where a device has a batch of its own, this is `jax.vmap(f)`.

    Args:
        f: a function of pytrees of arrays. It is compiled once for batches of the same shapes.
        devices: what the batch is spread over, such as `jax.devices()`, which are taken if none are given.

    Returns:
        A function of pytrees whose arrays have a leading axis over the batch, in all arguments.

    Raises:
        TypeError: if `devices` is not a list of devices.
        ValueError: if `devices` is empty or names a device twice; at the call, if leading axes differ or are missing,
            or if a mesh is set and `devices` are not as many as it has.
    """
    mesh = device_mesh(devices)
    spread = jax.jit(partial(_mapped, f, mesh, devices is None))
    return lambda *args: spread(*jax.tree.map(partial(_movable, mesh), args))


def _mapped(f: Callable[..., PyTree], mesh: Mesh, is_any: bool, *args: PyTree) -> PyTree:
    shapes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(args)}
    if len(shapes) != 1 or () in shapes or (0,) in shapes:
        raise ValueError(f"All arrays must have the same leading axis, over the batch, got {sorted(shapes)}.")
    around = jax.sharding.get_abstract_mesh()
    if around.manual_axes:  # inside of a `shard_map` each device has a batch of its own
        return jax.vmap(f)(*args)
    over = mesh if around.empty else around
    if over.size != mesh.size and not is_any:
        raise ValueError(
            f"`devices` must be those of the mesh that is set, of {around.size}, got {mesh.size}: call it outside."
        )
    runs, everywhere = PartitionSpec(over.axis_names), PartitionSpec()
    is_explicit = bool(over.explicit_axes)
    (size,) = shapes.pop()
    total = -(-size // over.size) * over.size
    if is_explicit and total != size:
        args = jax.sharding.reshard(args, everywhere)
    batch = args if total == size else jax.tree.map(lambda x: x[jnp.minimum(jnp.arange(total), size - 1)], args)
    if is_explicit:
        batch = jax.sharding.reshard(batch, runs)
    # Nothing goes between devices, so there is nothing to be checked.
    run = jax.shard_map(
        jax.vmap(f), mesh=mesh if around.empty else None, in_specs=runs, out_specs=runs, check_vma=False
    )
    made = run(*batch)
    if is_explicit:
        made = jax.sharding.reshard(made, everywhere)
    elif total != size or mesh.is_multi_process:
        whole = NamedSharding(mesh, everywhere) if around.empty else everywhere
        made = lax.with_sharding_constraint(made, whole)
    return made if total == size else jax.tree.map(lambda leaf: leaf[:size], made)


def _movable(mesh: Mesh, leaf: Any) -> Any:
    """An array on every device, if it is on others or its type says where it is, and no mesh is set."""
    if not isinstance(leaf, jax.Array) or mesh.is_multi_process or not jax.sharding.get_abstract_mesh().empty:
        return leaf
    elsewhere = not jax.typeof(leaf).sharding.mesh.empty
    if not isinstance(leaf, Tracer):
        elsewhere = elsewhere or (leaf.committed and leaf.sharding.device_set != set(mesh.devices.flat))
    return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec())) if elsewhere else leaf


def device_mesh(devices: Sequence[Any] | None) -> Mesh:
    """A mesh of the devices that a caller gives, or of all."""
    return Mesh(check_devices(jax.devices() if devices is None else devices), ("runs",))
