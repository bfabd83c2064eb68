"""A step of `Reversible`: what it adds to the velocity and its derivative, compiled the same in both directions.

How a compiler rounds a step depends on what else it computes with it: a product and a sum that are in one kernel are
rounded once. So a run that is differentiated computes on the way there all that the derivative of a step needs.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from hype_ad.internal.settled import like, varying
from hype_ad.internal.tree import add, scale, zeros_like
from jax import lax
from jaxtyping import Array, Bool, PyTree

from .._config.momentum import AbstractMomentum
from .._transform import fixed_point
from .._transform.fixed_point import Exact
from .base import Step


class Later(NamedTuple):
    """A velocity that is known when a step has been undone: the integers after it, and whether it was made."""

    exact: Exact
    numerators: PyTree
    made: Bool[Array, ""]


class Moves(NamedTuple):
    """What a `ReversibleMomentum` remembers."""

    change: PyTree  # what is added to the velocity before, 0, for its derivative; then the velocity
    added: PyTree  # what the last step has added to it
    source: PyTree  # where the velocity before is found: itself, or `Later`


class ReversibleMomentum(AbstractMomentum):
    """Heavy-ball momentum that shows the step it was given, and looks for the velocity before only then."""

    decay: PyTree
    bits: int = eqx.field(static=True)

    def init(self, w: PyTree) -> PyTree:
        """No velocity, and no step."""
        return Moves(zeros_like(w), zeros_like(w), zeros_like(w))

    def update(self, step: PyTree, memory: PyTree) -> tuple[PyTree, PyTree]:
        """The new velocity."""
        added, source = _fenced(step), memory.source
        if isinstance(source, Later):
            exact = fixed_point.velocity_before(source.exact, added, source.numerators, self.bits, source.made)
            before = _fenced(fixed_point.decode(exact, step, self.bits)[1])
        else:
            before, _ = _fenced((source, added))
        velocity = add(scale(self.decay, add(memory.change, lax.stop_gradient(before))), added)
        return velocity, memory._replace(change=velocity, added=added)


class Made(NamedTuple):
    """What a step gives, its derivative, and whether a number is lost."""

    out: tuple[PyTree, PyTree]
    pull: Callable[[PyTree], PyTree]
    lost: Bool[Array, ""]


def differentiated(step: Step, perturbed: PyTree, state: PyTree, x: PyTree, lost: Bool[Array, ""]) -> Made:
    """A step and its derivative in the floats of the state and of a batch, and in those of it that are `perturbed`.

    Compiled the same in both directions: from the same inputs, with the same results that are used.
    """
    state, x = _fenced((state, x))
    consts = jax.tree.map(lambda leaf, is_moving: leaf if is_moving else None, step, perturbed)
    floats, other = floats_of((state, x))

    def function(consts: PyTree, floats: PyTree) -> tuple[PyTree, PyTree]:
        return floats_of(eqx.combine(consts, step)(*eqx.combine(floats, other)))

    floats, pull, other = jax.vjp(function, consts, floats, has_aux=True)
    after, y = eqx.combine(floats, other)
    y, pull = used = _fenced((y, pull))
    # A run that has lost a number runs no more, which only we know, so that all of it is computed.
    is_never = lost & state.running
    read = partial(_read, same=varying(used) - varying(is_never))
    never = lax.cond(is_never, read, like(read, lambda _: jnp.array(False)), used)
    return Made((after, y), pull, lost | never)


def _fenced(tree: PyTree) -> PyTree:
    """The same, behind what no compiler moves anything past."""
    leaves, structure = jax.tree.flatten(tree)
    together: dict[frozenset[str], list[int]] = {}  # what is in one barrier, JAX makes vary along the same axes
    for place, leaf in enumerate(leaves):
        if _is_number(leaf):
            together.setdefault(varying(leaf), []).append(place)
    for places in together.values():
        for place, leaf in zip(places, lax.optimization_barrier([leaves[i] for i in places]), strict=True):
            leaves[place] = leaf
    return jax.tree.unflatten(structure, leaves)


def _read(tree: PyTree, same: frozenset[str]) -> Bool[Array, ""]:
    """Something that cannot be known without all numbers, the same along some axes of a mesh."""
    leaves = jax.tree.leaves(eqx.filter(tree, _is_number))
    found = reduce(jnp.logical_or, [jnp.any(leaf.astype(bool)) for leaf in leaves], jnp.array(False))
    return lax.pmax(found.astype(jnp.int32), tuple(same)) > 0 if same else found


def _is_number(leaf: Any) -> bool:
    return eqx.is_array(leaf) and not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)


def floats_of(tree: PyTree) -> tuple[PyTree, PyTree]:
    """The floats of a pytree, and all else."""
    return eqx.partition(tree, eqx.is_inexact_array)
