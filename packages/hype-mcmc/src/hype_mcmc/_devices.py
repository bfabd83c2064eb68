"""Chains over several devices, of one process or of many.

Chains do not talk to each other while they draw, and in warm-up only by means over all of them. So the arrays that
have a leading axis over chains are split along it, all others are copied, and the compiler does the rest. Arrays that
go into a program can only be split evenly, those inside of it in any way: chains in another number are split there.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
from hype_ad.internal.checks import check_devices, known
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


class Placement(eqx.Module):
    """Where the arrays of a run are: over the devices, or where they are anyway if there are none given.

    A TypeError if `devices` is no sequence of devices, a ValueError if they are none or not different.
    """

    mesh: Mesh | None = eqx.field(static=True)
    is_even: bool = eqx.field(static=True)

    def __init__(self, devices: Sequence[Any] | None, num_chains: int):
        self.mesh, self.is_even = None, True
        if devices is None:
            return
        self.mesh = Mesh(check_devices(devices), ("chains",))
        self.is_even = num_chains % len(devices) == 0

    def split(self, tree: Tree) -> Tree:
        """The tree with its arrays split along their leading axis, if that can be done before the program runs."""
        return self._put(self._move, tree, _CHAINS if self.is_even else _ALL)

    def copy(self, tree: Tree) -> Tree:
        """The tree with its arrays on each device."""
        return self._put(self._move, tree, _ALL)

    def split_inside(self, tree: Tree) -> Tree:
        """The same as `split` inside of a program, in any number."""
        return tree if self.is_even else self._put(lax.with_sharding_constraint, tree, _CHAINS)

    def result(self, tree: Tree) -> Tree:
        """What a program gives, on each device where it is not split evenly or another process could not read it."""
        return self._put(lax.with_sharding_constraint, tree, _ALL) if not self.is_even or self._is_shared() else tree

    def readable(self, tree: Tree) -> Tree:
        """The tree with its arrays on each device, if some are of other processes."""
        return self.copy(tree) if self._is_shared() else tree

    def _move(self, arrays: Any, sharding: NamedSharding) -> Any:
        if not self._is_shared():
            return jax.device_put(arrays, sharding)
        return jax.jit(lambda arrays: arrays, out_shardings=sharding)(arrays)  # what a process has others cannot put

    def _is_shared(self) -> bool:
        return self.mesh is not None and self.mesh.is_multi_process

    def _put(self, put: Callable[..., Any], tree: Tree, spec: PartitionSpec) -> Tree:
        if self.mesh is None:
            return tree
        arrays, rest = eqx.partition(tree, eqx.is_array)
        return eqx.combine(put(arrays, NamedSharding(self.mesh, spec)), rest)


def can_be_read(array: Any) -> bool:
    """Whether an array has a value now, and in this process."""
    return known(array) and (array.is_fully_addressable or array.is_fully_replicated)


_CHAINS, _ALL = PartitionSpec("chains"), PartitionSpec()
