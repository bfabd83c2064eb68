"""Batches of runs over several devices, each of which makes its own part of them and asks nothing of the others."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

_RUNS, _ALL = PartitionSpec("runs"), PartitionSpec()


def spread_vmap(f: Callable[..., PyTree], devices: Sequence[Any] | None = None) -> Callable[..., PyTree]:
    """`jax.vmap(f)` with the batch spread over devices: sweeps over settings, seeds, or first weights.

    Each device maps its own part of the batch, in a loop of its own, and nothing is sent between them. A batch that
    their number does not divide is filled up with copies of its last entry, which are not in the result. The result is
    in the order of the batch; with devices of several processes all of it is on each, so that every process can read
    it, and all processes have to make the call. Differentiable as `jax.vmap(f)` is, and works under `jax.jit`.

    Args:
        f: a function of pytrees of arrays. It is compiled once for batches of the same shapes.
        devices: what the batch is spread over, such as `jax.devices()`, which are taken if none are given.

    Returns:
        A function of pytrees whose arrays have a leading axis over the batch, in all arguments.

    Raises:
        TypeError: if `devices` is not a list of devices.
        ValueError: if `devices` is empty or names a device twice; at the call, if leading axes differ or are missing.
    """
    mesh = device_mesh(devices)

    @jax.jit
    def mapped(*args: PyTree) -> PyTree:
        shapes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(args)}
        if len(shapes) != 1 or () in shapes or (0,) in shapes:
            raise ValueError(f"All arrays must have the same leading axis, over the batch, got {sorted(shapes)}.")
        (size,) = shapes.pop()
        total = -(-size // mesh.size) * mesh.size
        batch = args if total == size else jax.tree.map(lambda x: x[jnp.minimum(jnp.arange(total), size - 1)], args)
        # Nothing goes between devices, so there is nothing to be checked.
        run = jax.shard_map(jax.vmap(f), mesh=mesh, in_specs=_RUNS, out_specs=_RUNS, check_vma=False)
        made = run(*batch)
        if total == size and not mesh.is_multi_process:
            return made
        whole = lax.with_sharding_constraint(made, NamedSharding(mesh, _ALL))
        return jax.tree.map(lambda leaf: leaf[:size], whole)

    return mapped


def device_mesh(devices: Sequence[Any] | None) -> Mesh:
    """A mesh of the devices that a caller gives, or of all."""
    if devices is None:
        devices = jax.devices()
    if not isinstance(devices, Sequence) or not all(isinstance(device, jax.Device) for device in devices):
        raise TypeError(f"`devices` must be a list of devices, such as `jax.devices()`, got {devices!r}.")
    if not devices or len(set(devices)) != len(devices):
        raise ValueError(f"`devices` must be one or more different devices, got {devices}.")
    return Mesh(np.array(devices), ("runs",))
