"""Derivatives of one function at one point by central differences along directions, all of it in vectors of NumPy."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from .._central_difference import central_difference
from .._diff.checks import check_floats, check_like
from ..internal.checks import known

Vector = Float[np.ndarray, " _"]
Matrix = Float[np.ndarray, "_ _"]

_RTOL = 1e-9  # where extrapolation stops: about what rounding leaves of a second derivative


class Flat:
    """A pytree of known floats, which is checked, with its entries in one vector of float64."""

    def __init__(self, name: str, tree: PyTree):
        check_floats(name, tree)
        leaves = jax.tree.leaves(tree)
        if not all(map(known, leaves)):
            raise TypeError(
                f"`{name}` must be known numbers, got a traced array. Differences are taken outside of jit, vmap and "
                "derivatives; inside use the operator of the same name in `hype_ad`."
            )
        self.name = name
        self.tree = tree
        self.entries = np.concatenate([np.asarray(leaf, np.float64).reshape(-1) for leaf in leaves])

    @property
    def epsilon(self) -> float:
        """Rounding error of the least exact leaf."""
        return float(max(jnp.finfo(np.asarray(leaf).dtype).eps for leaf in jax.tree.leaves(self.tree)))

    def with_entries(self, entries: Vector) -> PyTree:
        """The pytree with other entries, each leaf of the type that it has here."""
        leaves, structure = jax.tree.flatten(self.tree)
        replaced, start = [], 0
        for leaf in leaves:
            replaced.append(_as(entries[start : start + np.size(leaf)].reshape(np.shape(leaf)), leaf))
            start += np.size(leaf)
        return jax.tree.unflatten(structure, replaced)

    def direction(self, name: str, v: PyTree) -> Vector:
        """`v`, which must have the structure and the shapes of this tree, as a vector."""
        if isinstance(v, Sequence) and not isinstance(self.tree, Sequence):
            v = np.asarray(v, np.float64)
        check_like(name, v, self.name, self.tree)
        return Flat(name, v).entries


def _as(entries: Float[np.ndarray, "..."], leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):
        return jnp.asarray(entries, leaf.dtype)
    if isinstance(leaf, np.ndarray | np.generic):
        return np.asarray(entries, leaf.dtype)[()]
    return float(entries)


class Differences:
    """The derivatives of `f` at `x` along directions; `f` is evaluated at `x` once."""

    def __init__(self, f: Callable[[Any], Any], x: PyTree, name: str = "x"):
        self.f = f
        self.x = Flat(name, x)
        self.value = Flat("f(x)", f(x))

    def along(self, direction: Vector, order: int = 1) -> Vector:
        """The derivative of `order` along `direction`, of every entry of f(x)."""

        def moved(t: float) -> Vector:
            if t == 0.0:
                return self.value.entries
            return Flat("f(x)", self.f(self.x.with_entries(self.x.entries + t * direction))).entries

        epsilon = max(self.x.epsilon, self.value.epsilon)
        return central_difference(moved, order=order, rtol=_RTOL, atol=1e-3 * _RTOL, epsilon=epsilon)[0]

    @cached_property
    def jacobian(self) -> Matrix:
        """Entries of f(x) by entries of x."""
        return np.stack([self.along(unit) for unit in self._axes()], axis=1)

    def hessian_diag(self) -> Vector:
        """Of a single number, the second derivatives along each axis."""
        return np.array([self.along(unit, 2)[0] for unit in self._axes()])

    def hessian_product(self, v: Vector) -> Vector:
        """Of a single number, the Hessian times `v`, from second derivatives along axis + v and axis - v."""
        length = float(np.linalg.norm(v))
        if length == 0.0:
            return np.zeros_like(v)
        return np.array([length * self._mixed(axis, v / length) for axis in self._axes()])

    def hessian(self) -> Matrix:
        """Of a single number, the Hessian."""
        axes = self._axes()
        matrix = np.diag(self.hessian_diag())
        for i, j in zip(*np.triu_indices(len(axes), 1), strict=True):
            matrix[i, j] = matrix[j, i] = self._mixed(axes[i], axes[j])
        return matrix

    def _mixed(self, u: Vector, v: Vector) -> float:
        return (self.along(u + v, 2)[0] - self.along(u - v, 2)[0]) / 4

    def _axes(self) -> Matrix:
        return np.eye(self.x.entries.size)
