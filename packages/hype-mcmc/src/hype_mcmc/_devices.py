"""Chains over several devices.

Chains do not talk to each other while they draw, and in warm-up only by means over all of them. So the arrays that
have a leading axis over chains are split along it, all others are copied, and the compiler does the rest.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


class Placement:
    """Where the arrays of a run are: over the devices, or where they are anyway if there are none given.

    A TypeError if `devices` is no sequence of devices, a ValueError if the chains cannot be split evenly over them.
    """

    def __init__(self, devices: Sequence[Any] | None, num_chains: int):
        self.mesh = None
        if devices is None:
            return
        if not isinstance(devices, Sequence) or not all(isinstance(device, jax.Device) for device in devices):
            raise TypeError(f"`devices` must be a list of devices, such as `jax.devices()`, got {devices!r}.")
        if not devices or len(set(devices)) != len(devices):
            raise ValueError(f"`devices` must be one or more different devices, got {devices}.")
        if num_chains % len(devices) != 0:
            raise ValueError(
                f"The number of chains must be a multiple of the number of `devices`, {len(devices)}, got {num_chains}."
            )
        self.mesh = Mesh(np.array(devices), ("chains",))

    def split(self, tree: Tree) -> Tree:
        """The tree with its arrays split along their leading axis."""
        return self._put(tree, PartitionSpec("chains"))

    def copy(self, tree: Tree) -> Tree:
        """The tree with its arrays on each device."""
        return self._put(tree, PartitionSpec())

    def _put(self, tree: Tree, spec: PartitionSpec) -> Tree:
        if self.mesh is None:
            return tree
        arrays, rest = eqx.partition(tree, eqx.is_array)
        return eqx.combine(jax.device_put(arrays, NamedSharding(self.mesh, spec)), rest)
